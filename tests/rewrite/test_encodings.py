"""S28: compressed answers are decoded piece by piece in bounded memory, or refused."""

import gzip
import os
import tracemalloc
import zlib
from collections.abc import Callable, Sequence

import brotli  # type: ignore[import-untyped]  # it ships no types
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from keyswap.errors import RewriteError
from keyswap.rewrite.encodings import FREE, PIECE, RATIO, Decoder, decoder_for

Encode = Callable[[bytes], bytes]


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CODINGS: dict[str, tuple[str, Encode]] = {
    "gzip": ("gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", lambda data: brotli.compress(data, quality=5)),
    "zstd": ("zstd", zstandard.compress),
}
every_coding = pytest.mark.parametrize(("name", "encode"), CODINGS.values(), ids=CODINGS)
TEXT = b'data: {"delta": "word"}\n\n' * 20_000


def decoder(name: str) -> Decoder:
    found = decoder_for(name)
    assert found is not None
    return found


def decoded(name: str, chunks: Sequence[bytes]) -> bytes:
    return _finish(decoder(name), chunks)


def _finish(inner: Decoder, chunks: Sequence[bytes]) -> bytes:
    text = b"".join(piece for chunk in chunks for piece in inner.feed(chunk))
    inner.end()
    return text


def refused(name: str, chunks: Sequence[bytes]) -> None:
    """The body is refused, while it is fed or at its end, and stays refused."""
    inner = decoder(name)
    with pytest.raises(RewriteError):
        _finish(inner, chunks)
    with pytest.raises(RewriteError):
        inner.end()


@pytest.mark.parametrize("name", ["", "identity", " Identity ", ","])
def test_S28_identity_needs_no_decoder(name: str) -> None:
    assert decoder_for(name) is None


@pytest.mark.parametrize("name", ["GZIP", "x-gzip", "X-GZip", " gzip ", "gzip,"])
def test_S28_names_of_codings_are_read_in_any_case_and_with_their_old_names(name: str) -> None:
    assert decoded(name, [gzip.compress(b"text")]) == b"text"


@pytest.mark.parametrize("name", ["compress", "gzipp", "aws-chunked", "*", "gzip;q=1"])
def test_S28_an_unknown_coding_is_refused(name: str) -> None:
    with pytest.raises(RewriteError, match="unknown content coding"):
        decoder_for(name)


@pytest.mark.parametrize("name", ["gzip, br", "gzip,gzip", "identity, gzip"])
def test_S28_stacked_codings_are_refused(name: str) -> None:
    with pytest.raises(RewriteError, match="stacked"):
        decoder_for(name)


@every_coding
@settings(deadline=None)
@given(data=st.binary(max_size=500), sizes=st.lists(st.integers(1, 50), min_size=1, max_size=4))
def test_S28_any_data_at_any_split_is_decoded(name: str, encode: Encode, data: bytes, sizes: list[int]) -> None:
    packed = encode(data)
    chunks: list[bytes] = []
    while packed:
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(packed[:size])
        packed = packed[size:]
    assert decoded(name, chunks) == data


@every_coding
def test_S28_pieces_are_bounded_and_none_is_empty(name: str, encode: Encode) -> None:
    inner = decoder(name)
    pieces = list(inner.feed(encode(TEXT + os.urandom(200_000))))
    assert b"".join(pieces).startswith(TEXT)
    assert all(0 < len(piece) <= PIECE for piece in pieces)
    inner.end()


def test_S28_a_flushed_event_comes_out_at_once() -> None:
    packer = zlib.compressobj(wbits=31)
    inner = decoder("gzip")
    for n in range(3):
        event = b"data: %d\n\n" % n
        assert b"".join(inner.feed(packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH))) == event
    assert b"".join(inner.feed(packer.flush())) == b""
    inner.end()


@every_coding
def test_S28_an_empty_body_is_whole(name: str, encode: Encode) -> None:
    assert decoded(name, []) == b""
    assert decoded(name, [b""]) == b""
    assert decoded(name, [encode(b"")]) == b""


