"""Whatever two processes do with their sessions, a token works exactly as long as its session lives."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from identity.conftest import Clock
from keyswap.errors import IdentityError
from keyswap.exchange import Session
from keyswap.identity.sessions import KEEP_ENDED, Sessions
from keyswap.identity.token import mint_token
from keyswap.store.interface import SessionExists
from keyswap.store.sqlite import SqliteStore

IDS = st.sampled_from(["a", "b", "c"])
RUNS = st.sampled_from(["r", "s"])
TTLS = st.sampled_from([1.0, 5.0, 60.0])
WHO = st.integers(0, 1)


@dataclass
class Known:
    """What the model knows of one session."""

    session: Session
    token: str
    expires: float
    revoked: float | None = None

    @property
    def ended(self) -> float:
        return self.expires if self.revoked is None else self.revoked

    def lives(self, now: float) -> bool:
        return self.revoked is None and now < self.expires


class TwoProcesses(RuleBasedStateMachine):
    tokens = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = Clock()
        self.stores = [SqliteStore(self.folder / "sessions.db") for _ in range(2)]
        self.processes = [Sessions(store, clock=self.clock) for store in self.stores]
        self.known: list[Known] = []

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        shutil.rmtree(self.folder)

    def living(self, id: str) -> Known | None:  # noqa: A002
        return next((one for one in self.known if one.session.id == id and one.lives(self.clock.now)), None)

    @rule(target=tokens, who=WHO, id=IDS, run=RUNS, ttl=TTLS)
    def mint(self, who: int, id: str, run: str, ttl: float) -> str:  # noqa: A002
        if self.living(id):
            with pytest.raises(SessionExists):
                self.processes[who].mint("default", ttl, id=id)
            return mint_token()
        session, token = self.processes[who].mint("default", ttl, id=id, run_id=run)
        self.known.append(Known(session, token, self.clock.now + ttl))
        assert self.processes[1 - who].by_token(token) == session
        return token

    @rule(who=WHO, id=IDS)
    def revoke(self, who: int, id: str) -> None:  # noqa: A002
        one = self.living(id)
        assert self.processes[who].revoke(id) is (one is not None)
        if one:
            one.revoked = self.clock.now
            assert self.processes[who].by_token(one.token) is None

    @rule(who=WHO, run=RUNS)
    def revoke_run(self, who: int, run: str) -> None:
        ended = [one for one in self.known if one.session.run_id == run and one.lives(self.clock.now)]
        assert self.processes[who].revoke_run(run) == len(ended)
        for one in ended:
            one.revoked = self.clock.now

    @rule(who=WHO, id=IDS, ttl=TTLS)
    def extend(self, who: int, id: str, ttl: float) -> None:  # noqa: A002
        one = self.living(id)
        if one is None:
            with pytest.raises(IdentityError):
                self.processes[who].extend(id, ttl)
        else:
            self.processes[who].extend(id, ttl)
            one.expires = max(one.expires, self.clock.now + ttl)

    @rule(who=WHO)
    def prune(self, who: int) -> None:
        kept = [one for one in self.known if one.ended >= self.clock.now - KEEP_ENDED]
        assert self.processes[who].prune() == len(self.known) - len(kept)
        self.known = kept

    @rule(seconds=st.sampled_from([0.3, 1.0, 4.0, 30.0, KEEP_ENDED]))
    def wait(self, seconds: float) -> None:
        self.clock.forward(seconds)

    @rule(who=WHO, token=tokens)
    def ask(self, who: int, token: str) -> None:
        self.clock.forward(0.25)  # both have looked at the store since
        one = next((one for one in self.known if one.token == token and one.lives(self.clock.now)), None)
        found = self.processes[who].by_token(token)
        assert (found.seed if found else None) == (one.session.seed if one else None)
        assert found is None or found.expires_at == one.expires  # type: ignore[union-attr]

    @invariant()
    def both_processes_agree_with_the_model(self) -> None:
        self.clock.forward(0.25)
        for process in self.processes:
            for one in self.known:
                assert process.alive(one.session) is one.lives(self.clock.now)
            assert process.known_seeds() == tuple(one.session.seed for one in self.known)


TestTwoProcesses = TwoProcesses.TestCase
TestTwoProcesses.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
