"""Minted sessions: making, finding, extending and ending them.

Theory of operation. A request is answered from a snapshot of the store in memory. Whether the snapshot is still true
is asked of the store's version number, a look of a few microseconds that reads no row:

- at most every 0.2 s while known tokens come in, so that a session revoked by another process is dead within a second;
- at once for a token that is not in the snapshot but could have been minted, because it may have been minted by another
  process the moment before. A limit on these looks would let junk from one sandbox delay the first request of another,
  so there is none: a look takes about 7 µs, little beside reading the request that brought the token.

Rows are read again only when that number has changed. Junk tokens cannot change it; only whoever mints, extends or
revokes does. While the store cannot be used, the snapshot stands in for a second, then every token raises StoreError.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from keyswap.errors import IdentityError, StoreError
from keyswap.exchange import Session, SessionId
from keyswap.identity import details
from keyswap.identity.snapshot import Snapshot, session_of
from keyswap.identity.token import looks_minted, mint_token, token_hash
from keyswap.identity.ttl import DEFAULT_TTL, checked_ttl
from keyswap.store.interface import SessionRow, SessionStore

LOOK_EVERY = 0.2
"""Seconds between two looks at the store on behalf of known tokens."""
GRACE = 1.0
"""Seconds for which the snapshot stands in for a store that cannot be used."""
KEEP_ENDED = 24 * 3600.0
"""Seconds for which an ended session is remembered, so that its placeholders are still recognised (S18, S21)."""


class Sessions:
    """The minted sessions in `store`. `clock` tells Unix seconds. To be used by one thread."""

    def __init__(self, store: SessionStore, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._version = -1
        self._snapshot = Snapshot(())
        self._looked_at = self._true_at = float("-inf")
        self._trouble: tuple[str, str] | None = None
        self.refresh()

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    def mint(
        self,
        profile: str,
        ttl: float = DEFAULT_TTL,
        *,
        id: str | None = None,  # noqa: A002 - the word of the command line and of the audit
        tenant: str = "",
        run_id: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> tuple[Session, str]:
        """A new session and its token, which is told here and never again.

        `ttl` is in seconds, 1 s to 30 days. The id of a session that has ended may be used again; its placeholders
        are new ones. Raises IdentityError for details out of bounds, SessionExists for the id of a living session.
        Whether the profile exists is for the caller to say.
        """
        now = self._clock()
        draft = SessionRow(
            id=details.session_id(id),
            token_hash=b"",
            profile=details.text(profile, "profile", required=True),
            seed=secrets.token_bytes(16),
            created_at=now,
            expires_at=now + checked_ttl(ttl),
            tenant=details.text(tenant, "tenant"),
            run_id=details.text(run_id, "run id"),
            labels=details.labels(labels or {}),
        )
        token = mint_token()
        row = replace(draft, token_hash=token_hash(token))
        self._store.insert(row)
        self._look()
        return session_of(row), token

    def by_token(self, token: str) -> Session | None:
        """The living session of that token, or None; costs a few microseconds. Raises StoreError (see above)."""
        now = self._clock()
        self._keep_true(now)
        digest = token_hash(token)
        session = self._snapshot.by_hash(digest, now)
        if session is None and looks_minted(token) and self._trouble is None:
            self._look()
            session = self._snapshot.by_hash(digest, now)
        return session

    def alive(self, session: Session) -> bool:
        """Whether that session, as `by_token` told it, still lives. False for a standing one, which is not ours."""
        now = self._clock()
        self._keep_true(now)
        return self._snapshot.alive(session, now)

    def revoke(self, session_id: str) -> bool:
        """End the session with that id; whether one was living."""
        return self._changed(self._store.update_revoked(SessionId(session_id), self._clock()))

    def revoke_run(self, run_id: str) -> int:
        """End all sessions of that run; says how many were living. Raises IdentityError for an empty run id."""
        ended = self._store.update_revoked_run(details.text(run_id, "run id", required=True), self._clock())
        self._changed(ended)
        return ended

    def extend(self, session_id: str, ttl: float) -> None:
        """Let the living session with that id live for `ttl` more seconds from now; never shortens it.

        Raises IdentityError where no such session lives.
        """
        now = self._clock()
        if not self._changed(self._store.extend(SessionId(session_id), now + checked_ttl(ttl), now)):
            raise IdentityError("no living session has that id", "mint one")

    def all(self) -> tuple[SessionRow, ...]:
        """Every session that is remembered, dead ones too, oldest first."""
        self.refresh()
        return self._snapshot.rows

    def prune(self) -> int:
        """Forget sessions that ended more than a day ago; says how many."""
        pruned = self._store.delete_ended(self._clock() - KEEP_ENDED)
        self._changed(pruned)
        return pruned

    def known_seeds(self) -> tuple[bytes, ...]:
        """The seeds of all sessions remembered, dead ones too; the same tuple as long as nothing has changed."""
        self._keep_true(self._clock())
        return self._snapshot.seeds

    def refresh(self) -> bool:
        """Bring the snapshot up to date; whether it had to be. Cheap when nothing changed. Raises StoreError."""
        now = self._clock()
        self._looked_at = now
        # Asked before the rows are read: what is written in between is read now or seen next time, never lost.
        version = self._store.data_version()
        changed = version != self._version
        if changed:
            self._snapshot = Snapshot(self._store.all())
            self._version = version
        self._true_at = now
        self._trouble = None
        return changed

    def _changed(self, count: int) -> bool:
        if count:
            self._look()
        return count > 0

    def _keep_true(self, now: float) -> None:
        # A clock that was set back counts as due.
        if not 0 <= now - self._looked_at < LOOK_EVERY:
            self._look()
        if self._trouble is not None and not 0 <= now - self._true_at < GRACE:
            raise StoreError(*self._trouble)

    def _look(self) -> None:
        try:
            self.refresh()
        except StoreError as error:
            self._trouble = (error.what, error.todo)
