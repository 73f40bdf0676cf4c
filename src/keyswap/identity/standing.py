"""Standing sessions: those the policy names, known by their network or by a token of the admin's choice.

They have no end of their own and die with their line in the policy.
"""

import hmac
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from keyswap.errors import IdentityError
from keyswap.exchange import Session, SessionId
from keyswap.identity.source import client_address
from keyswap.identity.token import can_be_presented, token_hash

Network = IPv4Network | IPv6Network
Entry = tuple[str, str, Iterable[Network], str | None]
"""Name, profile, networks, token."""

SHORTEST_TOKEN = 16
_FEWEST_CHARACTERS = 6
_DEFAULTS = (
    "changeme", "change-me", "default", "example", "insecure", "keyswap", "letmein", "password", "placeholder",
    "secret", "test", "token", "your-token-here", "0123456789", "abcdef", "qwertyuiop",
)  # fmt: skip
_TODO = "make one with `openssl rand -hex 32`"


class Standing:
    """The standing sessions in `entries`; raises IdentityError that tells every problem of every entry.

    With networks alone, the network is the session. With a token alone, the token is. With both, the token counts only
    when it comes from there. Tokens are kept as hashes.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._by_name: dict[str, Session] = {}
        self._by_hash: dict[bytes, tuple[bytes, tuple[Network, ...], Session]] = {}
        self._by_network: dict[Network, Session] = {}
        problems = [problem for entry in entries for problem in self._add(*entry)]
        if problems:
            raise IdentityError("; ".join(problems))
        self._networks = sorted(self._by_network.items(), key=lambda item: -item[0].prefixlen)

    def by_source(self, ip: str) -> Session | None:
        """The session of the most specific network that holds `ip`, an address as text; None without one."""
        if not self._networks:
            return None
        address = client_address(ip)
        if address is None:
            return None
        return next((session for network, session in self._networks if address in network), None)

    def by_token(self, token: str, source: str = "") -> Session | None:
        """The session of that token, or None; `source` is the client's address, for entries that name networks, too."""
        digest = token_hash(token)
        kept, networks, session = self._by_hash.get(digest, (b"", (), None))
        if session is None or not hmac.compare_digest(kept, digest):
            return None
        address = client_address(source) if networks else None
        if networks and (address is None or not any(address in network for network in networks)):
            return None
        return session

    def alive(self, session: Session) -> bool:
        """Whether the policy still names that session, with the same profile."""
        return self._by_name.get(session.id) == session

    def _add(self, name: str, profile: str, networks: Iterable[Network], token: str | None) -> list[str]:
        if name in self._by_name:
            return [f"session {name} is named twice: take another name"]
        session = Session(SessionId(name), profile, seed=seed_of(name), standing=True)
        self._by_name[name] = session
        networks = tuple(networks)
        if token is not None:
            return self._add_token(session, networks, token)
        if not networks:
            return [f"session {name} has neither a source nor a token: give it one"]
        taken = [network for network in networks if network in self._by_network]
        self._by_network.update(dict.fromkeys(networks, session))
        return [f"network {network} of session {name} is another session's as well: leave one out" for network in taken]

    def _add_token(self, session: Session, networks: tuple[Network, ...], token: str) -> list[str]:
        problem = token_problem(token)
        if problem:
            return [f"the token of session {session.id} {problem}: {_TODO}"]
        digest = token_hash(token)
        if digest in self._by_hash:
            return [f"session {session.id} has the token of session {self._by_hash[digest][2].id}: {_TODO}"]
        self._by_hash[digest] = (digest, networks, session)
        return []


def seed_of(name: str) -> bytes:
    """What the placeholders of a standing session are derived from: stable over restarts."""
    return b"standing:" + name.encode()


def token_problem(token: str) -> str | None:
    """Why `token` must not guard a session, in words that do not quote it, or None."""
    if not token:
        return "is empty"
    if len(token) < SHORTEST_TOKEN:
        return f"is shorter than {SHORTEST_TOKEN} characters"
    if not can_be_presented(token):
        return "cannot be presented: it is longer than 1024 characters or not visible ASCII"
    if len(set(token)) < _FEWEST_CHARACTERS or _is_default(token.lower()):
        return "is easily guessed"
    return None


def _is_default(token: str) -> bool:
    # What is left of a default when its words are taken out: nothing much.
    for word in sorted(_DEFAULTS, key=len, reverse=True):
        token = token.replace(word, "")
    return len(token) < SHORTEST_TOKEN // 2