@every_coding
def test_S28_a_truncated_body_is_refused_at_its_end(name: str, encode: Encode) -> None:
    packed = encode(os.urandom(500))
    for size in (1, 2, len(packed) // 2, len(packed) - 1):
        inner = decoder(name)
        _ = list(inner.feed(packed[:size]))
        with pytest.raises(RewriteError, match="not all of it"):
            inner.end()


@every_coding
@pytest.mark.parametrize("garbage", [b"\x00", b"garbage"])
def test_S28_what_follows_the_end_is_refused(name: str, encode: Encode, garbage: bytes) -> None:
    refused(name, [encode(b"text") + garbage])
    refused(name, [encode(b"text"), garbage])


@every_coding
def test_S28_what_is_malformed_is_refused_and_stays_so(name: str, encode: Encode) -> None:
    refused(name, [encode(os.urandom(500))[:200] + b"\xff" * 800])
    refused(name, [b"\xff" * 100])
    inner = decoder(name)
    with pytest.raises(RewriteError):
        list(inner.feed(b"\xff" * 100))
    with pytest.raises(RewriteError):
        list(inner.feed(encode(b"text")))


@pytest.mark.parametrize(("name", "encode"), [CODINGS["gzip"], CODINGS["zstd"]], ids=["gzip", "zstd"])
def test_S28_members_one_after_the_other_are_one_text(name: str, encode: Encode) -> None:
    packed = encode(b"one ") + encode(b"") + encode(b"two")
    assert decoded(name, [packed]) == b"one two"
    assert decoded(name, [packed[n : n + 1] for n in range(len(packed))]) == b"one two"


def test_S28_skippable_frames_of_zstd_are_skipped() -> None:
    skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    assert decoded("zstd", [skippable + zstandard.compress(b"text") + skippable]) == b"text"


def test_S28_a_zstd_window_larger_than_http_allows_is_refused() -> None:
    options = zstandard.ZstdCompressionParameters(window_log=25, write_content_size=False)
    packer = zstandard.ZstdCompressor(compression_params=options).compressobj()
    refused("zstd", [packer.compress(b"text" * 10) + packer.flush()])


@every_coding
def test_S28_a_bomb_is_stopped_at_its_limit_in_bounded_memory(name: str, encode: Encode) -> None:
    bomb = encode(bytes(64 * 1024 * 1024))
    assert len(bomb) < 64 * 1024 * 1024 // RATIO
    inner = decoder(name)
    sizes = map(len, inner.feed(bomb))
    tracemalloc.start()
    try:
        with pytest.raises(RewriteError, match="200 times"):
            sum(sizes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * 1024 * 1024
    with pytest.raises(RewriteError):
        inner.end()


@every_coding
def test_S28_a_bomb_fed_byte_by_byte_has_said_little_when_it_is_stopped(name: str, encode: Encode) -> None:
    inner = decoder(name)
    written = read = 0
    with pytest.raises(RewriteError, match="200 times"):  # noqa: PT012
        for byte in encode(bytes(64 * 1024 * 1024)):
            read += 1
            for piece in inner.feed(bytes([byte])):
                written += len(piece)
    assert written <= max(FREE, RATIO * read)


@every_coding
def test_S28_a_large_text_of_ordinary_ratio_is_no_bomb(name: str, encode: Encode) -> None:
    text = b"".join(b'{"id": %d, "hash": "%x"}\n' % (n, n * 2654435761 % 2**32) for n in range(300_000))
    assert len(text) > FREE
    assert decoded(name, [encode(text)]) == text


def test_S42_an_error_quotes_nothing_of_the_answer() -> None:
    with pytest.raises(RewriteError) as caught:
        decoder_for("sk-secret")
    assert "secret" not in str(caught.value)
    with pytest.raises(RewriteError) as caught:
        list(decoder("gzip").feed(b"sk-secret-value"))
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
