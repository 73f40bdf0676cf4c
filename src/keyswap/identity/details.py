"""What may be said about a session when it is minted: bounded, one line, and safe to print."""

import base64
import re
import secrets
from collections.abc import Mapping
from types import MappingProxyType

from keyswap.errors import IdentityError
from keyswap.exchange import SessionId

MOST_LABELS = 16
LONGEST_TEXT = 128
"""Characters of a profile's name, a tenant, a run's id, and a label's value."""

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")


def session_id(given: str | None) -> SessionId:
    """The id `given`, or a new one: `s-` and 80 random bits in base32. Raises IdentityError."""
    if given is None:
        return SessionId("s-" + base64.b32encode(secrets.token_bytes(10)).decode().lower())
    if not _ID.fullmatch(given):
        todo = (
            "write lower-case letters, digits, dot, dash and underscore, at most 64, beginning with a letter or digit"
        )
        raise IdentityError("this is not an id of a session", todo)
    return SessionId(given)


def text(value: str, what: str, *, required: bool = False) -> str:
    """`value`, if it is short and printable (S42: nothing in it can split a log line); raises IdentityError."""
    if len(value) > LONGEST_TEXT or not value.isprintable():
        raise IdentityError(
            f"the {what} is too long or not printable", f"write at most {LONGEST_TEXT} characters, one line"
        )
    if required and not value.strip():
        raise IdentityError(f"the {what} is empty", "name one")
    return value


def labels(given: Mapping[str, str]) -> Mapping[str, str]:
    """A fixed copy of `given`, if there are few and all are short; raises IdentityError."""
    if len(given) > MOST_LABELS:
        raise IdentityError(f"a session has at most {MOST_LABELS} labels", "leave some out")
    if not all(map(_LABEL.fullmatch, given)):
        todo = "write letters, digits, dot, dash, underscore and slash, at most 63, beginning with a letter or digit"
        raise IdentityError("a label's name is malformed", todo)
    return MappingProxyType({name: text(value, f"label {name}") for name, value in given.items()})
