"""The engine's names that keyswap replaces or leans on, one by one; a version that lacks one fails here (S29)."""

import asyncio
import inspect
import re
from typing import Any

import pytest
from h11._readers import ChunkedReader
from mitmproxy import addonmanager, addons, connection, hooks, http, master, options
from mitmproxy.addons import proxyserver, script
from mitmproxy.proxy import commands, context, events, layers, mode_servers, server, server_hooks
from mitmproxy.proxy.layers import http as http_layer
from mitmproxy.proxy.layers.http import _http1, _http2
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import ErrorCode, ResponseProtocolError
from OpenSSL import SSL

from keyswap.addons import strict
from keyswap.addons.engine import EngineError, contract, install
from keyswap.addons.selftest import check_contract
from keyswap.addons.watch import Watch
from keyswap.exchange import Refusal


def _watch() -> Watch:
    wanted = {
        "head_limit": lambda: 1024,
        "answer_head_limit": lambda: 1024,
        "on_unreadable": lambda client, refusal, request_id: None,
        "on_partial_head": lambda client, waiting: None,
        "new_id": lambda: "req_0",
        "on_failure": lambda flow: http.Response.make(502),
        "way_of": lambda flow: None,
        "ways": {},
    }
    return Watch(**wanted)  # type: ignore[arg-type]


def _context() -> context.Context:
    client = connection.Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), timestamp_start=0.0)
    return context.Context(client, options.Options())


# -- what is replaced ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("owner", "name"), list(contract()), ids=lambda value: str(getattr(value, "__name__", value)))
def test_the_engine_has_every_name_of_the_contract(owner: Any, name: str) -> None:
    assert callable(getattr(owner, name))


def test_every_name_that_is_replaced_stands_in_the_contract_and_is_given_back() -> None:
    before = {(owner.__name__, name): getattr(owner, name) for owner, name in contract()}
    undo = install(_watch())
    replaced = {name for owner, name in contract() if getattr(owner, name) != before[owner.__name__, name]}
    undo()
    after = {(owner.__name__, name): getattr(owner, name) for owner, name in contract()}
    assert after == before
    named = set(re.findall(r'replace\([\w.]+, "(\w+)"', inspect.getsource(install)))
    assert named == replaced


