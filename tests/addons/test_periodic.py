"""What is looked at while the proxy runs for months (S30, S32, S38)."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from keyswap.addons.flight import Clients
from keyswap.addons.roster import PRUNE_EVERY, Roster
from keyswap.identity.sessions import KEEP_ENDED, Sessions
from keyswap.store.sqlite import SqliteStore


class Times:
    """Monotonic and wall seconds that go on together."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_S38_sessions_that_ended_long_ago_are_forgotten_while_it_runs(tmp_path: Path) -> None:
    times, written = Times(), []
    sessions = Sessions(SqliteStore(tmp_path / "sessions.db"), clock=times)
    audit = SimpleNamespace(write=lambda event, **fields: written.append((event, fields["session"]["id"])))
    runtime: Any = SimpleNamespace(clock=times, wall_clock=times, sessions=sessions, audit=audit)
    roster = Roster(runtime, Clients(), lambda *connections: None)
    roster.running()
    session, _ = sessions.mint("default", 60)
    for passed in (0.0, 60.0, KEEP_ENDED - PRUNE_EVERY, 2 * PRUNE_EVERY):
        times.now += passed
        roster.look()
    assert sessions.all() == ()
    assert written == [("session_minted", session.id), ("session_revoked", session.id)]
    roster.done()
    sessions.close()
