"""When an upstream fails before its answer began, the client gets our words, not the engine's.

The engine answers such a failure below the level of hooks, with a page that quotes the peer. Here the command that
would send that page is replaced by a whole answer with code, request id and dialect, as any refusal has them.
"""

import time
from collections.abc import Callable
from typing import Any

from mitmproxy import http
from mitmproxy.proxy import layer
from mitmproxy.proxy.layers.http import SendHttp
from mitmproxy.proxy.layers.http._events import (
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)

Answer = Callable[[http.HTTPFlow], http.Response]


def answering_failures(original: Callable[..., Any], answer: Answer) -> Callable[..., Any]:
    """`HttpStream._handle_event` with errors towards the client replaced by `answer`, where no head was sent yet."""

    def _handle_event(self: Any, event: Any) -> layer.CommandGenerator[None]:
        commands = original(self, event)
        reply: Any = None
        while True:
            try:
                command = commands.send(reply)
            except StopIteration:
                return
            reply = None
            if not isinstance(command, SendHttp) or command.connection is not self.context.client:
                reply = yield command
            elif isinstance(command.event, ResponseHeaders):
                self.keyswap_answered = True
                yield command
            elif _is_page(self, command.event):
                yield from _whole(self, answer(self.flow))
            else:
                yield command

    return _handle_event


def _is_page(stream: Any, event: Any) -> bool:
    """Whether the engine would write an error page for this: an error with a status, and no head sent so far."""
    if not isinstance(event, ResponseProtocolError) or getattr(stream, "keyswap_answered", False):
        return False
    return event.code.http_status_code() is not None and getattr(stream, "flow", None) is not None


def _whole(stream: Any, response: http.Response) -> layer.CommandGenerator[None]:
    stream.keyswap_answered = True
    response.timestamp_start = response.timestamp_end = time.time()
    # What the upstream began to say is forgotten, so that the record tells what the client was told.
    stream.flow.response = response
    client, content = stream.context.client, response.raw_content or b""
    yield SendHttp(ResponseHeaders(stream.stream_id, response, not content), client)
    if content:
        yield SendHttp(ResponseData(stream.stream_id, content), client)
    yield SendHttp(ResponseEndOfMessage(stream.stream_id), client)
