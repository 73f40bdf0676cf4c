"""What a running proxy knows: the policy in force, the sessions, the keys, the audit. The rooms meet here."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keyswap.addons.situation import Situation
from keyswap.audit.writer import AuditWriter
from keyswap.credentials.cache import Keyring
from keyswap.errors import AuditError
from keyswap.exchange import Authority, CredentialName, PlaceholderText, Session
from keyswap.identity.sessions import Sessions
from keyswap.identity.throttle import Throttle
from keyswap.metrics import Metrics
from keyswap.policy.model import Policy
from keyswap.rewrite.placeholder import Book
from keyswap.rewrite.scrub import Masker
from keyswap.secret import Secret
from keyswap.settings import Settings
from keyswap.store.state import State


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
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Where `env:` sources are read, at the start and at a reload."""
    ca_passphrase: bytes | None = field(default=None, repr=False)
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    _log_mask: tuple[tuple[tuple[Secret, ...], ...], Masker] = field(default=((), Masker(())), repr=False)

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.situation.policy

    def close(self) -> None:
        """Let go of the audit and of the store; a second call does nothing."""
        try:
            self.audit.close()
        except AuditError:
            self.metrics.audit_failures.inc()
        self.sessions.close()

    def new_id(self) -> str:
        """A request id: `req_` and 16 hex digits."""
        return f"req_{secrets.token_hex(8)}"

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

    def placeholders(self, session: Session) -> Mapping[CredentialName, PlaceholderText]:
        """What stands for each credential in a session, under the policy in force."""
        return self.situation.placeholders(session)

    def book(self, situation: Situation, session: Session) -> Book:
        """What a session's requests are searched for."""
        return situation.book(session, self.sessions.known_seeds)

    def masker(self, situation: Situation, upstream: Authority, session: Session) -> Masker:
        """What an answer is searched for."""
        return situation.masker(upstream, session, self.keyring.recent)

    def mask(self, text: str) -> str:
        """A log line with every real value overwritten."""
        values = tuple(self.keyring.recent(name) for name in self.policy.credentials)
        kept, masker = self._log_mask
        if len(kept) != len(values) or any(old is not new for old, new in zip(kept, values, strict=True)):
            masker = Masker((secret, PlaceholderText("***")) for recent in values for secret in recent)
            self._log_mask = (values, masker)
        return masker.field(text.encode("utf-8", "replace"))[0].decode("utf-8", "replace")
