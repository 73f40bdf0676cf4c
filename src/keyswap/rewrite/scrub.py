"""Real values out of an answer, placeholders into their place (S26, S27); the length never changes."""

from collections.abc import Iterable, Sequence

from keyswap.exchange import PlaceholderText
from keyswap.rewrite.forms import Form, forms_of
from keyswap.rewrite.gate import Gate
from keyswap.rewrite.stream import Stream
from keyswap.secret import Secret

SHORTEST = 8
"""Bytes of the shortest value that is scrubbed; shorter ones stand in harmless text by chance (S27)."""


class Masker:
    """What one answer is searched for: the values this proxy may release to that upstream, and what to write instead.

    Made once for an upstream, its values and a session, and shared by all their answers; it is never changed. Of two
    pairs with the same value, the first counts. A hit is overwritten with the placeholder, cut or filled with `*`.
    """

    __slots__ = ("_gate", "_least", "_size", "skipped")

    skipped: int
    """How many values are too short to be scrubbed."""

    def __init__(self, pairs: Iterable[tuple[Secret, PlaceholderText]]) -> None:
        masks: dict[bytes, bytes] = {}
        for secret, placeholder in pairs:
            masks.setdefault(secret.reveal(), placeholder.encode())
        values = [value for value in masks if len(value) >= SHORTEST]
        self.skipped = len(masks) - len(values)
        self._size = len(values)
        self._least = min(map(len, values), default=0)
        self._gate = Gate(_forms(masks, values)) if values else None

    @property
    def idle(self) -> bool:
        """Whether there is nothing to look for."""
        return self._gate is None

    def field(self, value: bytes) -> tuple[bytes, int]:
        """A whole text, such as the value of a header, scrubbed; and how many hits were overwritten."""
        if len(value) < self._least or self._gate is None:
            return value, 0
        stream = self.stream()
        return stream.feed(value) + stream.end(), stream.count

    def stream(self) -> Stream:
        """A scrubber for one body that comes in chunks."""
        return Stream(self._gate)

    def __repr__(self) -> str:
        return f"<Masker of {self._size} values>"


def _forms(masks: dict[bytes, bytes], values: Sequence[bytes]) -> list[Form]:
    return [form for value in values for form in forms_of(value, _safe(masks[value], values))]


def _safe(mask: bytes, values: Iterable[bytes]) -> bytes:
    """The placeholder; nothing, and so only `*`, where a fixed one has a value in it by mistake."""
    return b"" if any(value in mask for value in values) else mask
