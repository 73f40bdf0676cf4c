"""Walks one chain, line by line, and says where it is not what was written. Quiet: bytes in, flaws out.

    unsound line, its seq missing otherwise     edited
    unsound line, nothing missing               inserted
    sound line that nothing leads to            inserted; reordered, if its seq is missing elsewhere
    seqs that no line has                       removed; at the end, up to the head: cut
    sound line whose successor names another    edited (and hashed anew)
    checkpoint or head of our key that fails    rewritten (a change, and every hash after it computed anew)
    checkpoint or head of another key           signature

Each change is told once, at its own line. Of a line that was moved, the line is told, not those it passed; where two
or more changed places, those are told that stand behind a later one.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from keyswap.audit.chain import GENESIS, Line, Link, read_line
from keyswap.audit.checkpoint import Head, checkpoint_statement
from keyswap.audit.signer import PUB, Verifier

Kind = Literal["edited", "removed", "reordered", "inserted", "cut", "rewritten", "signature", "head"]
_FORK = 4096
"""Records of a forged branch that are still told one by one."""
_FLAWS = 1000
"""As many as a person reads; the others are counted."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file; line 0 is the file itself."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Flaw:
    """One change that somebody made, or a disk."""

    kind: Kind
    file: str
    line: int
    """From 1; for what is missing, the line before which it stood; 0 for a whole file."""
    seq: int
    """Of the record; of the first one, where several are meant."""
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}: {self.what}"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the walk remembers of a sound line."""

    place: Place
    link: Link
    prev: str
    signature: tuple[str, str] | None
    """Key and signature of a checkpoint."""

    def continues(self, link: Link) -> bool:
        return self.link.seq == link.seq + 1 and self.prev == link.hash


@dataclass(slots=True)
class _Gap:
    """Seqs that no line had in their place."""

    first: int
    last: int
    place: Place
    found: set[int] = field(default_factory=set)
    """Those that are accounted for: edited, or standing elsewhere."""

    def holds(self, seq: int) -> bool:
        return self.first <= seq <= self.last and seq not in self.found

    def runs(self) -> Iterator[tuple[int, int]]:
        """First and last of each run of seqs that are really missing."""
        start = self.first
        for seq in (*sorted(self.found), self.last + 1):
            if start < seq:
                yield start, seq - 1
            start = seq + 1


@dataclass(frozen=True, slots=True)
class _Jump:
    """A line that left a gap, and what was known before it, until the next line shows whether it belongs there."""

    line: _Seen
    link: Link
    signed: int
    flaws: int
    rewritten: bool


