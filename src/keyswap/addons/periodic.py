"""What is looked at again and again while the proxy runs."""

import asyncio
import logging
from abc import ABC, abstractmethod

from keyswap.addons.runtime import Runtime

logger = logging.getLogger(__name__)


class Periodic(ABC):
    """An addon that looks once every `period`, from the start to the end. A look that fails is not the last (S30)."""

    period: float
    """Seconds between two looks."""
    subject: str
    """What is looked at, for the log."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    def look(self) -> None:
        """Look once."""

    def running(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._watch())

    def done(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.period)
            try:
                self.look()
            except Exception as error:
                self.runtime.metrics.hook_failures.inc()
                logger.error("the look at %s failed: %s", self.subject, type(error).__name__)
