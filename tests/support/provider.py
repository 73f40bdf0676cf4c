"""A provider on loopback: any host name, TLS and plain on one port, HTTP/1.1 and HTTP/2, all of it recorded.

It runs on a loop in a thread of its own, so that tests of either colour and real client processes can talk to it. It is
not discreet: every answer shows the keys it was given in `x-seen-key`, because an upstream may.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import h2.exceptions

from support import routes, routes_llm
from support.authority import Authority
from support.call import Call, Cut, Handler
from support.received import ConnectionSeen, Received, Recorder
from support.serve_h1 import H1Connection
from support.serve_h2 import H2Connection

TLS_HANDSHAKE = 0x16
"""The first byte of a TLS connection (RFC 8446, section 5.1)."""


class Provider:
    """`with Provider(tmp_path, keys={b"sk-real"}) as provider:` serves on 127.0.0.1:`provider.port`."""

    def __init__(
        self,
        directory: Path,
        *,
        keys: Iterable[bytes] = (),
        alpn: tuple[str, ...] = ("h2", "http/1.1"),
        authority: Authority | None = None,
    ) -> None:
        self.keys = set(keys)
        """The real keys; /v1/* answers 401 to any other. May be changed while it runs."""
        self.delay = 0.05
        """Seconds between two events of a streamed answer of /v1/*."""
        self.tells = True
        """Whether answers show the keys they were asked with."""
        self.authority = authority or Authority(directory / "authority")
        self.recorder = Recorder()
        self._alpn = alpn
        self._routes: list[tuple[str, Handler, bool]] = [
            *((prefix, handler, False) for prefix, handler in routes.ROUTES),
            *((prefix, handler, True) for prefix, handler in routes.EARLY_ROUTES),
            *((prefix, handler, False) for prefix, handler in routes_llm.routes(self.keys, lambda: self.delay)),
        ]
        self._loop = asyncio.new_event_loop()
        self._faults: list[Exception] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="provider", daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]

    @property
    def address(self) -> str:
        """`127.0.0.1:port`, what an egress entry pins."""
        return f"127.0.0.1:{self.port}"

    @property
    def ca_pem(self) -> Path:
        """The certificate that this provider's certificates chain to."""
        return self.authority.pem

    @property
    def requests(self) -> list[Received]:
        return self.recorder.requests

    @property
    def connections(self) -> list[ConnectionSeen]:
        return self.recorder.connections

    def route(self, prefix: str, handler: Handler, *, early: bool = False) -> None:
        """Answers paths that begin with `prefix` by `handler`; the latest route wins. `early`: before the body."""
        self._routes.insert(0, (prefix, handler, early))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._listener.close()
        if self._faults and error is None:
            raise ExceptionGroup("routes of the provider failed", self._faults)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(lambda loop, context: None)
        self._spawn(self._accept())
        self._loop.run_forever()
        self._loop.run_until_complete(self._shut())
        self._loop.close()

    async def _shut(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.01)
        await self._loop.shutdown_default_executor()

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        while True:
            connection, _ = await self._loop.sock_accept(self._listener)
            # asyncio leaves a socket of protocol 0 alone, and an answer of two writes would then wait 40 ms for an ACK.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._spawn(self._serve(connection, self.recorder.connected()))

    async def _serve(self, connection: socket.socket, seen: ConnectionSeen) -> None:
        writer: asyncio.StreamWriter | None = None
        with contextlib.suppress(OSError, ssl.SSLError, Cut):
            try:
                first = await _first_byte(self._loop, connection)
                if first:
                    seen.tls = first[0] == TLS_HANDSHAKE
                    reader, writer = await self._streams(connection, seen)
                    await self._speak(seen, reader, writer)
            finally:
                seen.closed = True
                if writer is None:
                    connection.close()
                else:
                    writer.transport.abort() if self._loop.is_closed() else writer.close()

    async def _speak(self, seen: ConnectionSeen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        speaks = H2Connection if seen.alpn == "h2" else H1Connection
        await speaks(seen, reader, writer, self.recorder, self._answer, self.tells).serve()

    async def _streams(
        self, connection: socket.socket, seen: ConnectionSeen
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader = asyncio.StreamReader(limit=1024 * 1024)
        protocol = asyncio.StreamReaderProtocol(reader)
        context = self._context(seen) if seen.tls else None
        transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, connection, ssl=context)
        if context:
            seen.alpn = transport.get_extra_info("ssl_object").selected_alpn_protocol()
        return reader, asyncio.StreamWriter(transport, protocol, reader, self._loop)

    def _context(self, seen: ConnectionSeen) -> ssl.SSLContext:
        def named(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            seen.sni = name
            if name:
                connection.context = self.authority.server_context(name, self._alpn)

        context = self.authority.local_context(self._alpn)
        context.sni_callback = named
        return context

    async def _answer(self, call: Call) -> None:
        try:
            await self._route(call)
        except (Cut, OSError, h2.exceptions.ProtocolError):
            raise
        except Exception as fault:
            self._faults.append(fault)
            await call.drop()

    async def _route(self, call: Call) -> None:
        path = call.request.path
        for prefix, handler, early in self._routes:
            if path == prefix or (prefix.endswith("/") and path.startswith(prefix)):
                if not early:
                    await call.read()
                await handler(call)
                return
        await call.read()
        await call.whole(404, b'{"error": "no such route"}', b"application/json")


def _once(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


async def _first_byte(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> bytes:
    """The first byte, left in the socket; b"" where none ever comes."""
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(connection, _once, ready)
    try:
        await ready
    finally:
        loop.remove_reader(connection)
    return connection.recv(1, socket.MSG_PEEK)
