"""What a running proxy knows: the policy in force, the sessions, the keys, the audit. The rooms meet here.

A `Situation` is one policy with everything derived from it; a reload builds a whole new one beside the old and swaps it
in by one assignment, so that a request is judged by one policy from its first step to its last.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from keyswap.audit.writer import AuditWriter
from keyswap.credentials.cache import Keyring
from keyswap.exchange import (
    Authority,
    CredentialName,
    PlaceholderText,
    Session,
)
from keyswap.identity.sessions import Sessions
from keyswap.identity.standing import Standing
from keyswap.identity.throttle import Throttle
from keyswap.metrics import Metrics
from keyswap.policy.model import Credential, Policy
from keyswap.rewrite.placeholder import Book, derive, has_check, make_book
from keyswap.rewrite.scrub import Masker
from keyswap.secret import Secret
from keyswap.settings import Settings
from keyswap.store.state import PLACEHOLDERS, State

CACHE_LIMIT = 4096
"""Entries of each per-session cache; a full cache is emptied, since sessions come and go in runs."""


@dataclass(slots=True)
class Situation:
    """One policy and what follows from it. Replaced as a whole; only its caches grow."""

    policy: Policy
    standing: Standing
    books: dict[tuple[object, ...], Book] = field(default_factory=dict)
    maskers: dict[tuple[object, ...], Masker] = field(default_factory=dict)
    bound: dict[Authority, tuple[Credential, ...]] = field(default_factory=dict)

    def credentials_at(self, upstream: Authority) -> tuple[Credential, ...]:
        """The credentials bound to an upstream, whatever the profile."""
        found = self.bound.get(upstream)
        if found is None:
            found = tuple(
                credential
                for credential in self.policy.credentials.values()
                if credential.bound_to(upstream.host, upstream.port)
            )
            _remember(self.bound, upstream, found)
        return found


@dataclass(slots=True)
class Runtime:
    """The one object every addon holds."""

    settings: Settings
    state: State
    situation: Situation
    keyring: Keyring
    sessions: Sessions
    throttle: Throttle
    audit: AuditWriter
    metrics: Metrics
    listeners: tuple[tuple[str, int], ...] = ()
    """Addresses and ports we listen on."""
    own_names: tuple[tuple[str, int], ...] = ()
    """Host texts and ports that name our own listeners."""
    draining: bool = False
    ca_passphrase: bytes | None = field(default=None, repr=False)
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.situation.policy

    def new_id(self) -> str:
        """A request id: `req_` and 16 hex digits."""
        return f"req_{secrets.token_hex(8)}"

    # -- who is asking ----------------------------------------------------------------------------------------

    def session_by_token(self, token: str, peer: str) -> Session | None:
        """The living session of a token, minted or standing, for a client at `peer`."""
        return self.sessions.by_token(token) or self.situation.standing.by_token(token, peer)

    def session_by_source(self, peer: str) -> Session | None:
        """The standing session of a network."""
        return self.situation.standing.by_source(peer)

    def alive(self, session: Session) -> bool:
        """Whether a session that was good a moment ago still is."""
        if session.standing:
            return self.situation.standing.alive(session)
        return self.sessions.alive(session)

    # -- what is looked for, and what is put in its place ---------------------------------------------------------

    def book(self, session: Session) -> Book:
        """What one session's requests are searched for, under the policy in force."""
        situation = self.situation
        key = (session.id, session.seed, self._uncheckable_seeds())
        found = situation.books.get(key)
        if found is None:
            found = self._build_book(session)
            _remember(situation.books, key, found)
        return found

    def placeholders(self, session: Session) -> Mapping[CredentialName, PlaceholderText]:
        """What stands for each credential in this session."""
        return placeholders_of(self.state, self.policy, session)

    def _uncheckable_seeds(self) -> tuple[bytes, ...]:
        """All sessions' seeds, where some shape is too short to carry a check and is known by its text only (S18)."""
        if all(has_check(one.shape) for one in self.policy.credentials.values()):
            return ()
        return self.sessions.known_seeds()

    def _build_book(self, session: Session) -> Book:
        credentials = self.policy.credentials.values()
        key = self.state.subkey(PLACEHOLDERS)
        known = [
            derive(one.shape, key=key, seed=seed, credential=one.name)
            for one in credentials
            if not has_check(one.shape)
            for seed in self._uncheckable_seeds()
            if seed != session.seed
        ]
        return make_book(
            key,
            session.seed,
            [(one.name, one.shape) for one in credentials],
            {one.name: one.headers for one in credentials},
            known=known,
        )

    def masker(self, upstream: Authority, session: Session) -> Masker:
        """What an answer of this upstream is searched for: every value this proxy may release to it, or lately did."""
        situation = self.situation
        bound = situation.credentials_at(upstream)
        if not bound:
            return _IDLE
        recent = [(credential, self.keyring.recent(credential.name)) for credential in bound]
        key = (upstream, session.id, session.seed, tuple(tuple(map(id, values)) for _, values in recent))
        found = situation.maskers.get(key)
        if found is None:
            found = Masker(_pairs(self.placeholders(session), recent))
            _remember(situation.maskers, key, found)
        return found

    def mask(self, text: str) -> str:
        """A log line with every real value overwritten."""
        pairs: list[tuple[Secret, PlaceholderText]] = [
            (secret, PlaceholderText("***")) for name in self.policy.credentials for secret in self.keyring.recent(name)
        ]
        masker = Masker(pairs)
        return masker.field(text.encode("utf-8", "replace"))[0].decode("utf-8", "replace")


_IDLE = Masker(())


def placeholders_of(state: State, policy: Policy, session: Session) -> dict[CredentialName, PlaceholderText]:
    """What stands for each credential in this session; the same in every process on this state."""
    key = state.subkey(PLACEHOLDERS)
    return {
        one.name: derive(one.shape, key=key, seed=session.seed, credential=one.name)
        for one in policy.credentials.values()
    }


def _pairs(
    placeholders: Mapping[CredentialName, PlaceholderText],
    recent: Iterable[tuple[Credential, tuple[Secret, ...]]],
) -> list[tuple[Secret, PlaceholderText]]:
    return [(secret, placeholders[credential.name]) for credential, values in recent for secret in values]


def _remember[K, V](cache: dict[K, V], key: K, value: V) -> None:
    if len(cache) >= CACHE_LIMIT:
        cache.clear()
    cache[key] = value
