"""What is known of a client's connection, and of a request under way.

Exchange is a request's notebook of frozen values; a Flight holds what goes on changing until the answer's last byte.
"""

import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mitmproxy import http
from mitmproxy.connection import Client

from keyswap.addons.situation import Situation
from keyswap.exchange import Ask, Authority, Decision, Exchange, Refusal, Session
from keyswap.policy.model import Entry

KEY = "keyswap"
"""Where a flow's metadata holds its Flight."""


@dataclass(slots=True)
class Counters:
    """Bytes and times of one request; monotonic seconds."""

    bytes_in: int = 0
    """Body bytes from the client."""
    bytes_out: int = 0
    """Body bytes to the client."""
    first_byte: float | None = None
    released: float | None = None
    scrubbed: int = 0


@dataclass(slots=True)
class Flight:
    """One request between its head's arrival and its record's end."""

    exchange: Exchange
    situation: Situation
    """The policy it is judged by, from its first step to its last, whatever is loaded meanwhile."""
    entry: Entry | None = None
    counters: Counters = field(default_factory=Counters)
    recorded: bool = False
    """The end has been written; a second hook for the same request writes nothing."""
    over: Refusal | None = None
    """The limit that its body turned out to be over, after it was released."""


@dataclass(slots=True)
class ClientState:
    """One TCP connection of a client."""

    id: str
    peer: str
    """Its IP address."""
    opened: float
    session: Session | None = None
    """Who opened the tunnel; each request asks again whether that session lives."""
    authority: Authority | None = None
    """A, of the CONNECT; None: no tunnel."""
    ask: Ask | None = None
    """What was asked at CONNECT, and the verdict."""
    connect: Decision | None = None
    connect_entry: Entry | None = None
    counted: bool = False
    head_since: float | None = None
    """Since when an unfinished request head is waiting."""
    heard: bool = False
    """Whether a whole request head has ever arrived."""
    flights: dict[str, http.HTTPFlow] = field(default_factory=dict)
    """Requests under way, by the flow's id."""

    @property
    def tunnel(self) -> bool:
        """Whether requests arrive inside a CONNECT."""
        return self.authority is not None


class Clients:
    """All open client connections."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_client: weakref.WeakKeyDictionary[Client, ClientState] = weakref.WeakKeyDictionary()
        self._per_session: dict[str, int] = {}

    def of(self, client: Client) -> ClientState:
        """The state of this connection, made on first sight."""
        state = self._by_client.get(client)
        if state is None:
            peer = client.peername[0] if client.peername else ""
            state = self._by_client[client] = ClientState(client.id, peer, self._clock())
        return state

    def __iter__(self) -> Iterator[tuple[Client, ClientState]]:
        return iter(list(self._by_client.items()))

    def __len__(self) -> int:
        return len(self._by_client)

    def landed(self, flow: http.HTTPFlow) -> None:
        """Drop a request that is over; its connection may have ended before it."""
        state = self._by_client.get(flow.client_conn)
        if state is not None:
            state.flights.pop(flow.id, None)

    def forget(self, client: Client) -> ClientState | None:
        """Drop a connection that has ended."""
        state = self._by_client.pop(client, None)
        if state is not None:
            self._uncount(state)
        return state

    def count(self, state: ClientState, session: Session, limit: int) -> bool:
        """Count this connection for its session; False: the session has `limit` connections already."""
        if state.counted:
            return True
        held = self._per_session.get(session.id, 0)
        if held >= limit:
            return False
        self._per_session[session.id] = held + 1
        state.counted, state.session = True, session
        return True

    def _uncount(self, state: ClientState) -> None:
        if not state.counted or state.session is None:
            return
        held = self._per_session.get(state.session.id, 0) - 1
        if held > 0:
            self._per_session[state.session.id] = held
        else:
            self._per_session.pop(state.session.id, None)


def flight_of(flow: http.HTTPFlow) -> Flight | None:
    """The Flight of a flow, or None where Identify has not seen it."""
    found = flow.metadata.get(KEY)
    return found if isinstance(found, Flight) else None
