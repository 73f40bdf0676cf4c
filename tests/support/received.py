"""What reached a server: one record a request, one a connection, and questions a test asks of them."""

import base64
import binascii
import hashlib
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_to_bytes

Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True, eq=False)
class ConnectionSeen:
    """One accepted TCP connection."""

    id: int
    tls: bool | None = None
    """None: closed before its first byte."""
    sni: str | None = None
    alpn: str | None = None
    bytes_in: int = 0
    """Bytes received, inside TLS where there is TLS; 0: connected and said nothing."""
    closed: bool = False


@dataclass(slots=True, eq=False)
class Received:
    """One request, exactly as it came."""

    connection: int
    sni: str | None
    scheme: str
    version: str
    """`HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`."""
    method: str
    target: bytes
    """The request target, or `:path`."""
    fields: Fields
    """In the order of the wire; pseudo-headers included on HTTP/2."""
    raw_head: bytes
    """The bytes up to and including the blank line; empty on HTTP/2."""
    at: float
    """Monotonic seconds, when the head was complete."""
    body: bytearray = field(default_factory=bytearray)
    trailers: Fields = ()
    complete: bool = False
    """The whole body has arrived."""

    @property
    def path(self) -> str:
        """The decoded path without its query."""
        return unquote_to_bytes(self.target.partition(b"?")[0]).decode("latin-1")

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition(b"?")[2].decode("latin-1"), keep_blank_values=True))

    @property
    def host(self) -> str:
        """`:authority` or Host, as sent."""
        return (self.header(":authority") or self.header("host") or b"").decode("latin-1")

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    def values(self, name: str) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name.encode()]

    def header(self, name: str) -> bytes | None:
        """The first value of `name` (lower case), or None."""
        return next(iter(self.values(name)), None)

    @property
    def keys(self) -> list[bytes]:
        """What this request presents as a key: X-Api-Key and the like, a bearer, both halves of Basic."""
        plain = [value for name in ("x-api-key", "x-goog-api-key") for value in self.values(name)]
        return plain + [key for value in self.values("authorization") for key in _of_authorization(value)]

    def holds(self, needle: bytes) -> bool:
        """Whether `needle` is anywhere in it: head (raw, percent-decoded, or inside Basic), body or trailers."""
        parts = [self.raw_head, self.target, unquote_to_bytes(self.target), bytes(self.body), *self.keys]
        parts += [part for pair in (*self.fields, *self.trailers) for part in pair]
        return any(needle in part for part in parts)


def _of_authorization(value: bytes) -> list[bytes]:
    scheme, _, rest = value.strip().partition(b" ")
    if scheme.lower() != b"basic":
        return [rest.strip()]
    try:
        user, _, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
    except binascii.Error:
        return []
    return [user, password]


class Recorder:
    """All requests and connections of one server, in order of arrival; safe to ask from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[Received] = []
        self._connections: list[ConnectionSeen] = []

    @property
    def requests(self) -> list[Received]:
        with self._changed:
            return list(self._requests)

    @property
    def connections(self) -> list[ConnectionSeen]:
        with self._changed:
            return list(self._connections)

    def connected(self) -> ConnectionSeen:
        with self._changed:
            self._connections.append(ConnectionSeen(len(self._connections)))
            self._changed.notify_all()
            return self._connections[-1]

    def add(self, request: Received) -> None:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def completed(self, request: Received) -> None:
        with self._changed:
            request.complete = True
            self._changed.notify_all()

    def holding(self, needle: bytes) -> list[Received]:
        """The requests that hold `needle` anywhere."""
        return [request for request in self.requests if request.holds(needle)]

    def to(self, path: str) -> list[Received]:
        """The requests for exactly this path."""
        return [request for request in self.requests if request.path == path]

    def forget(self) -> None:
        """Starts from an empty record; open connections keep theirs."""
        with self._changed:
            self._requests.clear()
            self._connections.clear()

    def wait_for(self, count: int, timeout: float = 5.0) -> list[Received]:
        """The requests, once `count` of them are complete; TimeoutError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while sum(request.complete for request in self._requests) < count:
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"{len(self._requests)} requests came, {count} were awaited")
            return list(self._requests)
