"""Every name of the engine that keyswap replaces, in one place, each with its reason.

The version of mitmproxy is pinned; `tests/addons/test_engine.py` names each attribute used here and fails when one is
missing or has changed its shape. `install` refuses (EngineError) in that case, so the proxy does not start.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import h11
from mitmproxy import http
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers import http as http_layer
from mitmproxy.proxy.layers.http import _http1, _http2
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import ErrorCode, ResponseProtocolError
from mitmproxy.proxy.layers.http._hooks import HttpResponseHeadersHook

from keyswap.addons import answer
from keyswap.errors import Error
from keyswap.exchange import Code, Refusal
from keyswap.rewrite.raw import check_raw_head
from keyswap.rewrite.read import Unreadable


class EngineError(Error):
    """The engine is not the one keyswap was built for."""


Commands = layer.CommandGenerator[None]


@dataclass(slots=True)
class Watch:
    """What the patches ask and tell."""

    head_limit: Callable[[], int]
    """Bytes an HTTP/1 request head may have."""
    answer_head_limit: Callable[[], int]
    """Bytes an HTTP/1 response head may have."""
    on_unreadable: Callable[[Any, Refusal, str], None]
    """Told (client connection, refusal, request id) of a head that never became a request."""
    on_partial_head: Callable[[Any, bool], None]
    """Told (client connection, whether an unfinished head is waiting)."""
    new_id: Callable[[], str]


def install(watch: Watch) -> Callable[[], None]:
    """Put the patches in place; returns the call that undoes them all. Raises EngineError if a name is missing."""
    undo: list[Callable[[], None]] = []

    def replace(owner: Any, name: str, new: Any) -> None:
        if not hasattr(owner, name):
            raise EngineError(f"mitmproxy has no {owner.__name__}.{name}", "install the versions of requirements.lock")
        old = owner.__dict__[name]
        setattr(owner, name, new)
        undo.append(lambda: setattr(owner, name, old))

    # The engine's error pages are HTML and quote what the peer sent: an upstream that echoes the key in a malformed
    # answer would hand it to the client past every hook (S26).
    replace(_http1, "make_error_response", _make_error_response)
    replace(_http2, "format_error", lambda status, message: answer.engine_error(status))
    # The parsed head has lost what S12 asks about, and has no limit of its own (S16).
    replace(_http1.Http1Server, "read_headers", _reading_strictly(_http1.Http1Server.read_headers, watch))
    replace(_http1.Http1Client, "read_headers", _reading_bounded(_http1.Http1Client.read_headers, watch))
    # Trailers make the engine raise and hang (S29).
    replace(_http1, "make_body_reader", _without_trailers(_http1.make_body_reader))
    # A refusal is answered before the body is read, and the body is thrown away (S38).
    stream = http_layer.HttpStream
    replace(stream, "state_wait_for_request_headers", _answering_early(stream.state_wait_for_request_headers))

    def undo_all() -> None:
        for step in reversed(undo):
            step()

    return undo_all


def _make_error_response(status_code: int, message: str = "") -> bytes:
    headers = http.Headers(Connection="close", Content_Type="application/json")
    made = http.Response.make(status_code, answer.engine_error(status_code), headers)
    raw: bytes = http1.assemble_response(made)
    return raw


def _reading_strictly(original: Callable[..., Any], watch: Watch) -> Callable[..., Commands]:
    def read_headers(self: Any, event: Any) -> Commands:
        if isinstance(event, events.DataReceived):
            problem = _head_problem(self, watch)
            if problem is not None:
                yield commands.SendData(self.conn, _told(self.conn, problem, watch))
                yield commands.CloseConnection(self.conn)
                self.state = self.done
                return
        elif isinstance(event, events.ConnectionClosed):
            # The original logs the bytes of an unfinished head, tokens included.
            watch.on_partial_head(self.conn, False)
            yield commands.CloseConnection(self.conn)
            return
        # None of the commands of a reader of heads waits for an answer, so they can be looked at in passing.
        for command in original(self, event):
            if isinstance(command, commands.SendData) and self.request is None:
                command = commands.SendData(self.conn, _told(self.conn, _UNREADABLE, watch))
            yield command

    return read_headers


_UNREADABLE = Refusal(
    Code.AMBIGUOUS, "the request line or a header cannot be read", "send plain HTTP/1.1, a CONNECT as host:port"
)
"""What the engine's own parser refuses; its words quote the bytes."""


def _told(client: Any, problem: Refusal, watch: Watch) -> bytes:
    """The answer to bytes that never became a request, which is recorded first (S46)."""
    request_id = watch.new_id()
    watch.on_unreadable(client, problem, request_id)
    raw: bytes = http1.assemble_response(answer.response(problem, request_id, close=True))
    return raw


