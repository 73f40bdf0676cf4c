"""When the head is due."""

import asyncio
from collections.abc import Callable

INTERVAL = 0.1
"""Seconds that the head may lag behind the file."""
_STUCK = 1.0
"""Seconds after which a loop is taken to have stopped, and the head is written without it."""


class HeadTimer:
    """Calls `refresh` at most once an interval, and within one interval after a `touch`.

    On a running event loop by its timer; without one at the first touch after the interval.
    """

    def __init__(self, refresh: Callable[[], None]) -> None:
        self._refresh = refresh
        self._since: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def touch(self, now: float) -> None:
        """A record was written at `now` (seconds of any clock; one that jumps only makes the head come early)."""
        if self._since is None:
            self._since = now
            try:
                self._handle = asyncio.get_running_loop().call_later(INTERVAL, self._fire)
            except RuntimeError:
                self._handle = None
        elif abs(now - self._since) >= (_STUCK if self._handle else INTERVAL):
            self._fire()

    def cancel(self) -> None:
        """Forget what is due."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._since = None

    def _fire(self) -> None:
        self.cancel()
        self._refresh()
