"""An upstream that says exactly the bytes it is told to, and keeps exactly the bytes it was sent."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from support.authority import Authority
from support.house import HOST, POLICY, House
from support.provider import Provider

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def upstream(authority: Authority, handler: Handler, alpn: tuple[str, ...] = ("http/1.1",)) -> AsyncIterator[str]:
    """Its address; `handler` serves each connection, inside TLS, and may leave when it likes."""

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=authority.server_context(HOST, alpn))
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def house_before(folder: Path, handler: Handler, alpn: tuple[str, ...] = ("http/1.1",)) -> AsyncIterator[House]:
    """A house whose `HOST` is such an upstream."""
    with Provider(folder / "provider") as provider:
        async with (
            upstream(provider.authority, handler, alpn) as address,
            House(folder, provider, POLICY.replace("{address}", address)) as house,
        ):
            yield house


def saying(answer: Callable[[bytes], bytes]) -> Handler:
    """Answers the first request with `answer(key)`, and closes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        keys = [line[11:] for line in head.split(b"\r\n") if line.lower().startswith(b"x-api-key: ")]
        writer.write(answer(b"".join(keys)))
        await writer.drain()

    return handler