def test_a_name_that_is_missing_is_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    check_contract()
    monkeypatch.delattr(_http1, "make_error_response")
    with pytest.raises(EngineError, match=r"lacks .*_http1\.make_error_response"):
        check_contract()
    with pytest.raises(EngineError, match="make_error_response"):
        install(_watch())


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (_http1, "make_error_response", ["status_code", "message"]),
        (_http1, "make_body_reader", ["expected_size"]),
        (_http1.Http1Server, "read_headers", ["self", "event"]),
        (_http1.Http1Client, "read_headers", ["self", "event"]),
        (_http2, "format_error", ["status_code", "message"]),
        (http_layer.HttpStream, "state_wait_for_request_headers", ["self", "event"]),
        (http_layer.HttpStream, "check_killed", ["self", "emit_error_hook"]),
        (http_layer.HttpStream, "send_response", ["self", "already_streamed"]),
        (mode_servers.ProxyConnectionHandler, "open_connection", ["self", "command"]),
        (server.ConnectionHandler, "close_connection", ["self", "connection", "half_close"]),
        (addonmanager.AddonManager, "trigger_event", ["self", "event"]),
        (addonmanager.AddonManager, "handle_lifecycle", ["self", "event"]),
        (addonmanager.AddonManager, "register", ["self", "addon"]),
        (addonmanager.AddonManager, "trigger", ["self", "event"]),
        (addonmanager, "traverse", ["chain"]),
        (addonmanager, "_get_name", ["itm"]),
        (ResponseProtocolError, "__init__", ["self", "stream_id", "message", "code"]),
    ],
    ids=lambda value: str(getattr(value, "__name__", value)),
)
def test_it_has_the_shape_it_had(owner: Any, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


# -- what is leant on ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["conn", "buf", "request", "state", "done", "stream_id"])
@pytest.mark.parametrize("kind", [_http1.Http1Server, _http1.Http1Client])
def test_an_http1_reader_has_what_the_patches_read(kind: Any, name: str) -> None:
    assert hasattr(kind(_context()), name)


@pytest.mark.parametrize(
    "name", ["client_state", "server_state", "state_done", "state_errored", "state_consume_request_body"]
)
def test_a_stream_has_what_the_patches_read(name: str) -> None:
    assert hasattr(http_layer.HttpStream(_context(), 1), name)


@pytest.mark.parametrize("name", ["transports", "client", "layer", "timeout_watchdog"])
def test_a_connection_handler_has_what_the_manager_reads(name: str) -> None:
    assert name in inspect.getsource(server.ConnectionHandler.__init__)


def test_a_transport_has_a_writer_and_a_handler() -> None:
    assert set(inspect.signature(server.ConnectionIO).parameters) == {"handler", "reader", "writer"}


def test_upstreams_are_dialled_by_create_connection_of_the_loop() -> None:
    """The dial guard replaces exactly this method of the loop."""
    assert "asyncio.open_connection(" in inspect.getsource(server.ConnectionHandler.open_connection)
    assert "loop.create_connection(" in inspect.getsource(asyncio.open_connection)


def test_the_engine_dials_nowhere_else() -> None:
    source = inspect.getsource(server)
    assert source.count("asyncio.open_connection(") == 1
    assert "create_connection" not in source


@pytest.mark.parametrize("name", ["servers", "connections", "is_running", "listen_addrs"])
def test_the_listener_has_what_the_proxy_reads(name: str) -> None:
    assert hasattr(proxyserver.Proxyserver(), name)


def test_listeners_can_be_taken_down_and_tell_why_they_failed() -> None:
    assert inspect.iscoroutinefunction(proxyserver.Servers.update)
    assert "self.last_exception" in inspect.getsource(mode_servers.ServerInstance)


async def test_a_master_has_what_the_proxy_uses() -> None:
    made = master.Master(options.Options())
    made._legacy_log_events.uninstall()
    assert isinstance(made.should_exit, asyncio.Event)
    assert made.addons.chain == []
    assert callable(made.shutdown)


def test_a_script_has_the_watcher_that_the_door_cancels() -> None:
    assert "reloadtask" in inspect.getsource(script.Script)
    assert script.ScriptLoader().addons == []


def test_the_engines_addons_that_still_hear_traffic_exist_under_these_names() -> None:
    names = {addonmanager._get_name(addon) for addon in addons.default_addons()}
    assert names >= strict.ENGINE_ADDONS - {"errorcheck"}


@pytest.mark.parametrize(
    "hook",
    [
        "client_connected", "client_disconnected", "next_layer", "http_connect", "requestheaders", "request",
        "responseheaders", "response", "error", "server_connect", "server_connected", "server_connect_error",
        "tls_clienthello", "tls_start_client", "tls_start_server", "tls_failed_server", "running", "done", "configure",
    ],
)  # fmt: skip
def test_every_hook_of_the_chain_is_one_of_the_engines(hook: str) -> None:
    assert hook in hooks.all_hooks


@pytest.mark.parametrize("hook", sorted(set(hooks.all_hooks)))
def test_S30_every_hook_of_the_engine_has_a_way_to_fail_closed(hook: str) -> None:
    """A hook that a new version brings must be thought about before it is used."""
    known = strict.LIFECYCLE | strict._ANSWERABLE | strict._CLIENT_HOOKS
    by_data = {
        "responseheaders", "response", "error", "http_connected", "http_connect_upstream", "http_connect_error",
        "websocket_start", "websocket_message", "websocket_end",
        "tcp_start", "tcp_message", "tcp_end", "tcp_error",
        "udp_start", "udp_message", "udp_end", "udp_error",
        "dns_request", "dns_response", "dns_error",
    }  # fmt: skip
    by_name = {"server_connect", "server_connected", "tls_start_server", "tls_established_server"}
    nothing_left = {"client_disconnected", "server_disconnected", "server_connect_error", "tls_failed_server"}
    unused = {"update", "add_log", "socks5_auth", "quic_start_client", "quic_start_server"}
    assert hook in known | by_data | by_name | nothing_left | unused


@pytest.mark.parametrize(
    "name",
    ["SSL_get0_param", "X509_VERIFY_PARAM_set_hostflags", "X509_VERIFY_PARAM_set1_host", "X509_VERIFY_PARAM_set1_ip"],
)
def test_S11_openssl_has_the_calls_that_verify_a_host(name: str) -> None:
    assert callable(getattr(SSL._lib, name))  # type: ignore[attr-defined]


def test_the_small_types_that_patches_build_are_as_they_were() -> None:
    assert list(inspect.signature(ReceiveHttp).parameters) == ["event"]
    assert list(inspect.signature(commands.SendData).parameters) == ["connection", "data"]
    assert ErrorCode.GENERIC_SERVER_ERROR.http_status_code() == 502
    assert all(map(inspect.isclass, (layers.TCPLayer, layers.UDPLayer, layers.DNSLayer, layers.RawQuicLayer)))
    assert list(inspect.signature(server_hooks.ServerConnectionHookData).parameters) == ["server", "client"]


# -- what the patches do ------------------------------------------------------------------------------------------


@pytest.fixture
def patched() -> Any:
    told: list[Refusal] = []
    watch = _watch()
    watch.on_unreadable = lambda client, refusal, request_id: told.append(refusal)
    undo = install(watch)
    yield told
    undo()


def test_S26_an_error_page_of_the_engine_quotes_nobody(patched: list[Refusal]) -> None:
    page = _http1.make_error_response(502, "Server sent: sk-real-key <script>")
    assert b"sk-real-key" not in page
    assert b'"code": "upstream_failed"' in page
    assert b"application/json" in page
    assert b"sk-real-key" not in _http2.format_error(502, "sk-real-key")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"GET / HTTP/1.1\nHost: a\n\n", "ambiguous"),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "ambiguous"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", "ambiguous"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "ambiguous"),
        (b"\x16\x03\x01\x02\x00\x01", "ambiguous"),
        (b"\x00" * 64, "ambiguous"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 2000, "head_too_large"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 2000 + b"\r\n\r\n", "head_too_large"),
    ],
)
def test_S12_a_head_that_cannot_be_read_is_answered_and_told(patched: list[Refusal], raw: bytes, code: str) -> None:
    reader = _http1.Http1Server(_context())
    reader.buf += raw
    made = list(reader.read_headers(events.DataReceived(reader.conn, raw)))
    assert [refusal.code for refusal in patched] == [code]
    assert isinstance(made[0], commands.SendData)
    assert isinstance(made[1], commands.CloseConnection)
    assert f'"code": "{code}"'.encode() in made[0].data


