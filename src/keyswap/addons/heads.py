"""Heads as bytes: what the engine's parser would lose, accept or quote is seen before it reads them.

Each function here wraps one method of the engine's HTTP layers; `engine.install` puts them in place.
"""

from collections.abc import Callable
from typing import Any

from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http import _http2
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import ErrorCode, ResponseProtocolError

from keyswap.addons import answer
from keyswap.addons.watch import Watch
from keyswap.exchange import Code, Refusal
from keyswap.rewrite.raw import check_raw_head
from keyswap.rewrite.read import Unreadable

Commands = layer.CommandGenerator[None]


def reading_strictly(original: Callable[..., Any], watch: Watch) -> Callable[..., Commands]:
    """`Http1Server.read_headers` that refuses what can be read in two ways, and what is too long (S12, S16)."""

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


def recording_breaks(original: Callable[..., Any], watch: Watch) -> Callable[..., Commands]:
    """`Http2Connection.protocol_error` that is recorded, and quotes nothing of what broke the rules (S42, S46)."""

    def protocol_error(self: Any, message: str, *code: int) -> Commands:
        if isinstance(self, _http2.Http2Server):
            watch.on_unreadable(self.conn, _BROKEN, watch.new_id())
        yield from original(self, "HTTP/2 protocol error", *code)

    return protocol_error


_BROKEN = Refusal(Code.AMBIGUOUS, "the connection broke the rules of HTTP/2", "send each request as RFC 9113 says")
"""Told to the audit only: such a connection is ended, and there is no stream left to answer on."""

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


def reading_bounded(original: Callable[..., Any], watch: Watch) -> Callable[..., Commands]:
    """`Http1Client.read_headers` with a limit, for answers that were asked for only (S16)."""

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
