"""Roster: sessions that come and go while the proxy runs, some of them minted or revoked by another process.

A session that has ended loses its open connections within a second (S32), and both ends of its life are recorded.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from keyswap.addons.flight import Clients, ClientState, flight_of
from keyswap.addons.periodic import Periodic
from keyswap.addons.runtime import Runtime
from keyswap.errors import AuditError, StoreError
from keyswap.exchange import Session, SessionId
from keyswap.store.interface import SessionRow

PRUNE_EVERY = 3600.0
"""Seconds between two prunings of the table: a proxy that runs for months shall not carry all that was ever minted."""


@dataclass(frozen=True, slots=True)
class _Life:
    row: SessionRow
    ended: bool


class Roster(Periodic):
    """Looks at the table of sessions."""

    period = 0.25
    subject = "sessions"

    def __init__(self, runtime: Runtime, clients: Clients, abort: Callable[..., None]) -> None:
        super().__init__(runtime)
        self.clients = clients
        self.abort = abort
        self._lives: dict[tuple[SessionId, bytes], _Life] = {}
        self._pruned_at = 0.0

    def running(self) -> None:
        """Begin to look."""
        self._prune()
        self._lives = self._now()
        super().running()

    def look(self) -> None:
        """Look once."""
        with contextlib.suppress(StoreError):  # a session that cannot be looked up is refused where it is asked about
            if self.runtime.clock() - self._pruned_at >= PRUNE_EVERY:
                self._prune()
            self._record_lives()
            self._close_dead()

    def _prune(self) -> None:
        self._pruned_at = self.runtime.clock()
        self.runtime.sessions.prune()

    def _record_lives(self) -> None:
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

    def _close_dead(self) -> None:
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
