"""The forms in which a server may hand a key back, and the codings in which it may send a body."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Mapping

import brotli  # type: ignore[import-untyped]  # ships no types
import zstandard

FORMS: Mapping[str, Callable[[bytes], bytes]] = {
    "raw": lambda key: key,
    "base64": base64.b64encode,
    "base64-shift1": lambda key: base64.b64encode(b"x" + key),
    "base64-shift2": lambda key: base64.b64encode(b"xx" + key),
    "base64url": base64.urlsafe_b64encode,
    "basic": lambda key: base64.b64encode(b"x-access-token:" + key),
    "percent": lambda key: b"".join(b"%%%02X" % byte for byte in key),
    "percent-lower": lambda key: b"".join(b"%%%02x" % byte for byte in key),
    "json": lambda key: json.dumps(key.decode("latin-1")).strip('"').replace("/", "\\/").encode(),
    "json-unicode": lambda key: b"".join(b"\\u%04x" % byte for byte in key),
    "hex": lambda key: key.hex().encode(),
    "hex-upper": lambda key: key.hex().upper().encode(),
}
"""What /echo?form=… knows, from a key to the bytes that stand for it."""

CODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
"""Content codings by their registered name."""


def coding_accepted(accept_encoding: str) -> str | None:
    """The first coding the client lists that we have; None: identity."""
    wanted = (item.split(";")[0].strip().lower() for item in accept_encoding.split(","))
    return next((name for name in wanted if name in CODINGS), None)
