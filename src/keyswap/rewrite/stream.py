"""Scrubbing one body, chunk by chunk: bytes in, as many bytes out, sooner or later.

Held back is only what begins a form that the next bytes may complete; everything before it goes out at once. Hits that
overlap are overwritten as one, with the placeholder of the one that starts first (of two such, the longer), and what is
decided of them goes out at once as well: a body that is nothing but overlapping hits is not collected.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from keyswap.rewrite.gate import Gate
from keyswap.rewrite.trail import Trail


@dataclass(slots=True, repr=False)
class _Cover:
    """A stretch to overwrite; positions count from the first byte held back, and are negative where it has gone out."""

    start: int
    end: int
    mask: bytes

    def between(self, low: int, high: int) -> bytes:
        """What to write from `low` to `high`: the placeholder, then `*`."""
        return self.mask[low - self.start : high - self.start].ljust(high - low, b"*")

    def moved(self, by: int) -> "_Cover":
        return _Cover(self.start - by, self.end - by, self.mask)


class Stream:
    """The scrubber of one body. What `feed` and `end` return, joined, is as long as what was fed."""

    __slots__ = ("_cover", "_gate", "_held", "_hits", "_trails", "count")

    count: int
    """How many hits were overwritten so far; overlapping ones are one."""

    def __init__(self, gate: Gate | None) -> None:
        self.count = 0
        self._gate = gate
        self._held = b""
        self._trails: list[Trail] = []
        self._hits: list[_Cover] = []
        self._cover: _Cover | None = None

    def feed(self, chunk: bytes) -> bytes:
        """What can go out after `chunk`; empty where all of it may belong to a hit still to come."""
        if self._gate is None or not chunk:
            return chunk
        starts = self._gate.starts(chunk)
        if not starts and not self._trails:
            return chunk
        text = self._held + chunk
        for trail in self._trails:
            trail.follow(text)
        self._trails += _begun(self._gate, text, len(self._held), starts)
        self._hits += [_hit(trail) for trail in self._trails if trail.end and not trail.open]
        self._trails = [trail for trail in self._trails if trail.open]
        return self._release(text, min((trail.start for trail in self._trails), default=len(text)))

    def end(self) -> bytes:
        """The rest. A form of which only the beginning has come goes out as it is; a whole one is overwritten."""
        self._hits += [_hit(trail) for trail in self._trails if trail.end]
        self._trails = []
        return self._release(self._held, len(self._held))

    def _release(self, text: bytes, cut: int) -> bytes:
        """The first `cut` bytes of `text`, in which every hit is known; the others are held back."""
        out = self._overwritten(text, cut) if self._hits or self._cover else text[:cut]
        self._held = text[cut:]
        for trail in self._trails:
            trail.moved(cut)
        return out

    def _overwritten(self, text: bytes, cut: int) -> bytes:
        covers = self._joined(cut)
        out = bytearray(text[:cut])
        for cover in covers:
            low, high = max(cover.start, 0), min(cover.end, cut)
            out[low:high] = cover.between(low, high)
        last = covers[-1] if covers else None
        self._cover = last.moved(cut) if last and last.end > cut else None
        self._hits = [hit.moved(cut) for hit in self._hits]
        return bytes(out)

    def _joined(self, cut: int) -> list[_Cover]:
        """The hits that start before `cut`, overlapping ones as one; the later ones stay in `_hits`."""
        due = sorted((hit for hit in self._hits if hit.start < cut), key=lambda hit: (hit.start, -hit.end, hit.mask))
        self._hits = [hit for hit in self._hits if hit.start >= cut]
        covers = [self._cover] if self._cover else []
        for hit in due:
            if covers and hit.start < covers[-1].end:
                covers[-1].end = max(covers[-1].end, hit.end)
            else:
                covers.append(hit)
                self.count += 1
        return covers


def _begun(gate: Gate, text: bytes, before: int, starts: Iterable[int]) -> list[Trail]:
    """The forms that begin in `text`, `before` bytes behind `starts`, and are whole or may still become so."""
    begun = []
    for at in starts:
        for form in gate.beginning(text, before + at):
            trail = Trail(form, before + at)
            trail.follow(text)
            if trail.end or trail.open:
                begun.append(trail)
    return begun


def _hit(trail: Trail) -> _Cover:
    return _Cover(trail.start, trail.end, trail.form.mask)
