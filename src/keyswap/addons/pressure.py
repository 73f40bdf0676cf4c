"""Bounded memory where one side sends faster than the other takes (S38).

The engine's HTTP/2 layer grants its peers windows without end and keeps what cannot be sent on, and its HTTP/1 layer
keeps whatever a client sends ahead of its turn. Here the reading of a connection stops while the other side's buffers
are full, so that TCP makes the sender wait; and a client that sends far ahead is cut off.
"""

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import ErrorCode

Commands = layer.CommandGenerator[None]

HIGH_WATER = 4 * 1024 * 1024
"""Bytes that may wait for the windows of one HTTP/2 connection before its other side is no longer read."""

LINGER = 10.0
"""Seconds for which a closed connection may still take what was written to it."""

PAUSE = 0.01
"""Seconds between two looks at a buffer that is over its mark; the engine has no event for a window that opens."""


class Pressure:
    """Knows the send buffer of each HTTP/2 connection."""

    def __init__(self) -> None:
        self._buffers: weakref.WeakKeyDictionary[Connection, Any] = weakref.WeakKeyDictionary()

    def remembering(self, original: Callable[..., None]) -> Callable[..., None]:
        """`Http2Connection.__init__` that tells us its buffer."""

        def __init__(this: Any, context: Any, conn: Connection) -> None:  # noqa: N807  # it takes the place of one
            original(this, context, conn)
            self._buffers[conn] = this.h2_conn.stream_buffers

        return __init__

    def draining(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """`ConnectionHandler.drain_writers`, awaited after each read, that waits for HTTP/2 buffers, too."""

        async def drain_writers(handler: Any) -> None:
            await original(handler)
            while self._over(handler):  # noqa: ASYNC110  # there is no event to wait for, see PAUSE
                await asyncio.sleep(PAUSE)

        return drain_writers

    def _over(self, handler: Any) -> bool:
        """Whether the reader that is now running feeds a connection that is full.

        What a server sends goes to the client; what the client sends goes to any server. Whoever frees a buffer by
        opening a window is read by another task than the one that waits.
        """
        client = handler.transports.get(handler.client)
        if client is None:
            return False
        if client.handler is not asyncio.current_task():
            return self._held(handler.client) > HIGH_WATER
        return any(self._held(each) > HIGH_WATER for each in handler.transports if each is not handler.client)

    def _held(self, connection: Connection) -> int:
        buffers = self._buffers.get(connection)
        return sum(len(piece.data) for queue in buffers.values() for piece in queue) if buffers else 0


def closing_surely(original: Callable[..., Any]) -> Callable[..., Any]:
    """`ConnectionHandler.handle_connection` after which the socket is closed, whatever happened.

    The engine leaves it open where the task is cancelled while it waits for its turn, and for as long as a peer does
    not read what is left. Nobody counts or times such a connection any more.
    """

    async def handle_connection(handler: Any, connection: Connection) -> None:
        writer = handler.transports[connection].writer
        try:
            await original(handler, connection)
        finally:
            writer.close()
            if writer.transport.get_write_buffer_size():
                asyncio.get_running_loop().call_later(LINGER, writer.transport.abort)

    return handle_connection


def waiting_bounded(original: Callable[..., Any], limit: Callable[[], int]) -> Callable[..., Commands]:
    """`Http1Connection.wait` that ends a client which sends more than `limit()` bytes ahead of its turn.

    One head may wait: clients that pipeline send small requests. More than that is memory for the asking.
    """

    def wait(self: Any, event: Any) -> Commands:
        if isinstance(event, events.DataReceived) and len(self.buf) > limit():
            yield commands.CloseConnection(self.conn)
            yield ReceiveHttp(
                self.ReceiveProtocolError(self.stream_id, "sent too far ahead", code=ErrorCode.CLIENT_DISCONNECTED)
            )
            self.state = self.done
            return
        yield from original(self, event)

    return wait
