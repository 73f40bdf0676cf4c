"""Minted sessions: S18, S32, S39, S40, S42."""

from collections.abc import Callable
from pathlib import Path

import pytest

from identity.conftest import Clock
from keyswap.errors import IdentityError, StoreError
from keyswap.exchange import Session, SessionId
from keyswap.identity.sessions import Sessions
from keyswap.identity.token import mint_token
from keyswap.store.interface import SessionExists
from keyswap.store.sqlite import SqliteStore

DAY = 86400.0
Opened = Callable[[], Sessions]


class Counting(SqliteStore):
    """Counts how often the store is asked."""

    looks = reads = 0

    def data_version(self) -> int:
        self.looks += 1
        return super().data_version()

    def all(self):  # type: ignore[no-untyped-def]
        self.reads += 1
        return super().all()


@pytest.fixture
def counting(path: Path):  # type: ignore[no-untyped-def]
    store = Counting(path)
    yield store
    store.close()


def test_without_sessions_every_token_is_unknown(sessions: Sessions) -> None:
    assert sessions.by_token(mint_token()) is sessions.by_token("") is sessions.by_token("junk") is None
    assert sessions.all() == sessions.known_seeds() == ()
    assert not sessions.alive(Session(SessionId("a"), "default", b"seed"))


def test_S39_a_minted_session_is_known_by_its_token(sessions: Sessions, clock: Clock) -> None:
    session, token = sessions.mint("reader", 60.0, id="a", tenant="acme", run_id="r", labels={"agent": "x"})
    assert sessions.by_token(token) == session
    assert (session.id, session.profile, session.tenant, session.run_id) == ("a", "reader", "acme", "r")
    assert session.labels == {"agent": "x"}
    assert session.expires_at == clock.now + 60.0
    assert not session.standing
    assert sessions.alive(session)
    assert [row.id for row in sessions.all()] == ["a"]


def test_S39_a_session_lives_for_24_hours_unless_told_otherwise(sessions: Sessions, clock: Clock) -> None:
    session, token = sessions.mint("default")
    clock.forward(DAY - 1)
    assert sessions.by_token(token)
    clock.forward(1)
    assert sessions.by_token(token) is None
    assert not sessions.alive(session)


@pytest.mark.parametrize("ttl", [0.5, 31 * DAY])
def test_S39_a_time_to_live_has_bounds(sessions: Sessions, ttl: float) -> None:
    with pytest.raises(IdentityError):
        sessions.mint("default", ttl)
    assert sessions.all() == ()


def test_S42_the_state_file_holds_no_token(sessions: Sessions, path: Path) -> None:
    _, token = sessions.mint("default", labels={"marker": "this-is-in-the-file"})
    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"this-is-in-the-file" in content
    assert token.encode() not in content
    assert token[3:].encode() not in content


def test_S42_nothing_about_a_session_prints_token_or_seed(sessions: Sessions) -> None:
    session, token = sessions.mint("default")
    (row,) = sessions.all()
    printed = f"{session!r} {row!r} {sessions!r}"
    assert token not in printed
    assert repr(session.seed) not in printed
    assert repr(row.token_hash) not in printed


def test_S18_an_id_minted_again_has_another_seed_and_both_are_remembered(sessions: Sessions, clock: Clock) -> None:
    first, old = sessions.mint("default", 1.0, id="a")
    clock.forward(1.0)
    second, new = sessions.mint("default", id="a")
    assert len({first.seed, second.seed}) == 2
    assert {len(first.seed), len(second.seed)} == {16}
    assert sessions.known_seeds() == (first.seed, second.seed)
    assert (sessions.by_token(old), sessions.by_token(new)) == (None, second)
    assert (sessions.alive(first), sessions.alive(second)) == (False, True)


def test_the_id_of_a_living_session_is_taken(sessions: Sessions) -> None:
    sessions.mint("default", id="a")
    with pytest.raises(SessionExists):
        sessions.mint("default", id="a")


