"""Every name of the engine that keyswap replaces, in one place, each with its reason.

The version of mitmproxy is pinned; `tests/addons/test_engine.py` names each attribute used here and fails when one is
missing or has changed its shape. `install` refuses (EngineError) in that case, so the proxy does not start.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from mitmproxy import http
from mitmproxy.net.http import http1
from mitmproxy.proxy import layer
from mitmproxy.proxy import server as proxy_server
from mitmproxy.proxy.layers import http as http_layer
from mitmproxy.proxy.layers.http import _http1, _http2
from mitmproxy.proxy.layers.http._hooks import HttpResponseHeadersHook

from keyswap.addons import answer, framing, heads, pressure, reuse
from keyswap.addons.failures import answering_failures
from keyswap.addons.watch import Watch
from keyswap.errors import Error


class EngineError(Error):
    """The engine is not the one keyswap was built for."""


Commands = layer.CommandGenerator[None]


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
    # So do its words for a broken HTTP/2 connection, which it logs, and nobody else hears of it (S42, S46).
    http2 = _http2.Http2Connection
    replace(http2, "protocol_error", heads.recording_breaks(http2.protocol_error, watch))
    # The parsed head has lost what S12 asks about, and has no limit of its own (S16).
    replace(_http1.Http1Server, "read_headers", heads.reading_strictly(_http1.Http1Server.read_headers, watch))
    replace(_http1.Http1Client, "read_headers", heads.reading_bounded(_http1.Http1Client.read_headers, watch))
    # The translation between HTTP/2 and HTTP/1, and what is no final answer (S9, S12, S29).
    client, server = _http1.Http1Client, _http1.Http1Server
    replace(client, "send", framing.sending_framed(client.send))
    replace(client, "read_headers", framing.reading_final_answers(client.read_headers))
    replace(server, "send", framing.sending_no_trailers(server.send))
    replace(_http1, "make_body_reader", framing.reading_bounded_chunks(_http1.make_body_reader))
    # Whoever does not take what was sent makes the sender wait (S38).
    held = pressure.Pressure()
    replace(_http2.Http2Connection, "__init__", held.remembering(_http2.Http2Connection.__init__))
    handler = proxy_server.ConnectionHandler
    replace(handler, "drain_writers", held.draining(handler.drain_writers))
    replace(handler, "handle_connection", pressure.closing_surely(handler.handle_connection))
    first = _http1.Http1Connection
    replace(first, "wait", pressure.waiting_bounded(first.wait, watch.head_limit))
    stream, connections = http_layer.HttpStream, http_layer.HttpLayer
    replace(stream, "send_response", framing.ending_early_answers(stream.send_response))
    # An open connection may lead elsewhere than this request is to go (S4, S17).
    wanted = http_layer.GetHttpConnection
    replace(stream, "make_server_connection", reuse.asking(stream.make_server_connection, watch.way_of))
    replace(connections, "get_connection", reuse.opening(connections.get_connection, watch.ways))
    replace(wanted, "connection_spec_matches", reuse.matching(wanted.connection_spec_matches, watch.ways))
    # A refusal is answered before the body is read, and the body is thrown away (S38).
    replace(stream, "_handle_event", answering_failures(stream._handle_event, watch.on_failure))
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
            # What came while the hook ran is still to be thrown away; `state_done` would raise on it.
            self.client_state = self.state_errored

    return state_wait_for_request_headers


def contract() -> Iterator[tuple[Any, str]]:
    """Each attribute of the engine that keyswap replaces or relies on beyond the documented addon interface."""
    yield from (
        (_http1, "make_error_response"),
        (_http1, "make_body_reader"),
        (_http1.Http1Server, "read_headers"),
        (_http1.Http1Server, "send"),
        (_http1.Http1Client, "read_headers"),
        (_http1.Http1Client, "send"),
        (_http1.Http1Connection, "wait"),
        (_http2.Http2Connection, "__init__"),
        (proxy_server.ConnectionHandler, "drain_writers"),
        (proxy_server.ConnectionHandler, "handle_connection"),
        (_http2, "format_error"),
        (_http2.Http2Connection, "protocol_error"),
        (http_layer.HttpStream, "_handle_event"),
        (http_layer.HttpStream, "state_wait_for_request_headers"),
        (http_layer.HttpStream, "state_consume_request_body"),
        (http_layer.HttpStream, "send_response"),
        (http_layer.HttpStream, "make_server_connection"),
        (http_layer.HttpLayer, "get_connection"),
        (http_layer.GetHttpConnection, "connection_spec_matches"),
        (http_layer.HttpStream, "check_killed"),
    )
