"""Session rows in, session rows out: the promise every store keeps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from keyswap.errors import StoreError
from keyswap.exchange import SessionId


class SessionExists(StoreError):
    """A living session already has that id."""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One minted session as it is stored. The token itself is never stored. Times are Unix seconds."""

    id: SessionId
    token_hash: bytes = field(repr=False)
    """SHA-256 of the token."""
    profile: str
    seed: bytes = field(repr=False)
    """What its placeholders are derived from."""
    created_at: float
    expires_at: float
    tenant: str = ""
    run_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    revoked_at: float | None = None

    @property
    def ended_at(self) -> float:
        """When it ended, or will end."""
        return self.expires_at if self.revoked_at is None else min(self.revoked_at, self.expires_at)


class SessionStore(Protocol):
    """Keeps session rows, for several processes at once. Every method raises StoreError where the store cannot be used.

    A session lives while it is not revoked and its expiry is ahead. Only living ones are changed: nothing brings a
    dead one back.
    """

    def insert(self, row: SessionRow) -> None:
        """Add a session; raises SessionExists if one with its id lives at `row.created_at`."""

    def get_by_hash(self, token_hash: bytes) -> SessionRow | None:
        """The session of that token, dead or living."""

    def all(self) -> tuple[SessionRow, ...]:
        """Every session, dead ones too, oldest first."""

    def update_revoked(self, session_id: SessionId, at: float) -> int:
        """End the session with that id if it lives at `at`; says how many were ended."""

    def update_revoked_run(self, run_id: str, at: float) -> int:
        """End every session of that run that lives at `at`; says how many were ended."""

    def extend(self, session_id: SessionId, expires_at: float, now: float) -> int:
        """Move the expiry of the session with that id if it lives at `now`, never to an earlier time; says how many."""

    def delete_ended(self, before: float) -> int:
        """Forget sessions that ended before that time; says how many."""

    def data_version(self) -> int:
        """A number that differs from the last one whenever anything was written in between, by whomever. Cheap."""

    def close(self) -> None:
        """Let go of the store; may be called twice."""
