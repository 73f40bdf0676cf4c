"""A forward proxy that looks at nothing: every CONNECT goes to one address, or is refused with one status line.

Client scripts are tried against it first, so that a failure behind the real proxy is the proxy's.
"""

import asyncio
import contextlib
import threading
from types import TracebackType
from typing import Self


class Tunnel:
    """`with Tunnel(provider.port) as tunnel:` listens on 127.0.0.1:`tunnel.port`."""

    def __init__(self, target: int, *, refuse: str = "") -> None:
        self._target = target
        self._refuse = refuse
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tunnel", daemon=True)
        self.port = 0
        self.authorities: list[str] = []
        """The authority of every CONNECT, in order."""

    @property
    def url(self) -> str:
        return f"http://keyswap:token@127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(5)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._done.set_result, None)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listen())

    async def _listen(self) -> None:
        self._done = self._loop.create_future()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._done
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.authorities.append(head.split(b" ", 2)[1].decode())
        if self._refuse:
            writer.write(f"HTTP/1.1 {self._refuse}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with contextlib.suppress(OSError):
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