@pytest.mark.parametrize(
    "details", [{"id": "A B"}, {"profile": ""}, {"tenant": "a\nb"}, {"run_id": "\0"}, {"labels": {"": ""}}]
)
def test_S42_details_out_of_bounds_mint_nothing(sessions: Sessions, details: dict[str, object]) -> None:
    with pytest.raises(IdentityError):
        sessions.mint(**{"profile": "default", **details})  # type: ignore[arg-type]
    assert sessions.all() == ()


def test_S40_a_session_of_the_same_id_and_another_seed_does_not_live(sessions: Sessions) -> None:
    session, _ = sessions.mint("default", id="a")
    assert not sessions.alive(Session(session.id, session.profile, b"standing:a", standing=True))
    assert not sessions.alive(Session(SessionId("b"), session.profile, session.seed))


def test_revoking_ends_a_session_once(sessions: Sessions) -> None:
    session, token = sessions.mint("default")
    assert sessions.revoke(session.id)
    assert sessions.by_token(token) is None
    assert not sessions.alive(session)
    assert not sessions.revoke(session.id)
    assert not sessions.revoke("nobody")


def test_revoking_a_run_ends_all_its_sessions_and_no_others(sessions: Sessions) -> None:
    tokens = [sessions.mint("default", run_id=run)[1] for run in ("r", "r", "s", "")]
    assert sessions.revoke_run("r") == 2
    assert [sessions.by_token(token) is not None for token in tokens] == [False, False, True, True]
    assert sessions.revoke_run("r") == 0


def test_an_empty_run_id_does_not_end_the_sessions_without_one(sessions: Sessions) -> None:
    _, token = sessions.mint("default")
    with pytest.raises(IdentityError, match="the run id is empty"):
        sessions.revoke_run("")
    assert sessions.by_token(token)


def test_a_heartbeat_extends_a_living_session(sessions: Sessions, clock: Clock) -> None:
    session, token = sessions.mint("default", 10.0)
    clock.forward(9.0)
    sessions.extend(session.id, 10.0)
    clock.forward(9.0)
    found = sessions.by_token(token)
    assert found
    assert found.expires_at == clock.now + 1.0
    assert sessions.alive(session)
    sessions.extend(session.id, 30 * DAY)
    sessions.extend(session.id, 1.0)
    clock.forward(30 * DAY - 1)
    assert sessions.by_token(token)


@pytest.mark.parametrize("end", ["expired", "revoked", "never there"])
def test_S39_nothing_brings_a_dead_session_back(sessions: Sessions, clock: Clock, end: str) -> None:
    session, token = sessions.mint("default", 10.0)
    if end == "expired":
        clock.forward(10.0)
    else:
        sessions.revoke(session.id)
    with pytest.raises(IdentityError, match="no living session"):
        sessions.extend("nobody" if end == "never there" else session.id, 60.0)
    assert sessions.by_token(token) is None


def test_an_extension_has_the_bounds_of_a_life(sessions: Sessions) -> None:
    session, _ = sessions.mint("default")
    with pytest.raises(IdentityError):
        sessions.extend(session.id, 31 * DAY)


def test_S18_a_dead_session_is_remembered_for_a_day(sessions: Sessions, clock: Clock) -> None:
    session, _ = sessions.mint("default", 10.0)
    clock.forward(10.0 + DAY)
    assert sessions.prune() == 0
    assert sessions.known_seeds() == (session.seed,)
    clock.forward(1.0)
    assert sessions.prune() == 1
    assert sessions.known_seeds() == ()


# Two processes


def test_a_session_minted_by_another_process_works_at_once(sessions: Sessions, opened: Opened) -> None:
    other = opened()
    for _ in range(50):
        assert sessions.by_token(mint_token()) is None
        session, token = other.mint("default")
        assert sessions.by_token(token) == session