def _head_problem(self: Any, watch: Watch) -> Refusal | None:
    """Why the head at the start of the buffer cannot be read, once it is whole or too long; looks, takes nothing."""
    raw = bytes(self.buf)
    raw = raw.lstrip(b"\r\n")  # RFC 9112, section 2.2: empty lines before a request line are ignored
    if raw and raw[0] == 0x16:
        return Refusal(
            Code.AMBIGUOUS, "these bytes are TLS where HTTP was expected", "connect to the proxy with http://"
        )
    end = raw.find(b"\r\n\r\n")
    bare = raw.find(b"\n\n")
    whole = end if bare == -1 or (end != -1 and end < bare) else bare
    limit = watch.head_limit()
    if whole > limit or (whole == -1 and len(raw) > limit):
        return Refusal(
            Code.HEAD_TOO_LARGE, f"the request head is over limits.head ({limit} bytes)", "send a smaller head"
        )
    watch.on_partial_head(self.conn, whole == -1 and bool(raw))
    if whole == -1:
        return _early_problem(raw)
    try:
        check_raw_head(raw[: whole + (4 if whole == end else 2)])
    except Unreadable as error:
        return Refusal(error.code, error.what, error.todo)
    return None


def _early_problem(raw: bytes) -> Refusal | None:
    """A banner of another protocol, told as soon as its first line or 32 bytes show it (S8)."""
    line, newline, _ = raw.partition(b"\n")
    word, space, _ = line.partition(b" ")
    foreign = newline and not line.rstrip(b"\r").endswith((b" HTTP/1.1", b" HTTP/1.0"))
    if foreign or ((space or len(line) > 32) and not word.replace(b"-", b"").isalpha()):
        return Refusal(Code.AMBIGUOUS, "these bytes are not HTTP", "speak HTTP through this proxy")
    return None


def _reading_bounded(original: Callable[..., Any], watch: Watch) -> Callable[..., Commands]:
    def read_headers(self: Any, event: Any) -> Commands:
        if isinstance(event, events.DataReceived) and self.request is None:
            yield commands.CloseConnection(self.conn)  # the original logs the bytes of an answer nobody asked for
            return
        if isinstance(event, events.DataReceived) and len(self.buf) > watch.answer_head_limit():
            raw = bytes(self.buf)
            end = raw.find(b"\r\n\r\n")
            if end == -1 or end > watch.answer_head_limit():
                yield commands.CloseConnection(self.conn)
                yield ReceiveHttp(
                    ResponseProtocolError(
                        self.stream_id,
                        "the answer's head is over limits.answer_head",
                        ErrorCode.GENERIC_SERVER_ERROR,
                    )
                )
                return
        yield from original(self, event)

    return read_headers


class _TrailerlessReader:
    """h11's chunked reader, with the trailers of a message dropped."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(self, buffer: Any) -> Any:
        return _dropped(self._inner(buffer))

    def read_eof(self) -> Any:
        return _dropped(self._inner.read_eof())


def _dropped(event: Any) -> Any:
    if isinstance(event, h11.EndOfMessage) and event.headers:
        return h11.EndOfMessage()
    return event


def _without_trailers(original: Callable[[int | None], Any]) -> Callable[[int | None], Any]:
    def make_body_reader(expected_size: int | None) -> Any:
        reader = original(expected_size)
        return _TrailerlessReader(reader) if expected_size is None else reader

    return make_body_reader


def _answering_early(original: Callable[..., Any]) -> Callable[..., Commands]:
    def state_wait_for_request_headers(self: Any, event: Any) -> Commands:
        yield from original(self, event)
        waiting = self.client_state == self.state_consume_request_body
        if not waiting or self.flow.response is None or event.end_stream:
            return
        self.client_state = self.state_done
        self.flow.response.timestamp_start = time.time()
        yield HttpResponseHeadersHook(self.flow)
        if not (yield from self.check_killed(True)):
            yield from self.send_response()

    return state_wait_for_request_headers


def contract() -> Iterator[tuple[Any, str]]:
    """Each attribute of the engine that keyswap replaces or relies on beyond the documented addon interface."""
    yield from (
        (_http1, "make_error_response"),
        (_http1, "make_body_reader"),
        (_http1.Http1Server, "read_headers"),
        (_http1.Http1Client, "read_headers"),
        (_http2, "format_error"),
        (http_layer.HttpStream, "state_wait_for_request_headers"),
        (http_layer.HttpStream, "state_consume_request_body"),
        (http_layer.HttpStream, "send_response"),
        (http_layer.HttpStream, "check_killed"),
    )
