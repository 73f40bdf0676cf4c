"""Content codings undone piece by piece, in bounded memory (S28; RFC 9110, section 8.4.1).

A decoder is fed what came from the wire and yields pieces of at most 64 KiB, so that a scrubber can read them as they
come. It refuses a bomb: more than 8 MiB out, and more than 200 times what went in. Harmless text stays far below (JSON
and logs come to 10 to 50), while the codings themselves reach 1000 (deflate), 30 000 (zstd) and more (br).
"""

import zlib
from collections.abc import Iterator
from typing import Protocol

import brotli
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
"""The largest window that HTTP allows (RFC 9659)."""


class _Coding(Protocol):
    """One stream of one coding."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The pieces that `data` makes, as the library gives them; its own exception where `data` is malformed."""

    @property
    def finished(self) -> bool:
        """Whether the end of the stream was seen."""


class Decoder:
    """Undoes one content coding of one body."""

    __slots__ = ("_coding", "_name", "_read", "_written")

    def __init__(self, name: str, coding: _Coding) -> None:
        self._name = name
        self._coding = coding
        self._read = 0
        self._written = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decoded pieces of `data`, none empty and none over 64 KiB; take all of them before the next call.

        Raises RewriteError where `data` is malformed, goes on behind the end, or is a bomb.
        """
        self._read += len(data)
        try:
            for text in self._coding.decode(data):
                self._written += len(text)
                self._check_size()
                yield from (text[at : at + PIECE] for at in range(0, len(text), PIECE))
        except (zlib.error, brotli.error, zstandard.ZstdError):
            raise RewriteError(f"the answer is no valid {self._name}", "see what the upstream sends") from None

    def end(self) -> None:
        """Tell that nothing follows; RewriteError where the body was cut short. An empty body is whole."""
        if self._read and not self._coding.finished:
            raise RewriteError(f"the answer ends in the middle of its {self._name}", "ask again")

    def _check_size(self) -> None:
        if self._written > max(FREE, RATIO * self._read):
            raise RewriteError(
                f"the answer decodes from {self._name} to more than {RATIO} times its size",
                "ask with `Accept-Encoding: identity`",
            )


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


class _Zlib:
    """What gzip and deflate have in common: a zlib object that is asked for one piece at a time."""

    def __init__(self, wbits: int) -> None:
        self._inner = zlib.decompressobj(wbits)

    @property
    def finished(self) -> bool:
        return self._inner.eof

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The pieces up to the end of the stream; what follows it is in `rest`."""
        while data or not self._inner.eof:
            text = self._inner.decompress(data, PIECE)
            data = self._inner.unconsumed_tail
            if not text and not data:
                return
            yield text
