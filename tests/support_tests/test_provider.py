"""The provider answers right, records what it was sent, and misbehaves as asked."""

import gzip
import hashlib
import json
import socket
import time

import pytest

from support.clients import Clients
from support.encode import FORMS
from support.provider import Provider
from support.received import Received
from support.routes import pattern
from support.wire import Wire, WireResponse
from support.wire_h2 import StreamBroken, Wire2
from support_tests.conftest import KEY

NAME = "api.anthropic.com"
KEYED = [("X-Api-Key", KEY.decode())]


async def over_tls(provider: Provider, alpn: str = "http/1.1", sni: str | None = NAME) -> Wire:
    wire = await Wire.connect("127.0.0.1", provider.port)
    assert await wire.tls(sni, [alpn], provider.ca_pem if sni else None) == alpn
    return wire


async def ask(provider: Provider, target: str, *, alpn: str = "http/1.1", method: str = "GET") -> WireResponse:
    async with await over_tls(provider, alpn) as wire:
        if alpn == "h2":
            return await (await Wire2.start(wire)).request(method, target, NAME, [("x-api-key", KEY)])
        return await wire.request(method, target, NAME, KEYED)


async def test_http1_is_recorded_to_the_byte(provider: Provider) -> None:
    head = b"POST /echo?a=%41 HTTP/1.1\r\nHoSt: api.anthropic.com\r\nX-odd:   two  \r\ncontent-length: 3\r\n\r\n"
    async with await over_tls(provider) as wire:
        await wire.send(head + b"abc")
        assert (await wire.read_response()).status == 200
    (request,) = provider.recorder.wait_for(1)
    assert request.raw_head == head
    assert (request.method, request.target, request.path) == ("POST", b"/echo?a=%41", "/echo")
    assert request.fields[0] == (b"HoSt", b"api.anthropic.com")
    assert (bytes(request.body), request.sni, request.scheme) == (b"abc", NAME, "https")


async def test_http2_is_recorded_as_a_header_list(provider: Provider) -> None:
    sent = [(":method", "GET"), (":path", "/echo"), (":scheme", "https"), (":authority", "other"), ("X-Upper", "1")]
    async with await over_tls(provider, "h2") as wire:
        client = await Wire2.start(wire)
        assert (await client.response(await client.open(sent))).status == 200
    (request,) = provider.recorder.wait_for(1)
    assert request.fields == tuple((name.encode(), value.encode()) for name, value in sent)
    assert (request.host, request.version) == ("other", "HTTP/2.0")


async def test_http2_streams_are_answered_beside_each_other(provider: Provider) -> None:
    async with await over_tls(provider, "h2") as wire:
        client = await Wire2.start(wire)
        common = [(":method", "GET"), (":scheme", "https"), (":authority", NAME)]
        slow = await client.open([*common, (":path", "/slow-head?delay=0.3")])
        fast = await client.open([*common, (":path", "/status/204")])
        assert (await client.response(fast)).status == 204
        assert (await client.response(slow)).body == b"slow\n"
    assert len(provider.connections) == 1


async def test_plain_http_is_served_on_the_same_port(provider: Provider) -> None:
    async with await Wire.connect("127.0.0.1", provider.port) as wire:
        answer = await wire.request("GET", "/echo", "plain.example.com")
        assert json.loads(answer.body)["sni"] is None
        assert (await wire.request("GET", "/status/404", "plain.example.com")).status == 404
    assert [request.scheme for request in provider.requests] == ["http", "http"]
    assert len(provider.connections) == 1


async def test_pipelined_requests_are_told_apart(provider: Provider) -> None:
    async with await Wire.connect("127.0.0.1", provider.port) as wire:
        one = b"POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab"
        await wire.send(one + b"GET /status/200 HTTP/1.1\r\nhost: a\r\n\r\n")
        assert json.loads((await wire.read_response()).body)["bytes"] == 2
        assert (await wire.read_response()).body == b"status 200\n"


async def test_a_chunked_body_and_its_trailers_are_recorded(provider: Provider) -> None:
    async with await Wire.connect("127.0.0.1", provider.port) as wire:
        await wire.send(
            b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"
        )
        await wire.read_response()
    (request,) = provider.recorder.wait_for(1)
    assert (bytes(request.body), request.trailers) == (b"abc", ((b"x-t", b"1"),))