def test_S32_a_session_revoked_by_another_process_is_dead_within_a_second(
    sessions: Sessions, opened: Opened, clock: Clock
) -> None:
    other = opened()
    session, token = sessions.mint("default")
    clock.forward(5.0)
    assert sessions.by_token(token)
    other.revoke(session.id)
    clock.forward(0.19)
    assert sessions.by_token(token), "no look at the store within 0.2 s"
    clock.forward(0.02)
    assert sessions.by_token(token) is None
    assert not sessions.alive(session)


def test_a_session_extended_by_another_process_does_not_end(sessions: Sessions, opened: Opened, clock: Clock) -> None:
    session, token = sessions.mint("default", 10.0)
    clock.forward(9.95)
    assert sessions.by_token(token)
    opened().extend(session.id, 10.0)
    clock.forward(0.06)
    assert sessions.by_token(token)


def test_refreshing_tells_whether_it_had_to_be(sessions: Sessions, opened: Opened) -> None:
    other = opened()
    assert not sessions.refresh()
    other.mint("default")
    assert sessions.refresh()
    assert not sessions.refresh()


def test_S38_known_tokens_read_no_rows_and_seldom_look(counting: Counting, clock: Clock) -> None:
    sessions = Sessions(counting, clock=clock)
    session, token = sessions.mint("default")
    counting.looks = counting.reads = 0
    for _ in range(1000):
        clock.forward(0.001)
        assert sessions.by_token(token)
        assert sessions.alive(session)
        sessions.known_seeds()
    assert counting.looks == 5 or counting.looks == 4
    assert counting.reads == 0


def test_S39_junk_tokens_read_no_rows(counting: Counting, clock: Clock) -> None:
    sessions = Sessions(counting, clock=clock)
    sessions.mint("default")
    counting.looks = counting.reads = 0
    for _ in range(1000):
        sessions.by_token(mint_token())
    assert counting.reads == 0
    counting.looks = 0
    for junk in ("", "junk", "ks_", "ks_" + "!" * 43):
        sessions.by_token(junk)
    assert counting.looks == 0


def test_the_same_seeds_are_the_same_tuple(sessions: Sessions, clock: Clock) -> None:
    sessions.mint("default")
    before = sessions.known_seeds()
    clock.forward(1.0)
    assert sessions.known_seeds() is before


# When something breaks


def test_S30_a_store_that_breaks_is_bridged_for_a_second_and_then_nobody_is_known(
    counting: Counting, clock: Clock, path: Path
) -> None:
    """Whether a session was revoked cannot be known any more."""
    sessions = Sessions(counting, clock=clock)
    session, token = sessions.mint("default")
    path.rename(path.with_suffix(".away"))
    clock.forward(0.5)
    assert sessions.by_token(token) == session
    assert sessions.by_token(mint_token()) is None
    clock.forward(0.6)
    for ask in (lambda: sessions.by_token(token), lambda: sessions.alive(session), sessions.known_seeds):
        with pytest.raises(StoreError, match="cannot be used"):
            ask()
    path.with_suffix(".away").rename(path)
    clock.forward(0.3)
    assert sessions.by_token(token) == session


def test_S38_a_broken_store_is_not_asked_for_every_request(counting: Counting, clock: Clock, path: Path) -> None:
    sessions = Sessions(counting, clock=clock)
    _, token = sessions.mint("default")
    path.rename(path.with_suffix(".away"))
    clock.forward(5.0)
    counting.looks = 0
    for _ in range(100):
        with pytest.raises(StoreError):
            sessions.by_token(token)
    assert counting.looks == 1


def test_without_a_store_there_are_no_sessions(counting: Counting, clock: Clock) -> None:
    counting.close()
    with pytest.raises(StoreError):
        Sessions(counting, clock=clock)


def test_a_clock_that_is_set_back_stops_no_look(sessions: Sessions, opened: Opened, clock: Clock) -> None:
    session, token = sessions.mint("default")
    clock.forward(-3600.0)
    opened().revoke(session.id)
    assert sessions.by_token(token) is None
