"""Roster: sessions that come and go while the proxy runs, some of them minted or revoked by another process.

A session that has ended loses its open connections within a second (S32), and both ends of its life are recorded.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from keyswap.addons.flight import Clients, ClientState, flight_of
from keyswap.addons.runtime import Runtime
from keyswap.errors import AuditError, StoreError
from keyswap.exchange import Session, SessionId
from keyswap.store.interface import SessionRow

logger = logging.getLogger(__name__)

PERIOD = 0.25
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class _Life:
    row: SessionRow
    ended: bool


class Roster:
    """Looks at the table of sessions."""

    def __init__(self, runtime: Runtime, clients: Clients, abort: Callable[..., None]) -> None:
        self.runtime = runtime
        self.clients = clients
        self.abort = abort
        self._lives: dict[tuple[SessionId, bytes], _Life] = {}
        self._task: asyncio.Task[None] | None = None

    def running(self) -> None:
        """Begin to look."""
        self.runtime.sessions.prune()
        self._lives = self._now()
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
        before, now = self._lives, self._now()
        for key, life in now.items():
            if key not in before:
                self._write("session_minted", life.row)
            if life.ended and not (key in before and before[key].ended):
                self._write("session_revoked", life.row)
        for key, life in before.items():
            if key not in now and not life.ended:
                self._write("session_revoked", life.row)
        self._lives = now
        for client, state in self.clients:
            if any(not self.runtime.alive(session) for session in _sessions(state)):
                self.abort(client)

    def _now(self) -> dict[tuple[SessionId, bytes], _Life]:
        self.runtime.sessions.refresh()
        now = self.runtime.wall_clock()
        return {(row.id, row.seed): _Life(row, row.ended_at <= now) for row in self.runtime.sessions.all()}

    def _write(self, event: str, row: SessionRow) -> None:
        session = {"id": row.id, "tenant": row.tenant, "profile": row.profile, "labels": dict(row.labels)}
        try:
            self.runtime.audit.write(event, session=session)
        except AuditError:
            self.runtime.metrics.audit_failures.inc()


def _sessions(state: ClientState) -> Iterator[Session]:
    """Whose connection this is: the tunnel's session, and those of plain requests that are under way."""
    if state.session is not None:
        yield state.session
    for flow in state.flights.values():
        flight = flight_of(flow)
        found = flight.exchange.get("session") if flight is not None else None
        if isinstance(found, Session):
            yield found