async def test_what_h11_cannot_read_is_recorded_and_refused(provider: Provider) -> None:
    async with await Wire.connect("127.0.0.1", provider.port) as wire:
        await wire.send(b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n")
        assert (await wire.read_response()).status == 400
    assert provider.requests[0].raw_head.endswith(b"host: b\r\n\r\n")


def test_a_connection_that_says_nothing_is_counted(provider: Provider) -> None:
    with socket.create_connection(("127.0.0.1", provider.port)):
        deadline = time.monotonic() + 5
        while not provider.connections and time.monotonic() < deadline:
            time.sleep(0.01)
    (connection,) = provider.connections
    assert (connection.bytes_in, connection.tls) == (0, None)
    assert provider.requests == []


async def test_a_client_without_sni_is_served_and_recorded_so(provider: Provider) -> None:
    async with await over_tls(provider, sni=None) as wire:
        assert (await wire.request("GET", "/status/200", "a")).status == 200
    assert provider.requests[0].sni is None


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
@pytest.mark.parametrize("place", ["body", "header", "trailer", "location"])
async def test_echo_hands_the_key_back_in_every_place(provider: Provider, alpn: str, place: str) -> None:
    answer = await ask(provider, f"/echo?form=raw&in={place}", alpn=alpn)
    found = {
        "body": answer.body,
        "header": (answer.header("x-echo") or "").encode(),
        "trailer": dict(answer.trailers).get(b"x-echo", b""),
        "location": (answer.header("location") or "").encode(),
    }
    assert KEY in found[place]
    assert answer.header("x-seen-key") == KEY.decode()
    assert answer.complete


@pytest.mark.parametrize("form", FORMS)
async def test_echo_knows_the_form(provider: Provider, form: str) -> None:
    answer = await ask(provider, f"/echo?form={form}&split=3")
    assert answer.body == FORMS[form](KEY)
    assert (form == "raw") == (KEY in answer.body)


async def test_echo_compresses_where_told(provider: Provider) -> None:
    answer = await ask(provider, "/echo?gzip=1&split=7&form=raw")
    assert (answer.header("content-encoding"), gzip.decompress(answer.body)) == ("gzip", KEY)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
def test_curl_reads_each_coding(provider: Provider, clients: Clients, coding: str) -> None:
    outcome = clients.curl("--compressed", f"https://{NAME}/echo?{coding}=1")
    assert json.loads(outcome.text)["target"] == f"/echo?{coding}=1"


def test_the_bytes_tell_their_own_offset() -> None:
    whole = pattern(0, 4096)
    assert int.from_bytes(whole[800:808], "big") == 800
    assert all(pattern(start, end) == whole[start:end] for start, end in ((0, 1), (7, 9), (13, 4001), (5, 5)))


@pytest.mark.parametrize(
    ("sent", "status", "span"),
    [
        ([], 200, (0, 1000)),
        ([("Range", "bytes=10-19")], 206, (10, 20)),
        ([("Range", "bytes=990-")], 206, (990, 1000)),
        ([("Range", "bytes=-5")], 206, (995, 1000)),
        ([("Range", "bytes=10-19"), ("If-Range", '"bytes-1000"')], 206, (10, 20)),
        ([("Range", "bytes=10-19"), ("If-Range", '"other"')], 200, (0, 1000)),
        ([("Range", "bytes=1000-")], 416, (0, 0)),
    ],
)
async def test_ranges(provider: Provider, sent: list[tuple[str, str]], status: int, span: tuple[int, int]) -> None:
    async with await over_tls(provider) as wire:
        answer = await wire.request("GET", "/bytes/1000", NAME, sent)
    assert (answer.status, answer.body) == (status, pattern(*span))


async def test_100_continue_is_sent_to_those_who_wait(provider: Provider) -> None:
    async with await over_tls(provider) as wire:
        head = f"POST /upload HTTP/1.1\r\nhost: {NAME}\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
        await wire.send(head.encode())
        assert (await wire.read_head())[0] == 100
        await wire.send(b"body")
        answer = json.loads((await wire.read_response()).body)
    assert answer == {"bytes": 4, "sha256": hashlib.sha256(b"body").hexdigest(), "continued": True}


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
async def test_an_early_refusal_does_not_wait_for_the_body(provider: Provider, alpn: str) -> None:
    async with await over_tls(provider, alpn) as wire:
        if alpn == "h2":
            client = await Wire2.start(wire)
            path = [(":method", "POST"), (":scheme", "https"), (":authority", NAME), (":path", "/early-401")]
            answer = await client.response(await client.open(path, None))
        else:
            await wire.send(b"POST /early-401 HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n")
            answer = await wire.read_response()
    assert answer.status == 401
    assert not provider.requests[0].complete


@pytest.mark.parametrize("kind", ["header", "status", "chunk", "extra"])
async def test_a_malformed_answer_shows_the_key(provider: Provider, kind: str) -> None:
    async with await over_tls(provider) as wire:
        await wire.send(f"GET /malformed?kind={kind} HTTP/1.1\r\nhost: a\r\nx-api-key: {KEY.decode()}\r\n\r\n".encode())
        assert KEY in await wire.read_to_end()


async def test_a_dropped_answer_ends_short(provider: Provider) -> None:
    whole = await ask(provider, "/drop")
    assert (len(whole.body), whole.complete) == (500, False)
    assert not (await ask(provider, "/drop", alpn="h2")).complete


async def test_redirects_and_statuses(provider: Provider) -> None:
    answer = await ask(provider, "/redirect?status=307&to=/else")
    assert (answer.status, answer.header("location")) == (307, "/else")
    assert (await ask(provider, "/status/503", alpn="h2")).status == 503
    assert (await ask(provider, "/status/200", method="HEAD")).body == b""
    assert (await ask(provider, "/nowhere")).status == 404


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
async def test_events_are_sent_one_by_one(provider: Provider, alpn: str) -> None:
    answer = await ask(provider, "/sse?n=4&delay=0.05", alpn=alpn)
    sent = [json.loads(line[6:])["at"] for line in answer.body.splitlines() if line.startswith(b"data: ")]
    assert len(sent) == 4
    assert sent[-1] - sent[0] >= 0.15


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/messages", "authentication_error"),
        ("/v1/chat/completions", "invalid_request_error"),
        ("/v1/responses", "invalid_request_error"),
        ("/v1/models", "invalid_request_error"),
    ],
)
async def test_a_wrong_key_is_refused_in_the_shape_of_the_provider(provider: Provider, path: str, kind: str) -> None:
    async with await over_tls(provider) as wire:
        answer = await wire.request("POST", path, NAME, [("Authorization", "Bearer wrong")], b"{}")
    assert (answer.status, json.loads(answer.body)["error"]["type"]) == (401, kind)


