"""The demo's provider: a small TLS server on loopback that wants a real key and quotes it in its answer.

It quotes the key on purpose: an upstream may echo what it was sent, and the answer that reaches the sandbox shows what
became of it.
"""

import asyncio
import json
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from keyswap.certs.leaf import Issuer

HOST = "api.demo.example"
PORT = 8444
HEAD_LIMIT = 64 * 1024
BODY_LIMIT = 1024 * 1024
PATIENCE = 30.0
"""Seconds a client has for each request."""


@dataclass(slots=True)
class Provider:
    """Answers every request with what it received; 401 unless the head holds the key."""

    key: str
    heads: list[str] = field(default_factory=list)
    """The heads received, newest last; at most 100."""
    _server: asyncio.Server | None = None

    async def start(self, certs_dir: Path, port: int = PORT, host: str = HOST) -> int:
        """Listen on loopback as `host`, with a certificate of the CA in `certs_dir`; the port in use."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", port, ssl=_context(certs_dir, host), limit=HEAD_LIMIT
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(PATIENCE):
                    await self._answer(reader, writer)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = [line.partition(":") for line in head.split("\r\n")[1:] if line]
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        length = int(headers.get("content-length", "0"))
        if length:
            await reader.readexactly(min(length, BODY_LIMIT))
        self.heads[:] = [*self.heads[-99:], head.rstrip()]
        if head.split(" ", 2)[1].startswith("/v1/stream"):
            await self._stream(writer)
            return
        presented = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        good = presented == self.key
        said = {"provider": HOST, "accepted": good, "the key you sent": presented or None}
        body = json.dumps(said).encode() + b"\n"
        status = "200 OK" if good else "401 Unauthorized"
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await writer.drain()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(1, 6):
            event = f"data: event {number}; your key is {self.key}\n\n".encode()
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            await writer.drain()
            await asyncio.sleep(0.4)
        writer.write(b"0\r\n\r\n")
        await writer.drain()


def _context(certs_dir: Path, host: str) -> ssl.SSLContext:
    leaf = Issuer.open(certs_dir).leaf(host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        # The standard library loads a key from a file only; the folder is 0700 and gone in a moment.
        file = Path(folder) / "leaf.pem"
        file.touch(mode=0o600)
        file.write_bytes(leaf.key_pem + leaf.chain_pem)
        context.load_cert_chain(file)
    return context
