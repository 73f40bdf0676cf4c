"""A credential's header taken apart: where a token can stand as a whole, and what surrounds it.

The search and the change both go through here, so they walk the same list (S19).
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import NamedTuple

_VALUE = re.compile(rb"([ \t]*+(?:[!#$%&'*+.^_`|~0-9A-Za-z-]++[ \t]++)?)([^ \t]++)([ \t]*+)")
"""An optional scheme word with its spaces, one token, spaces (RFC 9110, section 11.4). Possessive: linear in time."""


class Parts(NamedTuple):
    """One header value: `before` + `token` + `after` are its bytes, in this order."""

    before: bytes
    """The scheme word as it was spelled, and the spaces around it; empty where the token stands bare."""
    token: bytes
    after: bytes
    basic: tuple[bytes, bytes] | None
    """User and password, where this is `Authorization: Basic` and can be decoded."""

    def slots(self, header_place: str) -> tuple[tuple[str, bytes], ...]:
        """Each place that can hold a whole token, in the words of `Finding.place`, with what stands there."""
        whole = (header_place, self.token)
        return (whole, ("basic:user", self.basic[0]), ("basic:password", self.basic[1])) if self.basic else (whole,)

    def refilled(self, header_place: str, values: Mapping[str, bytes]) -> bytes:
        """The header's value with other bytes in the places named by `values`, and nothing else changed."""
        if self.basic is None or header_place in values:
            token = values.get(header_place, self.token)
        else:
            user = values.get("basic:user", self.basic[0])
            token = base64.b64encode(user + b":" + values.get("basic:password", self.basic[1]))
        return self.before + token + self.after


def take_apart(name: bytes, value: bytes) -> Parts | None:
    """The parts of the value of header `name` (lower case); None where it is not a scheme word and one token.

    Scheme words are read in any case, and their spaces are tolerated (S20). A value with several parameters behind its
    scheme, as AWS4-HMAC-SHA256 has, holds no whole token.
    """
    found = _VALUE.fullmatch(value)
    if not found:
        return None
    before, token, after = found.groups()
    is_basic = name == b"authorization" and before.strip(b" \t").lower() == b"basic"
    return Parts(before, token, after, _decoded(token) if is_basic else None)


def _decoded(token: bytes) -> tuple[bytes, bytes] | None:
    """User and password of Basic (RFC 7617); padding may be missing, as some clients leave it out."""
    bare = token.rstrip(b"=")
    try:
        pair = binascii.a2b_base64(bare + b"=" * (-len(bare) % 4), strict_mode=True)
    except binascii.Error:
        return None
    user, colon, password = pair.partition(b":")
    return (user, password) if colon else None
