"""Has anybody changed the audit since it was written? All chains of a log, rotated files and workers, as one report.

What is found, and how it is told, stands in `walk`. What no signature can find: an older log put back with its older
head and state directory; records that were never signed (a crash: at most the last 100 ms); a log, all its rotated
files and its state directory replaced together. Against these, keep what a report ends in (`Chain.last`, `key`)
elsewhere.

Without us
----------
Record 2 of a file, from a shell. The digest printed must be the `hash` in the line, and `prev` the `hash` of record 1:

    line=$(sed -n 2p audit.jsonl)
    prev=$(printf %s "$line" | jq -r .prev)
    body=$(printf %s "$line" | sed -E 's/,"hash":"[0-9a-f]{64}"\\}$/}/')
    printf %s%s "$prev" "$body" | sha256sum

A checkpoint record signs its own `prev` (the lines signed stand in `checkpoint`):

    printf 'keyswap-audit-checkpoint-v1\\n%s\\n%s\\n%s\\n' audit.jsonl $((seq - 1)) "$prev" > statement
    printf %s "$line" | jq -r .checkpoint.sig | base64 -d > sig
    openssl pkeyutl -verify -pubin -inkey audit.pub -rawin -in statement -sigfile sig
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from keyswap.audit.chain import Link
from keyswap.audit.checkpoint import Head, read_head
from keyswap.audit.names import head_path, parts, worker_path, workers
from keyswap.audit.reading import lines, open_parts
from keyswap.audit.record import MAX_LINE
from keyswap.audit.signer import PUB, Verifier
from keyswap.audit.walk import Flaw, Place, Walk
from keyswap.errors import AuditError


@dataclass(frozen=True, slots=True)
class Chain:
    """One chain, as it was found."""

    file: str
    files: tuple[str, ...]
    """Its files in order, without directory."""
    records: int
    last: Link
    """The last record that fits."""
    signed: int
    """The last seq that a signature vouches for."""
    flaws: tuple[Flaw, ...]
    untold: int
    """Further flaws, over the number that is told."""
    notes: tuple[str, ...]
    """What is worth knowing and no flaw: a torn last line, records that are not signed yet."""


@dataclass(frozen=True, slots=True)
class Report:
    """All chains of a log."""

    chains: tuple[Chain, ...]
    key: str
    """The id of the key in `audit.pub`."""

    @property
    def flaws(self) -> tuple[Flaw, ...]:
        return tuple(flaw for chain in self.chains for flaw in chain.flaws)

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(f"{chain.file}: {note}" for chain in self.chains for note in chain.notes)

    @property
    def records(self) -> int:
        return sum(chain.records for chain in self.chains)

    @property
    def ok(self) -> bool:
        """Nothing was changed, as far as can be known."""
        return not self.flaws


def verify(path: str | Path, *, state_dir: str | Path) -> Report:
    """Read every record of the log at `path` and of its workers. The log may be in use.

    AuditError where there is no log at all, or it or the public key cannot be read.
    """
    base = Path(path)
    verifier = Verifier.open(Path(state_dir))
    numbers = workers(base)
    if not numbers and not parts(base) and read_head(base) is None:
        raise AuditError(f"there is no audit at {base}", "name the path of the policy's audit section")
    return Report(
        tuple(_chain(worker_path(base, number), verifier) for number in range(max(numbers, default=0) + 1)),
        verifier.key_id,
    )


def _chain(path: Path, verifier: Verifier) -> Chain:
    # The head first: what is written meanwhile is then behind it, never before.
    head = read_head(path)
    flaw = _head_flaw(path, head, verifier)
    walk = Walk(path.name, verifier, None if flaw else head)
    notes = []
    with ExitStack() as stack:
        files = open_parts(path, stack)
        for file, handle in files:
            torn = _feed(walk, file.name, handle, last=file == path)
            if torn:
                notes.append(
                    f"the last line is torn ({torn} bytes): a record is being written, or a crash was in its way"
                )
    walk.finish()
    if flaw is None and head is not None and not head.closed and walk.link.seq > head.link.seq:
        notes.append(f"{walk.link.seq - head.link.seq} records after {head.link.seq} are not signed yet")
    flaws = (*walk.flaws, flaw) if flaw else tuple(walk.flaws)
    names = tuple(file.name for file, _ in files)
    return Chain(path.name, names, walk.records, walk.link, walk.signed, flaws, walk.untold, tuple(notes))


def _head_flaw(path: Path, head: Head | None, verifier: Verifier) -> Flaw | None:
    file = head_path(path).name
    if head is None:
        return Flaw("head", file, 0, 0, "the head is missing or cannot be read: a cut at the end would not be noticed")
    if not head.valid(verifier, path):
        return Flaw("signature", file, 0, head.link.seq, f"the head was not signed for this log with the key in {PUB}")
    return None


def _feed(walk: Walk, name: str, handle: BinaryIO, *, last: bool) -> int:
    """Feed a file's lines; the bytes of a torn last line of the last file, which are not fed, or 0."""
    for number, text in enumerate(lines(handle), 1):
        if last and not text.endswith(b"\n") and len(text) <= MAX_LINE:
            return len(text)
        walk.feed(Place(name, number), text)
    return 0
