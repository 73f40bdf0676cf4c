"""All minted sessions as they stood at one moment, ready to be asked by token."""

import hmac
from collections.abc import Iterable
from types import MappingProxyType

from keyswap.exchange import Session
from keyswap.store.interface import SessionRow


class Snapshot:
    """The sessions in `rows`, dead ones too. What it says never changes."""

    __slots__ = ("_by_hash", "_by_seed", "_sessions", "rows", "seeds")

    def __init__(self, rows: Iterable[SessionRow]) -> None:
        self.rows = tuple(rows)
        self.seeds = tuple(row.seed for row in self.rows)
        """The seed of every session, dead or living."""
        self._by_hash = {row.token_hash: row for row in self.rows}
        self._by_seed = {row.seed: row for row in self.rows}
        # Made when first asked for: most of ten thousand sessions are silent between two changes of the store.
        self._sessions: dict[bytes, Session] = {}

    def by_hash(self, token_hash: bytes, now: float) -> Session | None:
        """The session of that token, if it lives.

        A look-up by hash tells nothing about a token by its time, since nobody can choose the hash of a guess; the
        comparison in constant time makes that independent of how a dictionary works (S39).
        """
        row = self._by_hash.get(token_hash)
        if row is None or not hmac.compare_digest(row.token_hash, token_hash) or row.ended_at <= now:
            return None
        session = self._sessions.get(token_hash)
        if session is None:
            session = self._sessions[token_hash] = session_of(row)
        return session

    def alive(self, session: Session, now: float) -> bool:
        """Whether that very session lives: an id can be minted again, a seed cannot."""
        row = self._by_seed.get(session.seed)
        return row is not None and row.id == session.id and row.ended_at > now


def session_of(row: SessionRow) -> Session:
    """What the other rooms are told about a row."""
    return Session(
        id=row.id,
        profile=row.profile,
        seed=row.seed,
        expires_at=row.expires_at,
        tenant=row.tenant,
        run_id=row.run_id,
        labels=MappingProxyType(dict(row.labels)),
    )
