"""A raw client for the proxy: any bytes out, answers in, TLS or HTTP/2 on top when asked. It hides nothing.

A conversation is `Wire.connect`, `connect_tunnel`, `tls`, then `send` and `read_response`, or `request` for both.
"""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

Fields = tuple[tuple[bytes, bytes], ...]

PATIENCE = 10.0
"""Seconds that any one step may take."""


@dataclass(frozen=True, slots=True)
class WireResponse:
    """One answer, as it came."""

    status: int
    reason: str
    """Empty on HTTP/2."""
    fields: Fields
    body: bytes
    raw_head: bytes = b""
    trailers: Fields = ()
    complete: bool = True
    """False: the connection or the stream ended before the body did."""

    def values(self, name: str) -> list[str]:
        return [value.decode("latin-1") for key, value in self.fields if key.lower() == name.lower().encode()]

    def header(self, name: str) -> str | None:
        return next(iter(self.values(name)), None)

    @property
    def everything(self) -> bytes:
        """All bytes of it, for a search."""
        pairs = b"\n".join(name + b": " + value for name, value in (*self.fields, *self.trailers))
        return b"\n".join((self.raw_head, self.reason.encode(), pairs, self.body))


class Closed(Exception):
    """The other side ended the connection where an answer was awaited. `data` is what had come."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(f"closed after {len(data)} bytes")
        self.data = data


class Wire:
    """One connection. Use as an async context manager, or call `close`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = b""
        self.everything = b""
        """All bytes received, inside TLS once there is TLS."""

    @classmethod
    async def connect(cls, host: str, port: int) -> Self:
        async with asyncio.timeout(PATIENCE):
            return cls(*await asyncio.open_connection(host, port))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await self._writer.wait_closed()

    async def connect_tunnel(
        self, authority: str, token: str | None = None, fields: Sequence[tuple[str, str]] = ()
    ) -> WireResponse:
        """CONNECT, with `token` as the password of Basic; `fields` follow as they are."""
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if token is not None:
            lines.append(f"Proxy-Authorization: {basic(token)}")
        lines += [f"{name}: {value}" for name, value in fields]
        await self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
        return await self.read_response("CONNECT")

    async def tls(self, sni: str | None, alpn: Sequence[str] = ("http/1.1",), ca: Path | None = None) -> str | None:
        """TLS from here on; the protocol chosen by ALPN. `sni` None sends none. Verified where `ca` is given."""
        context = ssl.create_default_context(cafile=str(ca)) if ca else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = ca is not None and sni is not None
        context.verify_mode = ssl.CERT_REQUIRED if ca else ssl.CERT_NONE
        context.set_alpn_protocols(list(alpn))
        async with asyncio.timeout(PATIENCE):
            await self._writer.start_tls(context, server_hostname=sni)
        self._buffer = self.everything = b""
        return self.ssl_object.selected_alpn_protocol()

    @property
    def ssl_object(self) -> ssl.SSLObject:
        """The TLS of this connection, to be asked for the certificate."""
        found: ssl.SSLObject = self._writer.get_extra_info("ssl_object")
        return found

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            self._writer.write(data)
            await self._writer.drain()

    async def send_eof(self) -> None:
        """Ends our side (without TLS only)."""
        self._writer.write_eof()

    async def request(
        self, method: str, target: str, host: str, fields: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> WireResponse:
        """One HTTP/1.1 request and its answer; the length is added where there is a body."""
        length = [("Content-Length", str(len(body)))] if body else []
        lines = [f"{name}: {value}" for name, value in [("Host", host), *fields, *length]]
        head = "\r\n".join([f"{method} {target} HTTP/1.1", *lines]) + "\r\n\r\n"
        await self.send(head.encode("latin-1") + body)
        return await self.read_response(method)

    async def receive(self, timeout: float = PATIENCE) -> bytes:
        """Some bytes, b"" at the end; TimeoutError where none come."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        return await self._more(timeout)

    async def read_to_end(self, timeout: float = PATIENCE) -> bytes:
        """Everything until the other side ends or breaks the connection."""
        data = b""
        while piece := await self.receive(timeout):
            data += piece
        return data

    async def read_head(self, timeout: float = PATIENCE) -> tuple[int, str, Fields, bytes]:
        """Status, reason, fields and raw bytes of an answer's head. Its body is then read by `receive`."""
        raw = await self._until(b"\r\n\r\n", timeout)
        line, *rest = raw[:-4].split(b"\r\n")
        status, _, reason = line.partition(b" ")[2].partition(b" ")
        pairs = (item.partition(b":") for item in rest)
        return int(status), reason.decode("latin-1"), tuple((name, value.strip()) for name, _, value in pairs), raw

    async def read_response(self, method: str = "GET", timeout: float = PATIENCE) -> WireResponse:
        """The next answer that is not 1xx (101 is); Closed where the connection ends before its head is whole."""
        status, reason, fields, raw = await self.read_head(timeout)
        while 100 <= status < 200 and status != 101:
            status, reason, fields, raw = await self.read_head(timeout)
        named = {name.lower(): value for name, value in fields}
        body, complete = b"", True
        trailers: Fields = ()
        if method == "HEAD" or status in (101, 204, 304) or (method == "CONNECT" and 200 <= status < 300):
            pass
        elif b"chunked" in named.get(b"transfer-encoding", b"").lower():
            body, trailers, complete = await self._chunked(timeout)
        elif b"content-length" in named:
            body = await self._exactly(int(named[b"content-length"]), timeout)
            complete = len(body) == int(named[b"content-length"])
        else:
            body = await self.read_to_end(timeout)
        return WireResponse(status, reason, fields, body, raw, trailers, complete)

    async def _chunked(self, timeout: float) -> tuple[bytes, Fields, bool]:
        body = b""
        try:
            while size := int((await self._until(b"\r\n", timeout)).split(b";")[0], 16):
                piece = await self._exactly(size, timeout)
                body += piece
                if len(piece) < size:
                    return body, (), False
                await self._until(b"\r\n", timeout)
            lines = []
            while (line := (await self._until(b"\r\n", timeout))[:-2]) != b"":
                lines.append(line.partition(b":"))
        except Closed:
            return body, (), False
        return body, tuple((name, value.strip()) for name, _, value in lines), True

    async def _until(self, mark: bytes, timeout: float) -> bytes:
        while mark not in self._buffer:
            data = await self._more(timeout)
            if not data:
                raise Closed(self._buffer)
            self._buffer += data
        at = self._buffer.index(mark) + len(mark)
        found, self._buffer = self._buffer[:at], self._buffer[at:]
        return found

    async def _exactly(self, size: int, timeout: float) -> bytes:
        """`size` bytes, or fewer where the connection ends before."""
        while len(self._buffer) < size and (data := await self._more(timeout)):
            self._buffer += data
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    async def _more(self, timeout: float) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                data = await self._reader.read(65536)
        except (ConnectionError, ssl.SSLError):
            return b""
        self.everything += data
        return data


def basic(password: str, user: str = "keyswap") -> str:
    """The value of an (authorization or proxy-authorization) header of the Basic scheme."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
