"""The status listener: /healthz, /readyz and /metrics, for the machine's own supervisor.

Small on purpose: it reads one request line of at most 4 KiB and answers GET. It never serves the CA's key, a key or a
policy, and a client that asks for it through the proxy is refused (row 3).
"""

import asyncio
from collections.abc import Callable

from keyswap.metrics import CONTENT_TYPE

HEAD_LIMIT = 4096
PATIENCE = 5.0
"""Seconds a client has for its request."""

Check = Callable[[], dict[str, bool]]


class Status:
    """Answers three paths."""

    def __init__(self, render: Callable[[], bytes], ready: Check) -> None:
        self._render = render
        self._ready = ready
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; the address in use. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=HEAD_LIMIT)
        address = self._server.sockets[0].getsockname()
        return str(address[0]), int(address[1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head.split(b"\r\n", 1)[0]))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    def _answer(self, line: bytes) -> bytes:
        method, _, rest = line.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            return _response(405, "text/plain", b"GET only\n", method)
        if path == b"/healthz":
            return _response(200, "text/plain", b"ok\n", method)
        if path == b"/readyz":
            checks = self._ready()
            lines = "".join(f"{name}: {'ok' if good else 'failed'}\n" for name, good in checks.items())
            return _response(200 if all(checks.values()) else 503, "text/plain", lines.encode(), method)
        if path == b"/metrics":
            return _response(200, CONTENT_TYPE, self._render(), method)
        return _response(404, "text/plain", b"/healthz, /readyz and /metrics\n", method)


def _response(status: int, kind: str, body: bytes, method: bytes) -> bytes:
    words = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}[status]
    head = (
        f"HTTP/1.1 {status} {words}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + (b"" if method == b"HEAD" else body)
