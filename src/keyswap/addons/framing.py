"""One reading of every message passed on in HTTP/1: bodies are framed, interim answers and trailers stay behind.

The engine translates between HTTP/2 and HTTP/1 by leaving things out. Each function here wraps one method of its HTTP/1
layers; `engine.install` puts them in place.
"""

from collections.abc import Callable
from typing import Any

import h11
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http import SendHttp
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestHeaders,
    RequestTrailers,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)

Commands = layer.CommandGenerator[None]

LINE_LIMIT = 64 * 1024
"""Bytes of a chunk's size line, or of a message's trailers; the engine would keep as much as it is sent."""


def sending_framed(original: Callable[..., Any]) -> Callable[..., Commands]:
    """`Http1Client.send` that gives the body of an HTTP/2 request a frame of its own.

    In HTTP/2 a body needs no Content-Length. Written behind an HTTP/1 head without any length, it would be read as the
    next request: one that nobody has judged or recorded (S9, S12).
    """

    def send(self: Any, event: Any) -> Commands:
        if isinstance(event, RequestTrailers):
            return
        yield from original(self, _framed(event) if isinstance(event, RequestHeaders) else event)

    return send


def _framed(event: RequestHeaders) -> RequestHeaders:
    request = event.request
    if event.end_stream or not request.is_http2:
        return event
    if any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in request.headers.fields):
        return event
    request = request.copy()
    request.headers["transfer-encoding"] = "chunked"
    return RequestHeaders(event.stream_id, request, event.end_stream)


def sending_no_trailers(original: Callable[..., Any]) -> Callable[..., Commands]:
    """`Http1Server.send` that leaves out what it cannot say; the engine raises there, and the client waits (S29)."""

    def send(self: Any, event: Any) -> Commands:
        if not isinstance(event, ResponseTrailers):
            yield from original(self, event)

    return send


def ending_early_answers(original: Callable[..., Any]) -> Callable[..., Commands]:
    """`HttpStream.send_response` that tells an HTTP/2 client that the answer is over, also before its request is.

    The engine waits for the request's end first; a client that waits for the answer's end would wait for ever.
    """

    def send_response(self: Any, already_streamed: bool = False) -> Commands:
        yield from original(self, already_streamed)
        over = self.client_state in (self.state_done, self.state_errored)
        if self.context.client.alpn == b"h2" and not over:
            yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)

    return send_response


def reading_final_answers(original: Callable[..., Any]) -> Callable[..., Commands]:
    """`Http1Client.read_headers` that drops interim answers and refuses what is no answer to a request.

    The engine takes the first head for the answer; the real one is lost, and the client waits for it (S29). A 101 is
    never an answer, since no request that asks for another protocol leaves (S8).
    """

    def read_headers(self: Any, event: Any) -> Commands:
        while True:
            interim = False
            # None of these commands waits for an answer, so they can be looked at in passing.
            for command in original(self, event):
                status = _status(command)
                if status is not None and 100 <= status < 200 and status != 101:
                    interim = True
                    break
                if status is not None and not 200 <= status < 600:
                    yield commands.CloseConnection(self.conn)
                    yield ReceiveHttp(
                        ResponseProtocolError(self.stream_id, "no final answer", ErrorCode.GENERIC_SERVER_ERROR)
                    )
                    return
                yield command
            if not interim:
                return
            self.response = None
            event = events.DataReceived(self.conn, b"")

    return read_headers


def _status(command: commands.Command) -> int | None:
    if isinstance(command, ReceiveHttp) and isinstance(command.event, ResponseHeaders):
        return command.event.response.status_code
    return None


def reading_bounded_chunks(original: Callable[[int | None], Any]) -> Callable[[int | None], Any]:
    """`make_body_reader` whose chunked reader drops trailers and does not wait for ever for the end of a line."""

    def make_body_reader(expected_size: int | None) -> Any:
        reader = original(expected_size)
        return _ChunkedReader(reader) if expected_size is None else reader

    return make_body_reader


class _ChunkedReader:
    """h11's chunked reader, with the trailers of a message dropped."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(self, buffer: Any) -> Any:
        event = self._inner(buffer)
        if event is None and len(buffer) > LINE_LIMIT:
            raise h11.RemoteProtocolError("a chunk's line is too long")
        return _without_trailers(event)

    def read_eof(self) -> Any:
        return _without_trailers(self._inner.read_eof())


def _without_trailers(event: Any) -> Any:
    if isinstance(event, h11.EndOfMessage) and event.headers:
        return h11.EndOfMessage()
    return event
