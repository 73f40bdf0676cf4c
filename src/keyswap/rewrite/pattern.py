"""A shape as the search sees it: in lower case, because a placeholder in another case is still a placeholder (S21)."""

import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass

from keyswap.exchange import PlaceholderShape
from keyswap.rewrite.shapes import body_length, check_length, check_text


@dataclass(frozen=True, slots=True)
class Pattern:
    """What every placeholder of one shape looks like, and whether a text that looks so was made by a key.

    All bytes are lower case. A fixed placeholder is a prefix with nothing behind it.
    """

    prefix: bytes
    letters: bytes
    body: int
    """Characters of `letters` between prefix and suffix, the check with them."""
    suffix: bytes
    check: int
    """Characters of the keyed check; 0: none."""
    alphabet: str
    """As the shape spells it: its order is what the check is written in."""
    bare: re.Pattern[bytes] | None
    """Finds tokens of a shape without a prefix: runs of exactly this length, for in a longer run anything would do."""

    @classmethod
    def of(cls, shape: PlaceholderShape) -> "Pattern":
        if shape.value is not None:
            return cls(shape.value.lower().encode(), b"", 0, b"", 0, "", None)
        letters = bytes(sorted(set(shape.alphabet.lower().encode())))
        body, suffix = body_length(shape), shape.suffix.lower().encode()
        bare = None
        if not shape.prefix:
            one = rb"[" + re.escape(letters) + rb"]"
            end = re.escape(suffix) if suffix else rb"(?!" + one + rb")"
            bare = re.compile(rb"(?<!%b)%b{%d}%b" % (one, one, body, end))
        return cls(shape.prefix.lower().encode(), letters, body, suffix, check_length(shape), shape.alphabet, bare)

    @property
    def length(self) -> int:
        return len(self.prefix) + self.body + len(self.suffix)

    def tokens(self, low: bytes) -> Iterator[bytes]:
        """Every part of `low` (lower case) that looks like a placeholder of this shape; they may overlap."""
        if self.bare:
            for found in self.bare.finditer(low):
                yield found[0]
            return
        at = low.find(self.prefix)
        while at >= 0:
            token = low[at : at + self.length]
            if self.fits(token):
                yield token
            at = low.find(self.prefix, at + 1)

    def fits(self, low: bytes) -> bool:
        """Whether the whole of `low` looks like a placeholder of this shape."""
        end = len(self.prefix) + self.body
        return (
            len(low) == self.length
            and low.startswith(self.prefix)
            and low.endswith(self.suffix)
            and not low[len(self.prefix) : end].translate(None, self.letters)
        )

    def made(self, low: bytes, key: bytes) -> bool:
        """Whether `low`, which fits, was made by this key for any session.

        A fixed placeholder was, by its text; of a shape without a check nobody can say so, and the answer is no.
        """
        if not self.alphabet:
            return True
        if not self.check:
            return False
        end = len(self.prefix) + self.body
        expected = check_text(low[: end - self.check].decode("ascii"), self.alphabet, self.check, key)
        return hmac.compare_digest(low[end - self.check : end], expected.lower().encode())
