"""The one writer of a log. `write` returns when the line is in the kernel's hands, or raises and left no byte (S33).

Around the lines it keeps: a signed checkpoint every `_CHECKPOINT_RECORDS` records or `_CHECKPOINT_SECONDS` seconds with
traffic, at each rotation (the last record of the old file) and at `close`; a signed head beside the file; one lock.

What does not hold any more is repaired before the next line, or that line is refused: a tail that could not be taken
back, a file that was moved, cut or written by another, a sync that failed, a head that could not be replaced.
"""

import asyncio
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Literal

from keyswap.audit.chain import GENESIS, Link, append
from keyswap.audit.checkpoint import checkpoint_statement, read_head, sync_directory, write_head
from keyswap.audit.file import LogFile, lock
from keyswap.audit.names import failed, head_path, rotated_path, worker_path
from keyswap.audit.record import CALLER_FIELDS, EVENTS, VERSION, timestamp
from keyswap.audit.recover import Known, recover
from keyswap.audit.signer import Signer
from keyswap.audit.sync import GroupSync
from keyswap.audit.timer import INTERVAL, HeadTimer
from keyswap.errors import AuditError

_CHECKPOINT_RECORDS = 1000
_CHECKPOINT_SECONDS = 60.0
_CARRIED = 8
"""Notes of repairs that wait for the next record; a disk that fails again and again adds no more."""