async def test_a_fault_in_a_route_is_raised_at_the_end(
    provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def broken(call: object) -> None:
        raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError), Provider(tmp_path_factory.mktemp("other")) as other:
        other.route("/broken", broken)
        await ask(other, "/status/200")
        async with await over_tls(other, "h2") as wire:
            with pytest.raises(StreamBroken):
                await (await Wire2.start(wire)).request("GET", "/broken", NAME)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (((b"x-api-key", KEY),), b""),
        (((b"authorization", b"bearer " + KEY),), b""),
        (((b"authorization", b"Basic " + FORMS["basic"](KEY)),), b""),
        (((b"cookie", b"k=" + KEY),), b""),
        ((), b"--" + KEY + b"--"),
    ],
)
def test_a_key_is_found_wherever_it_stands(fields: tuple[tuple[bytes, bytes], ...], body: bytes) -> None:
    request = Received(0, None, "https", "HTTP/2.0", "GET", b"/", fields, b"", 0.0, bytearray(body))
    assert request.holds(KEY)
    assert not request.holds(b"another")
    assert (KEY in request.keys) == any(name in (b"x-api-key", b"authorization") for name, _ in fields)


def test_a_key_is_found_percent_encoded_in_the_target() -> None:
    request = Received(0, None, "https", "HTTP/2.0", "GET", b"/a?k=" + FORMS["percent"](KEY), (), b"", 0.0)
    assert request.holds(KEY)
