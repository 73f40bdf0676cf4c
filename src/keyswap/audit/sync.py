"""One fdatasync for all who wait: whoever comes while one runs shares the next. Nobody waits for a timer."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from keyswap.errors import AuditError


class GroupSync:
    """Waits until records survive a power loss, without stopping the event loop.

    A thread of its own: the loop's default ones may all be waiting for a resolver.
    """

    def __init__(self, begin: Callable[[], tuple[int, int]], on_failure: Callable[[], None]) -> None:
        """`begin` gives the last seq written and a descriptor of its own of the file that holds it."""
        self._begin = begin
        self._on_failure = on_failure
        self._pool = ThreadPoolExecutor(1, "keyswap-audit")
        self._round: asyncio.Task[bool] | None = None
        self.synced = 0
        """The last seq that survives a power loss."""

    async def wait(self, seq: int) -> None:
        """Return when record `seq` survives a power loss; AuditError if that cannot be had."""
        while self.synced < seq:
            if self._round is None:
                self._round = asyncio.ensure_future(self._sync())
            # A waiter whose client left must not take the others' round with it.
            if not await asyncio.shield(self._round):
                raise AuditError("the audit cannot be synced to its disk", "look at the disk; releases are refused")

    async def run(self, job: Callable[[], None]) -> None:
        """Do blocking work in the same thread, after what was asked for before."""
        await asyncio.get_running_loop().run_in_executor(self._pool, job)

    def close(self) -> None:
        """Wait for what runs; nothing can be asked for afterwards."""
        self._pool.shutdown(wait=True)

    async def _sync(self) -> bool:
        try:
            seq, descriptor = self._begin()
            await asyncio.wrap_future(self._submit(descriptor))
        except (OSError, RuntimeError):
            self._on_failure()
            return False
        finally:
            self._round = None
        self.synced = max(self.synced, seq)
        return True

    def _submit(self, descriptor: int) -> Future[None]:
        try:
            return self._pool.submit(_sync_and_close, descriptor)
        except RuntimeError:
            os.close(descriptor)
            raise


def _sync_and_close(descriptor: int) -> None:
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
