"""Content codings undone piece by piece, in bounded memory (S28; RFC 9110, section 8.4.1).

A decoder is fed what came from the wire and yields pieces of at most 64 KiB, so that a scrubber can read them as they
come. It refuses a bomb: more than 8 MiB out, and more than 200 times what went in. Harmless text stays far below (JSON
and logs come to 10 to 50), while the codings themselves reach 1000 (deflate), 30 000 (zstd) and more (br).
"""

import zlib
from collections.abc import Iterator
from typing import Protocol

import brotli  # type: ignore[import-untyped]  # it ships no types
import zstandard

from keyswap.errors import RewriteError

PIECE = 65536
"""Bytes of the largest piece that is yielded."""

FREE = 8 * 1024 * 1024
"""Bytes that any answer may come to, however small it was on the wire."""

RATIO = 200
"""How many times its size on the wire an answer may come to beyond that."""

_BROTLI_PIECE = 32768
"""The library doubles its buffer and looks at its limit afterwards; so it stops at 96 KiB."""

_ZSTD_SLICE = 64
"""Bytes given to the library at once: it has no limit of its own, and three bytes may stand for a block of 128 KiB."""

_ZSTD_WINDOW = 8 * 1024 * 1024
"""Bytes of the largest window that HTTP allows (RFC 9659)."""


class _Malformed(Exception):
    """Data that the libraries take without a word, but that the coding does not allow."""


class _Coding(Protocol):
    """What a decoder asks of a coding."""

    @property
    def finished(self) -> bool:
        """Whether the end was seen."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The pieces that `data` makes; a library's own exception where it is malformed."""


class Decoder:
    """Undoes one content coding of one body."""

    __slots__ = ("_broken", "_coding", "_name", "_read", "_written")

    def __init__(self, name: str, coding: _Coding) -> None:
        self._name = name
        self._coding = coding
        self._read = 0
        self._written = 0
        self._broken = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decoded pieces of `data`, none empty and none over 64 KiB; take all of them before the next call.

        Raises RewriteError where `data` is malformed, goes on behind the end of the coding, or is a bomb; so does every
        call after that.
        """
        if self._broken:
            raise self._error()
        self._broken = True  # until all of `data` has gone through
        for at in range(0, len(data), PIECE):
            yield from self._decoded(data[at : at + PIECE])
        self._broken = False

    def end(self) -> None:
        """Say that nothing follows. Raises RewriteError where the body was cut short; an empty one is whole."""
        if self._broken or (self._read and not self._coding.finished):
            raise self._error()

    def _decoded(self, data: bytes) -> Iterator[bytes]:
        self._read += len(data)
        try:
            for text in self._coding.decode(data):
                self._written += len(text)
                self._check_size()
                yield from (text[at : at + PIECE] for at in range(0, len(text), PIECE))
        except (_Malformed, zlib.error, brotli.error, zstandard.ZstdError):
            raise self._error() from None

    def _check_size(self) -> None:
        if self._written > max(FREE, RATIO * self._read):
            raise RewriteError(
                f"the answer decodes from {self._name} to more than {RATIO} times its size",
                "ask with `Accept-Encoding: identity`",
            )

    def _error(self) -> RewriteError:
        return RewriteError(f"the answer is not valid {self._name}, or not all of it", "look at what upstream sends")


def decoder_for(content_encoding: str) -> Decoder | None:
    """The decoder of a Content-Encoding, None where there is nothing to undo.

    Names are read in any case. Raises RewriteError for a coding that is not known, and for more than one.
    """
    names = [name.strip().lower() for name in content_encoding.split(",") if name.strip()]
    if len(names) > 1:
        raise RewriteError("the answer has stacked content codings", "ask for one of gzip, deflate, br and zstd")
    match names:
        case [] | ["identity"]:
            return None
        case ["gzip" | "x-gzip"]:
            return Decoder("gzip", _Gzip())
        case ["deflate"]:
            return Decoder("deflate", _Deflate())
        case ["br"]:
            return Decoder("br", _Brotli())
        case ["zstd"]:
            return Decoder("zstd", _Zstd())
        case _:
            raise RewriteError("the answer has an unknown content coding", "ask for one of gzip, deflate, br and zstd")


class _Gzip:
    """One member or more (RFC 1952, section 2.2)."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)

    @property
    def finished(self) -> bool:
        return self._member.eof

    def decode(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member.eof:
                self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
            yield from _inflated(self._member, data)
            data = self._member.unused_data


class _Deflate:
    """The zlib format, as the standard says, or raw deflate, as some send (RFC 9110, section 8.4.1.2)."""

    def __init__(self) -> None:
        self._start = b""
        self._inner: zlib._Decompress | None = None

    @property
    def finished(self) -> bool:
        return self._inner is not None and self._inner.eof

    def decode(self, data: bytes) -> Iterator[bytes]:
        if self._inner is None:
            data = self._start = self._start + data
            if len(data) < 2:
                return
            self._inner = zlib.decompressobj(zlib.MAX_WBITS if _is_zlib(data) else -zlib.MAX_WBITS)
        elif self._inner.eof:
            raise _Malformed
        yield from _inflated(self._inner, data)
        if self._inner.unused_data:
            raise _Malformed


def _is_zlib(data: bytes) -> bool:
    """Whether `data` starts with a zlib header (RFC 1950, section 2.2); no raw deflate in use starts so."""
    return data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2]) % 31 == 0


def _inflated(inner: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    while not inner.eof:
        text = inner.decompress(data, PIECE)
        if not text:
            return
        yield text
        data = inner.unconsumed_tail


class _Brotli:
    """One stream (RFC 7932); the library itself refuses what follows its end."""

    def __init__(self) -> None:
        self._inner = brotli.Decompressor()

    @property
    def finished(self) -> bool:
        return bool(self._inner.is_finished())

    def decode(self, data: bytes) -> Iterator[bytes]:
        text = self._inner.process(data, output_buffer_limit=_BROTLI_PIECE)
        while text:
            yield text
            if self._inner.is_finished():
                return
            text = self._inner.process(b"", output_buffer_limit=_BROTLI_PIECE)


class _Zstd:
    """One frame or more (RFC 8878, section 3.1)."""

    def __init__(self) -> None:
        self._library = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._frame = self._library.decompressobj()

    @property
    def finished(self) -> bool:
        return self._frame.eof

    def decode(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), _ZSTD_SLICE):
            rest = data[at : at + _ZSTD_SLICE]
            while rest:
                if self._frame.eof:
                    self._frame = self._library.decompressobj()
                yield self._frame.decompress(rest)
                rest = self._frame.unused_data
