"""Roster: sessions that come and go while the proxy runs, some of them minted or revoked by another process.

A session that has ended loses its open connections within a second (S32), and both ends of its life are recorded.
"""

import asyncio
import logging
from collections.abc import Callable

from keyswap.addons.flight import Clients
from keyswap.addons.runtime import Runtime
from keyswap.errors import AuditError, StoreError
from keyswap.exchange import SessionId
from keyswap.store.interface import SessionRow

logger = logging.getLogger(__name__)

PERIOD = 0.25
"""Seconds between two looks."""


class Roster:
    """Looks at the table of sessions."""

    def __init__(self, runtime: Runtime, clients: Clients, abort: Callable[..., None]) -> None:
        self.runtime = runtime
        self.clients = clients
        self.abort = abort
        self._living: dict[SessionId, SessionRow] | None = None
        self._task: asyncio.Task[None] | None = None

    def running(self) -> None:
        """Begin to look."""
        self.runtime.sessions.prune()
        self._living = self._now_living()
        self._task = asyncio.create_task(self._watch())

    def done(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            try:
                self.look()
            except StoreError:
                continue  # a session that cannot be looked up is refused where it is asked about
            except Exception as error:  # a look that fails must not be the last one (S30)
                self.runtime.metrics.hook_failures.inc()
                logger.error("the look at sessions failed: %s", type(error).__name__)

    def look(self) -> None:
        """Look once."""
        before, now = self._living or {}, self._now_living()
        for row in now.values():
            if row.id not in before or before[row.id].seed != row.seed:
                self._write("session_minted", row)
        for row in before.values():
            if row.id not in now or now[row.id].seed != row.seed:
                self._write("session_revoked", row)
        self._living = now
        for client, state in self.clients:
            if state.session is not None and not self.runtime.alive(state.session):
                self.abort(client)

    def _now_living(self) -> dict[SessionId, SessionRow]:
        self.runtime.sessions.refresh()
        now = self.runtime.wall_clock()
        return {row.id: row for row in self.runtime.sessions.all() if row.ended_at > now}

    def _write(self, event: str, row: SessionRow) -> None:
        session = {"id": row.id, "tenant": row.tenant, "profile": row.profile, "labels": dict(row.labels)}
        try:
            self.runtime.audit.write(event, session=session)
        except AuditError:
            self.runtime.metrics.audit_failures.inc()