class Walk:
    """One walk: `feed` each line in order, then `finish`."""

    def __init__(self, name: str, verifier: Verifier, head: Head | None) -> None:
        """`name`: the log's file name, as it was signed; `head`: its signature already looked at."""
        self._name, self._verifier, self._head = name, verifier, head
        self.link = GENESIS
        """The last record that fits; its hash is empty where that record was edited."""
        self.records = 0
        self.signed = 0
        """The last seq that a checkpoint vouches for."""
        self.flaws: list[Flaw] = []
        self.untold = 0
        """Flaws over the number that is told."""
        self._pending: list[tuple[Place, int | None]] = []
        self._strays: list[_Seen] = []
        self._gaps: list[_Gap] = []
        self._accepted: deque[_Seen] = deque(maxlen=_FORK)
        self._jump: _Jump | None = None
        self._rewritten = False
        self._at_head: str | None = None
        self._after_head: Place | None = None
        self._place = Place(name, 0)

    def feed(self, place: Place, text: bytes) -> None:
        """The next line of the chain, at `place`."""
        self._place = place
        self.records += 1
        line = read_line(text)
        if line is None or not line.sound:
            self._pending.append((place, line.seq if line is not None else None))
            return
        seen = _Seen(place, line.link, line.prev, _signature(line))
        self._reconsider(seen)
        if line.seq <= self.link.seq:
            self._strays.append(seen)
            return
        if line.seq == self.link.seq + 1:
            self._drop_pending()
            self._check_prev(seen)
        else:
            self._leave_gap(seen)
        self._accept(seen)

    def finish(self) -> None:
        """No more lines: `flaws` is complete, ordered by record."""
        self._place_strays()
        self._end_pending()
        for gap in self._gaps:
            for first, last in gap.runs():
                self._tell("removed", gap.place, first, f"{_records(first, last)} missing before this line")
        if self._head is not None:
            self._check_head(self._head)
        self.flaws.sort(key=lambda flaw: flaw.seq)

    def _reconsider(self, line: _Seen) -> None:
        """A line that continues what stood before the last gap: what made that gap does not belong there."""
        jump, self._jump = self._jump, None
        if jump is not None and line.continues(jump.link):
            self._strays.append(jump.line)
            self._gaps.pop()
            self._accepted.pop()
            del self.flaws[jump.flaws :]
            self.link, self.signed, self._rewritten = jump.link, jump.signed, jump.rewritten

    def _check_prev(self, line: _Seen) -> None:
        if self.link.hash in ("", line.prev) or self._switch_branch(line):
            return
        blamed = self._accepted[-1] if self._accepted else line
        what = f"record {blamed.link.seq} was changed and hashed anew: what follows names another hash"
        self._tell("edited", blamed.place, blamed.link.seq, what)

    def _switch_branch(self, line: _Seen) -> bool:
        """Forged records stood before the true ones, which then looked like strays: the two change over."""
        wanted, branch = Link(self.link.seq, line.prev), []
        for stray in reversed(self._strays):
            if stray.link == wanted:
                branch.append(stray)
                wanted = Link(wanted.seq - 1, stray.prev)
        for stray, forged in zip(branch, list(reversed(self._accepted)), strict=False):
            self._strays.remove(stray)
            self._intruder(forged.place, forged.link.seq)
        return bool(branch)

    def _leave_gap(self, line: _Seen) -> None:
        """Records are missing before this one; unsound lines in their place are what became of them."""
        if not self._pending:
            self._jump = _Jump(line, self.link, self.signed, len(self.flaws), self._rewritten)
        gap = _Gap(self.link.seq + 1, line.link.seq - 1, line.place)
        stated = {seq for _, seq in self._pending if seq is not None and gap.holds(seq)}
        free = gap.first
        for place, seq in self._pending:
            while free in stated or free in gap.found:
                free += 1
            told = seq if seq is not None and seq in stated and gap.holds(seq) else free
            self._edited(place, told) if gap.holds(told) else self._intruder(place, seq)
            gap.found.add(told)
        self._pending = []
        self._gaps.append(gap)

    def _drop_pending(self) -> None:
        for place, seq in self._pending:
            self._intruder(place, seq)
        self._pending = []

    def _accept(self, line: _Seen) -> None:
        self.link = line.link
        self._accepted.append(line)
        if self._head is not None and self.link.seq == self._head.link.seq:
            self._at_head = self.link.hash
        elif self._head is not None and self.link.seq == self._head.link.seq + 1:
            self._after_head = line.place
        if line.signature is not None:
            self._check_signature(line, *line.signature)

    def _check_signature(self, line: _Seen, key: str, signature: str) -> None:
        before = Link(line.link.seq - 1, line.prev)
        if key != self._verifier.key_id:
            self._tell("signature", line.place, line.link.seq, f"this checkpoint was not signed with the key in {PUB}")
        elif self._verifier.valid(checkpoint_statement(self._name, before), signature):
            self.signed = before.seq
        else:
            self._tell_rewritten(line.place, before.seq, "the checkpoint here")

    def _place_strays(self) -> None:
        starts = [gap.first for gap in self._gaps]
        for stray in sorted(self._strays, key=lambda stray: stray.link.seq):
            seq = stray.link.seq
            at = bisect_right(starts, seq) - 1
            if at >= 0 and self._gaps[at].holds(seq):
                self._gaps[at].found.add(seq)
            elif stray.continues(self.link):
                self._accept(stray)
            else:
                self._intruder(stray.place, seq)
                continue
            self._tell("reordered", stray.place, seq, f"record {seq} does not stand in its place")

    def _end_pending(self) -> None:
        head = self._head
        for place, seq in self._pending:
            known = head is not None and self.link.seq < head.link.seq
            open_end = head is None or not head.closed
            if known or (open_end and seq == self.link.seq + 1):
                self.link = Link(self.link.seq + 1, "")
                self._edited(place, self.link.seq)
            else:
                self._intruder(place, seq)

    def _check_head(self, head: Head) -> None:
        missing = head.link.seq - self.link.seq
        if missing > 0:
            what = f"{_records(self.link.seq + 1, head.link.seq)} missing at the end"
            self._tell("cut", self._place, self.link.seq + 1, what)
        elif missing < 0 and head.closed:
            what = f"{_records(head.link.seq + 1, self.link.seq)} added after the log was closed"
            self._tell("inserted", self._after_head or self._place, head.link.seq + 1, what)
        told = any(flaw.kind in ("edited", "signature") and flaw.seq == head.link.seq for flaw in self.flaws)
        if self._at_head not in (None, head.link.hash) and not told:
            self._tell_rewritten(self._place, head.link.seq, "the head")
        elif missing <= 0 and not self._rewritten:
            self.signed = max(self.signed, head.link.seq)

    def _tell_rewritten(self, place: Place, last: int, witness: str) -> None:
        # Every later signature fails for the same reason.
        if not self._rewritten:
            self._rewritten = True
            first = self.signed + 1
            what = f"one of the records {first} to {last} was changed and all hashes after it computed anew: {witness}"
            self._tell("rewritten", place, first, f"{what} does not fit")

    def _edited(self, place: Place, seq: int) -> None:
        self._tell("edited", place, seq, f"record {seq} does not hash to what it states")

    def _intruder(self, place: Place, seq: int | None) -> None:
        what = "a line that is no record" if seq is None else f"a line that states seq {seq}"
        self._tell("inserted", place, self.link.seq + 1 if seq is None else seq, f"{what} was added")

    def _tell(self, kind: Kind, place: Place, seq: int, what: str) -> None:
        if len(self.flaws) < _FLAWS:
            self.flaws.append(Flaw(kind, place.file, place.line, seq, what))
        else:
            self.untold += 1


def _signature(line: Line) -> tuple[str, str] | None:
    if line.record.get("event") != "checkpoint":
        return None
    stated = line.record.get("checkpoint")
    return (str(stated.get("key")), str(stated.get("sig"))) if isinstance(stated, dict) else ("", "")


def _records(first: int, last: int) -> str:
    return f"record {first} is" if first == last else f"records {first} to {last} are"
