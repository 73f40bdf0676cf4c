"""One request being answered: what a route is given, whichever HTTP version carries it."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence

from support.received import Fields, Received

NO_BODY = frozenset({204, 304})


class Cut(Exception):
    """The client went away, or broke the protocol; there is nobody to answer."""


class Call(ABC):
    """A request and the way back. A route calls `start`, then `send` any number of times, then `end`; or `whole`."""

    def __init__(self, request: Received, *, tells: bool) -> None:
        self.request = request
        self.continued = False
        """A `100 Continue` was sent, because the client waited for it."""
        self.keeps_alive = True
        """Whether another request may follow on this connection."""
        self._tells = tells

    async def start(self, status: int, fields: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """Sends the head. Where the server tells, every answer shows the keys it was given."""
        seen = [(b"x-seen-key", key) for key in self.request.keys if key] if self._tells else []
        await self._start(status, (*fields, *seen))

    async def whole(
        self,
        status: int,
        body: bytes,
        content_type: bytes,
        fields: Sequence[tuple[bytes, bytes]] = (),
        *,
        last: bool = False,
    ) -> None:
        """The whole answer, with its length. `last`: an HTTP/1 connection ends with it."""
        self.keeps_alive &= not last
        sized = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
        await self.start(status, [*([] if status in NO_BODY else sized), *fields])
        await self.send(b"" if status in NO_BODY else body)
        await self.end()

    @abstractmethod
    async def read(self) -> bytes:
        """The whole body; asks for it where the client waits for `100 Continue`."""

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """A piece of the body, written at once."""

    @abstractmethod
    async def end(self, trailers: Fields = ()) -> None:
        """Ends the answer."""

    @abstractmethod
    async def drop(self) -> None:
        """Breaks the answer off: the connection on HTTP/1, the stream on HTTP/2."""

    @abstractmethod
    async def garbage(self, http1: bytes, http2: Fields) -> None:
        """An answer that is not well-formed, then breaks off: these bytes on HTTP/1, these header fields on HTTP/2."""

    @abstractmethod
    async def _start(self, status: int, fields: Fields) -> None: ...


Handler = Callable[[Call], Awaitable[None]]