@pytest.mark.parametrize("raw", [b"", b"G", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\n\r\nGET /"])
def test_S12_the_beginning_of_a_head_is_waited_for(patched: list[Refusal], raw: bytes) -> None:
    reader = _http1.Http1Server(_context())
    reader.buf += raw
    assert list(reader.read_headers(events.DataReceived(reader.conn, raw))) == []
    assert patched == []


def test_S16_an_answers_head_over_its_limit_is_no_answer(patched: list[Refusal]) -> None:
    reader = _http1.Http1Client(_context())
    reader.request = http.Request.make("GET", "https://a.example.com/")
    reader.buf += b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5000
    made = list(reader.read_headers(events.DataReceived(reader.conn, b"")))
    assert [type(one) for one in made] == [commands.CloseConnection, ReceiveHttp]


def test_S42_bytes_of_an_answer_nobody_asked_for_are_not_logged(
    patched: list[Refusal], caplog: pytest.LogCaptureFixture
) -> None:
    reader = _http1.Http1Client(_context())
    reader.buf += b"HTTP/1.1 200 sk-real-key\r\n\r\n"
    made = list(reader.read_headers(events.DataReceived(reader.conn, b"")))
    assert [type(one) for one in made] == [commands.CloseConnection]
    assert "sk-real-key" not in caplog.text


def test_S29_trailers_of_http1_are_dropped_and_the_message_ends(patched: list[Refusal]) -> None:
    from h11._receivebuffer import ReceiveBuffer

    buffer = ReceiveBuffer()
    buffer += b"0\r\nx-trailer: sk-real-key\r\n\r\n"
    reader = _http1.make_body_reader(None)
    assert not isinstance(reader, ChunkedReader)
    ended = reader(buffer)
    assert type(ended).__name__ == "EndOfMessage"
    assert list(ended.headers) == []
    assert isinstance(_http1.make_body_reader(5), type(_http1.make_body_reader(7)))


def test_the_engine_that_is_tested_is_the_one_that_is_pinned() -> None:
    from importlib.metadata import requires, version

    [pinned] = [line for line in requires("keyswap") or [] if line.startswith("mitmproxy")]
    assert pinned == f"mitmproxy=={version('mitmproxy')}"
