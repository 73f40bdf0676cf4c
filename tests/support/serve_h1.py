"""HTTP/1 as a server: h11 reads, the raw head is kept, answers are written by hand so that they can be wrong."""

import asyncio
import contextlib
import time
from http import HTTPStatus

import h11

from support.call import NO_BODY, Call, Cut, Handler
from support.received import ConnectionSeen, Fields, Received, Recorder

MAX_HEAD = 1024 * 1024
LINGER = 2.0
"""Seconds for which a body that nobody wants is read after the answer, so that the answer is not lost in a reset."""


class H1Connection:
    """Serves one connection until either side ends it."""

    def __init__(
        self,
        seen: ConnectionSeen,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        recorder: Recorder,
        handler: Handler,
        tells: bool,
    ) -> None:
        self.seen = seen
        self.reader = reader
        self.writer = writer
        self.recorder = recorder
        self._handler = handler
        self._tells = tells
        self._buffer = b""

    async def serve(self) -> None:
        while (call := await self._next_call()) is not None:
            await self._handler(call)
            if not call.keeps_alive:
                await call.linger()
                return
            await call.read()
            self._buffer = call.leftover

    async def receive(self) -> bytes:
        """Some bytes; b"" at the end."""
        try:
            data = await self.reader.read(65536)
        except OSError as error:
            raise Cut from error
        self.seen.bytes_in += len(data)
        return data

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        try:
            await self.writer.drain()
        except OSError as error:
            raise Cut from error

    async def _next_call(self) -> "H1Call | None":
        while b"\r\n\r\n" not in self._buffer:
            data = await self.receive()
            if not data or len(self._buffer) > MAX_HEAD:
                return None
            self._buffer += data
        raw, _, rest = self._buffer.partition(b"\r\n\r\n")
        return await self._call(raw + b"\r\n\r\n", rest)

    async def _call(self, raw: bytes, rest: bytes) -> "H1Call | None":
        protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        protocol.receive_data(raw)
        try:
            event = protocol.next_event()
        except h11.RemoteProtocolError:
            event = None
        if not isinstance(event, h11.Request):
            self.recorder.add(self._record(raw, "", b"", (), "HTTP/1.1"))
            await self.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            return None
        if rest:
            protocol.receive_data(rest)
        version = f"HTTP/{event.http_version.decode()}"
        fields = tuple(event.headers.raw_items())
        request = self._record(raw, event.method.decode(), event.target, fields, version)
        self.recorder.add(request)
        return H1Call(self, protocol, request, tells=self._tells)

    def _record(self, raw: bytes, method: str, target: bytes, fields: Fields, version: str) -> Received:
        return Received(
            connection=self.seen.id,
            sni=self.seen.sni,
            scheme="https" if self.seen.tls else "http",
            version=version,
            method=method,
            target=target,
            fields=fields,
            raw_head=raw,
            at=time.monotonic(),
        )


class H1Call(Call):
    """One HTTP/1 request and its answer."""

    def __init__(self, connection: H1Connection, protocol: h11.Connection, request: Received, *, tells: bool) -> None:
        super().__init__(request, tells=tells)
        self._connection = connection
        self._protocol = protocol
        self._chunked = False
        wants_close = any(b"close" in value.lower() for value in request.values("connection"))
        self.keeps_alive = request.version == "HTTP/1.1" and not wants_close

    @property
    def leftover(self) -> bytes:
        """Bytes of the next request that came with this one."""
        return self._protocol.trailing_data[0]

    async def read(self) -> bytes:
        while not self.request.complete:
            if self._protocol.they_are_waiting_for_100_continue and not self.continued:
                self.continued = True
                await self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await self._read_event()
        return bytes(self.request.body)

    async def _read_event(self) -> None:
        try:
            event = self._protocol.next_event()
            if event is h11.NEED_DATA:
                self._protocol.receive_data(await self._connection.receive())
        except h11.RemoteProtocolError as error:
            raise Cut from error
        if isinstance(event, h11.Data):
            self.request.body += event.data
        elif isinstance(event, h11.EndOfMessage):
            self.request.trailers = tuple(event.headers.raw_items())
            self._connection.recorder.completed(self.request)
        elif isinstance(event, h11.ConnectionClosed):
            raise Cut

    async def send(self, data: bytes) -> None:
        if not data or self.request.method == "HEAD":
            return
        await self._connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def end(self, trailers: Fields = ()) -> None:
        if self._chunked:
            lines = b"".join(b"%b: %b\r\n" % pair for pair in trailers)
            await self._connection.write(b"0\r\n" + lines + b"\r\n")

    async def drop(self) -> None:
        self._connection.writer.transport.abort()
        raise Cut

    async def garbage(self, http1: bytes, http2: Fields) -> None:
        await self._connection.write(http1)
        self.keeps_alive = False

    async def linger(self) -> None:
        """Ends our side, then reads what the client still sends, for a while."""
        with contextlib.suppress(OSError):
            if self._connection.writer.can_write_eof():
                self._connection.writer.write_eof()
        if not self.request.complete:
            with contextlib.suppress(TimeoutError, Cut):
                async with asyncio.timeout(LINGER):
                    while await self._connection.receive():
                        pass

    async def _start(self, status: int, fields: Fields) -> None:
        sized = any(name.lower() == b"content-length" for name, _ in fields) or status in NO_BODY
        self._chunked = not sized and self.request.version == "HTTP/1.1" and self.request.method != "HEAD"
        self.keeps_alive &= sized or self._chunked or self.request.method == "HEAD"
        head = [*fields]
        if self._chunked:
            head.append((b"transfer-encoding", b"chunked"))
        if not self.keeps_alive:
            head.append((b"connection", b"close"))
        lines = b"".join(b"%b: %b\r\n" % pair for pair in head)
        await self._connection.write(b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, _phrase(status), lines))


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Something"
