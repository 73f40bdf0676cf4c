"""One policy in force, and everything that follows from it and from who asks.

A reload builds a whole new Situation beside the old one and swaps it in by one assignment; a request keeps the one it
began with, so that it is judged by one policy from its first step to its last.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keyswap.exchange import Authority, CredentialName, PlaceholderText, Session
from keyswap.identity.standing import Standing
from keyswap.policy.model import Credential, Policy
from keyswap.rewrite.placeholder import Book, derive, has_check, make_book
from keyswap.rewrite.scrub import Masker
from keyswap.secret import Secret

CACHE_LIMIT = 4096
"""Entries of each cache; a full one is emptied, since sessions come and go in runs."""

Values = tuple[tuple[Secret, ...], ...]
"""The values in use, for each credential of an upstream."""


@dataclass(slots=True)
class Situation:
    """A policy and what follows from it. Only its caches change; their keys hold seeds, since ids are used again."""

    policy: Policy
    standing: Standing
    placeholder_key: bytes = field(repr=False)
    """What placeholders are derived with."""
    _books: dict[tuple[bytes, tuple[bytes, ...]], Book] = field(default_factory=dict, repr=False)
    _maskers: dict[tuple[Authority, bytes], tuple[Values, Masker]] = field(default_factory=dict, repr=False)
    _short: tuple[Credential, ...] = field(init=False, repr=False)
    """The credentials whose placeholders carry no check."""
    _bound: dict[Authority, tuple[Credential, ...]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._short = tuple(one for one in self.policy.credentials.values() if not has_check(one.shape))

    def credentials_at(self, upstream: Authority) -> tuple[Credential, ...]:
        """The credentials bound to an upstream, whatever the profile."""
        found = self._bound.get(upstream)
        if found is None:
            every = self.policy.credentials.values()
            found = tuple(one for one in every if one.bound_to(upstream.host, upstream.port))
            _remember(self._bound, upstream, found)
        return found

    def placeholders(self, session: Session) -> Mapping[CredentialName, PlaceholderText]:
        """What stands for each credential in a session; the same in every process on this state."""
        return {one.name: self._placeholder(one, session.seed) for one in self.policy.credentials.values()}

    def book(self, session: Session, known_seeds: Callable[[], tuple[bytes, ...]]) -> Book:
        """What a session's requests are searched for.

        `known_seeds` gives the seeds of all sessions: placeholders of shapes too short for a check are known by them
        alone (S18). It is asked only where there is such a shape.
        """
        seeds = known_seeds() if self._short else ()
        key = (session.seed, seeds)
        found = self._books.get(key)
        if found is None:
            known = [self._placeholder(one, seed) for one in self._short for seed in seeds if seed != session.seed]
            found = self._make_book(session, known)
            _remember(self._books, key, found)
        return found

    def _make_book(self, session: Session, known: list[PlaceholderText]) -> Book:
        every = self.policy.credentials.values()
        shapes = [(one.name, one.shape) for one in every]
        headers = {one.name: one.headers for one in every}
        return make_book(self.placeholder_key, session.seed, shapes, headers, known=known)

    def masker(
        self, upstream: Authority, session: Session, recent: Callable[[CredentialName], tuple[Secret, ...]]
    ) -> Masker:
        """What an answer of this upstream is searched for: every value this proxy may release to it, or lately did."""
        bound = self.credentials_at(upstream)
        if not bound:
            return IDLE
        values = tuple(recent(credential.name) for credential in bound)
        key = (upstream, session.seed)
        kept = self._maskers.get(key)
        # `recent` gives the same tuples as long as nothing has changed; the cache keeps them, so identity is enough.
        if kept is not None and all(old is new for old, new in zip(kept[0], values, strict=True)):
            return kept[1]
        pairs = [
            (secret, self._placeholder(credential, session.seed))
            for credential, secrets in zip(bound, values, strict=True)
            for secret in secrets
        ]
        masker = Masker(pairs)
        _remember(self._maskers, key, (values, masker))
        return masker

    def _placeholder(self, credential: Credential, seed: bytes) -> PlaceholderText:
        return derive(credential.shape, key=self.placeholder_key, seed=seed, credential=credential.name)


IDLE = Masker(())
"""For upstreams that no credential is bound to."""


def _remember[K, V](cache: dict[K, V], key: K, value: V) -> None:
    if len(cache) >= CACHE_LIMIT:
        cache.clear()
    cache[key] = value