class AuditWriter:
    """Writes the records of one process into one log. Not for threads: one event loop calls it."""

    def __init__(
        self,
        path: str | Path,
        *,
        state_dir: str | Path,
        node: str,
        worker: int = 0,
        durability: Literal["process", "machine"] = "process",
        rotate: int = 256 * 1024 * 1024,
        clock: Callable[[], float] = time.time,
        masker: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """Open, lock and recover the log; AuditError where it cannot be continued.

        `rotate` is in bytes; a file may end one record and one checkpoint above it. `clock` gives Unix seconds.
        `masker` is called with each line before it is hashed.
        """
        self.path = worker_path(Path(path), worker)
        """The log of this worker."""
        self._node, self._worker, self._rotate_at, self._clock = node, worker, rotate, clock
        self._masker = masker
        self._durable = durability == "machine"
        self._signer = Signer.open(Path(state_dir))
        self._headed, self._head_failed, self._head_lock = GENESIS, False, Lock()
        self._lock = lock(self.path)
        try:
            self._open()
        except BaseException:
            os.close(self._lock)
            raise
        self._group = GroupSync(lambda: (self._link.seq, self._file.duplicate()), self._sync_failed)
        self._timer = HeadTimer(self._refresh_head)
        self._saving: asyncio.Task[None] | None = None
        self._checkpoint_at = clock()
        self._broken = self._unsynced = self._closed = False
        self._carried: tuple[str, ...] = ()
        self.problem: AuditError | None = None
        """Why the last record could not be written; None while all is well."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found at the start (a torn line, missing records), for the `started` record."""
        return self._notes

    def write(self, event: str, **fields: object) -> int:
        """Append one record and return its seq. AuditError where it cannot be written: then nothing may be released.

        `fields` are those of `record.CALLER_FIELDS`; any other is an AuditError, as is a value of the wrong type.
        """
        if event not in EVENTS or event == "checkpoint" or not fields.keys() <= CALLER_FIELDS:
            odd = sorted(fields.keys() - CALLER_FIELDS)
            raise AuditError(f"the audit knows no field {odd[0]}" if odd else "the audit knows no such event")
        try:
            self._make_ready()
            seq = self._append(event, fields)
        except AuditError as error:
            self.problem = error
            raise
        self.problem = None
        return seq

    async def durable(self, seq: int) -> None:
        """Return when record `seq` is as durable as the policy asks: at once for `process`, synced for `machine`."""
        if not self._durable:
            return
        try:
            await self._group.wait(seq)
        except AuditError as error:
            self.problem = error
            raise

    def close(self) -> None:
        """Sign the end and let go of the log. AuditError where the end cannot be signed; it is let go all the same."""
        if self._closed:
            return
        self._closed = True
        self._timer.cancel()
        if self._saving is not None:
            self._saving.cancel()
        self._group.close()
        try:
            if self._broken or not self._file.intact():
                self._heal()
            self._checkpoint()
            self._save_head(closed=True)
            self._group.synced = self._link.seq
        finally:
            self._file.close()
            os.close(self._lock)

    def _open(self) -> None:
        ts = timestamp(self._clock())
        head = read_head(self.path)
        if head is not None and not head.valid(self._signer, self.path):
            raise AuditError(
                f"{head_path(self.path)} was not signed with this state directory's key",
                "use the state directory the log was written with, or move the log and its head away",
            )
        recovered = recover(self.path, Known(head.link, exact=head.closed) if head else None, ts)
        self._file, self._link, self._notes = recovered.file, recovered.link, recovered.notes
        # What a crash left without a checkpoint gets one with the next.
        self._since_checkpoint = 0 if head is not None and head.closed else min(1, self._link.seq)
        try:
            self._save_head()
        except AuditError:
            self._file.close()
            raise

    def _make_ready(self) -> None:
        if self._closed:
            raise AuditError(f"{self.path} is closed")
        if self._broken or not self._file.intact():
            self._heal()
        if self._head_failed:
            self._save_head()
        if self._file.size >= self._rotate_at:
            self._rotate()
        elif (
            self._since_checkpoint >= _CHECKPOINT_RECORDS
            or abs(self._clock() - self._checkpoint_at) >= _CHECKPOINT_SECONDS
        ):
            self._checkpoint()

    def _append(self, event: str, fields: dict[str, object]) -> int:
        now = self._clock()
        record = {
            "v": VERSION, "ts": timestamp(now), "node": self._node, "worker": self._worker, "event": event, **fields,
        }  # fmt: skip
        if self._carried:
            told = fields.get("notes")
            record["notes"] = [*self._carried, *(told if isinstance(told, list | tuple) else ())]
        link, line = append(self._link, record, self._masker)
        try:
            self._file.append(line)
        finally:
            self._broken = self._broken or self._file.torn
        self._link, self._carried = link, ()
        self._since_checkpoint += 1
        self._timer.touch(now)
        return link.seq

    def _checkpoint(self) -> None:
        """Sign the chain so far, unless nothing was written since the last time."""
        if self._since_checkpoint:
            signature = self._signer.sign(checkpoint_statement(self.path.name, self._link))
            self._append("checkpoint", {"checkpoint": {"key": self._signer.key_id, "sig": signature}})
        self._since_checkpoint, self._checkpoint_at = 0, self._clock()

    def _rotate(self) -> None:
        self._checkpoint()
        target = rotated_path(self.path, timestamp(self._clock()), self._link.seq)
        try:
            if self._durable:
                self._file.sync()
                self._group.synced = self._link.seq
            os.rename(self.path, target)
            self._file.close()
            self._file = LogFile(self.path, fresh=True)
            self._sync_names()
        except OSError as error:
            raise failed("rotate", self.path, error, "free disk space or look at the rights of the directory") from None

    def _heal(self) -> None:
        """Continue the chain from what this process wrote, whatever became of the file."""
        self._broken = True
        self._file.close()
        known = Known(self._link, exact=True, size=self._file.size)
        recovered = recover(self.path, known, timestamp(self._clock()))
        self._file = recovered.file
        self._carried = (*self._carried, *recovered.notes)[-_CARRIED:]
        self._sync_names()
        # If records were lost, the head alone tells a start after a crash that the gap is known.
        self._save_head()
        if self._unsynced and self._file.size:
            # After a failed fdatasync the kernel may forget pages that never reached the disk: begin on fresh ones.
            self._rotate()
        self._broken = self._unsynced = False

    def _sync_names(self) -> None:
        """Make a new file's name survive a power loss, where the records in it must."""
        if self._durable:
            try:
                sync_directory(self.path)
            except OSError as error:
                self._broken = True
                raise failed("sync the directory of", self.path, error, "look at the disk") from None

    def _sync_failed(self) -> None:
        self._broken = self._unsynced = True

    def _save_head(self, *, closed: bool = False) -> None:
        if self._durable:
            self._file.sync()
        self._write_head(self._link, closed)

    def _write_head(self, link: Link, closed: bool) -> None:
        ts = timestamp(self._clock())
        with self._head_lock:
            # The thread may come late, after a repair has stated more.
            if link.seq >= self._headed.seq:
                write_head(self.path, self._signer, link, ts, closed=closed, durable=self._durable)
            self._headed, self._head_failed = max(link, self._headed, key=lambda end: end.seq), False

    def _refresh_head(self) -> None:
        """The timer's call. A head that cannot be replaced refuses the next record, so that somebody notices."""
        if self._durable and _loop_runs():
            if self._saving is None or self._saving.done():
                self._saving = asyncio.ensure_future(self._save_head_aside())
            return
        try:
            self._save_head()
        except AuditError:
            self._head_failed = True

    async def _save_head_aside(self) -> None:
        """Keep the head up with the file without blocking the loop; it never states what a power loss may take."""
        try:
            while self._headed != self._link:
                link = self._link
                await self._group.wait(link.seq)
                await self._group.run(partial(self._write_head, link, False))
                await asyncio.sleep(INTERVAL)
        except AuditError:
            self._head_failed = True


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
