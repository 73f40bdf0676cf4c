"""What a source holds, made into the value that goes into a header (S25)."""

import re

from keyswap.credentials.interface import Absent
from keyswap.errors import CredentialError
from keyswap.secret import Secret

SHORT = 8
"""Bytes below which a value is not looked for in answers: it would be found by chance (S27)."""

_BEARER = re.compile(rb"bearer[ \t]+", re.IGNORECASE)
_FORBIDDEN = {b"\r": "a carriage return", b"\n": "a line break", b"\0": "a NUL byte"}


def clean(raw: bytes) -> tuple[Secret, tuple[str, ...]]:
    """The value in `raw`, and warnings about it that do not quote it.

    One newline at the end (LF or CRLF) belongs to the file and is removed; a `Bearer ` in front was copied along with
    the value and is removed with a warning. Everything else stays as it is. Raises Absent for a value that is empty or
    white space, CredentialError for one that cannot stand in a header.
    """
    value = raw.removesuffix(b"\n")
    value = value.removesuffix(b"\r") if value != raw else value
    scheme = _BEARER.match(value)
    value = value[scheme.end() :] if scheme else value
    warnings = _warnings(value, bearer=scheme is not None)
    problem = next((words for byte, words in _FORBIDDEN.items() if byte in value), None)
    empty = not value.strip()
    secret = Secret(value)
    # Not for the collector: a traceback that shows locals must not show these.
    del raw, value, scheme
    if problem:
        raise CredentialError(f"the value holds {problem}", "store the key alone, on one line")
    if empty:
        raise Absent("the value is empty", "store the key there")
    return secret, warnings


def _warnings(value: bytes, *, bearer: bool) -> tuple[str, ...]:
    found = {
        "begins with `Bearer `, which was removed: store the key alone": bearer,
        "begins or ends with white space, which was kept: store the key alone": value != value.strip(),
        f"is shorter than {SHORT} bytes, so answers are not searched for it": len(value) < SHORT,
    }
    return tuple(words for words, holds in found.items() if holds)
