"""Session tokens: making one, hashing it, and reading what a client presents."""

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Sequence

_MINTED = re.compile(r"ks_[A-Za-z0-9_-]{43}")
_PRESENTED = re.compile(rb"(?i:(basic|bearer)) +([A-Za-z0-9._~+/=-]{1,4096})")
_TEXT = re.compile(r"[\x21-\x7e]{1,1024}")


def mint_token() -> str:
    """A new token: `ks_` and 256 random bits in base64url."""
    return "ks_" + secrets.token_urlsafe(32)


def looks_minted(token: str) -> bool:
    """Whether `mint_token` could have made it."""
    return _MINTED.fullmatch(token) is not None


def can_be_presented(token: str) -> bool:
    """Whether a client can present it at all: 1 to 1024 visible ASCII characters."""
    return _TEXT.fullmatch(token) is not None


def token_hash(token: str) -> bytes:
    """What is kept of a token: its SHA-256. A token is random enough to need no salt and no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def presented(values: Sequence[bytes]) -> str | None:
    """The token in the Proxy-Authorization fields of one request, or None. Never raises.

    Exactly one field; `Basic` (RFC 7617: the password is the token, the user is ignored) or `Bearer` (RFC 6750).
    """
    found = _PRESENTED.fullmatch(values[0].strip(b" \t")) if len(values) == 1 else None
    if not found:
        return None
    raw = _password(found[2]) if found[1].lower() == b"basic" else found[2]
    token = raw.decode("latin-1")
    return token if can_be_presented(token) else None


def _password(encoded: bytes) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""
