"""What is written down: each request, before it leaves and when it is over; nothing leaves unwritten (S33, S45–S47)."""

import asyncio
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from addons.shared import News, ask, shared_house
from keyswap.audit.verify import verify
from support.call import Call
from support.encode import FORMS
from support.house import HOST, House, Minted
from support.wire import Closed, basic
from support.wire_h2 import Wire2

pytestmark = pytest.mark.asyncio(loop_scope="module")
house = shared_house()


def key(session: Minted) -> list[tuple[str, str]]:
    return [("X-Api-Key", session.placeholder("demo"))]


def lines(news: News) -> list[dict[str, Any]]:
    """What was recorded of requests; the lives of sessions are told a moment late."""
    return [record for record in news.records() if not record["event"].startswith("session_")]


def log_file(house: House) -> Path:
    return house.state_dir / "audit.jsonl"


@contextmanager
def full_disk(house: House, room: int = 0) -> Iterator[None]:
    """No file of this process may grow beyond the audit's present size and `room` bytes: writes fail, or fall short."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log_file(house).stat().st_size + room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# -- nothing leaves unwritten (S33) -------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [0, 1, 200])
async def test_S33_without_the_audit_nothing_is_released(house: House, room: int) -> None:
    session = house.mint()
    await asyncio.sleep(0.6)  # the line of the session itself
    news = News(house)
    async with house.tunnel(HOST, session) as wire:
        with full_disk(house, room):
            answer = await wire.request("GET", "/echo", HOST, key(session))
            told = json.loads(answer.body)
            assert (answer.status, told["code"]) == (503, "audit_unavailable")
            assert answer.header("x-should-retry") is None
            assert house.provider.connections == []
            assert house.running.runtime.audit.problem is not None
        answer = await wire.request("GET", "/echo", HOST, key(session))
    assert answer.status == 200
    assert house.running.runtime.audit.problem is None
    assert [record["event"] for record in lines(news)][-2:] == ["request", "response"]
    assert verify(log_file(house), state_dir=house.state_dir).ok


async def test_S33_a_refusal_needs_no_audit(house: House) -> None:
    session = house.mint()
    await asyncio.sleep(0.6)
    house.provider.recorder.forget()
    with full_disk(house):
        refused = await ask(house, "https://unlisted.example.com/", session)
    assert (refused.answer.status, refused.code) == (403, "host_not_listed")
    assert house.provider.connections == []


async def test_S33_the_line_is_there_before_the_value_leaves(house: House) -> None:
    """What the provider finds in the file at the moment the request arrives."""
    session = house.mint()
    found: list[str] = []

    async def reply(call: Call) -> None:
        found.extend(json.loads(line)["event"] for line in log_file(house).read_text().splitlines()[seen:])
        await call.whole(200, b"ok", b"text/plain")

    house.provider.route("/early", reply)
    await asyncio.sleep(0.6)
    seen = len(house.records())
    async with house.tunnel(HOST, session) as wire:
        await wire.request("GET", "/early", HOST, key(session))
    assert found == ["request"]


# -- every request (S46) ------------------------------------------------------------------------------------------


async def test_S46_a_request_has_its_two_lines(house: House) -> None:
    session = house.mint(tenant="acme", labels={"team": "search"})
    news = News(house)
    async with house.tunnel(HOST, session) as wire:
        answer = await wire.request("POST", "/echo?form=raw&token=secret&x", HOST, key(session), b"twelve bytes")
    start, end = lines(news)
    assert start["event"] == "request"
    assert end["event"] == "response"
    for record in (start, end):
        assert record["session"] == {
            "id": session.id, "tenant": "acme", "profile": "default", "labels": {"team": "search"},
        }  # fmt: skip
        assert (record["method"], record["scheme"], record["host"], record["port"]) == ("POST", "https", HOST, 443)
        assert (record["path"], record["query_keys"]) == ("/echo", ["form", "token", "x"])
        assert record["client"] == "127.0.0.1"
        assert record["id"] == start["id"]
        assert record["policy"]["generation"] == 1
    assert start["decision"]["result"] == "allow"
    assert start["decision"]["rule"]["where"] == "policy.yaml:11"
    [swap] = start["swaps"]
    assert (swap["credential"], swap["version"], swap["place"]) == ("demo", 1, "header:x-api-key")
    assert end["upstream"] == {"address": "127.0.0.1", "http": "HTTP/1.1", "status": 200}
    assert end["bytes"] == {"in": 12, "out": len(answer.body)}
    assert 0 < end["ms"]["first_byte"] <= end["ms"]["total"]
    assert end["scrubbed"] == 2  # the body, and x-seen-key
    assert "secret" not in json.dumps([start, end])


async def test_S46_http2_requests_have_their_own_lines(house: House) -> None:
    session = house.mint()
    news = News(house)
    async with house.tunnel(HOST, session, alpn="h2") as wire:
        client = await Wire2.start(wire)
        pseudo = [(":method", "GET"), (":scheme", "https"), (":authority", HOST)]
        headers = [("x-api-key", session.placeholder("demo"))]
        streams = [await client.open([*pseudo, (":path", f"/status/{200 + n}"), *headers]) for n in range(5)]
        answers = [await client.response(stream) for stream in streams]
    assert [answer.status for answer in answers] == [200, 201, 202, 203, 204]
    starts, ends = news.records("request"), news.records("response")
    assert sorted(record["path"] for record in starts) == [f"/status/{200 + n}" for n in range(5)]
    assert {record["id"] for record in starts} == {record["id"] for record in ends}
    assert len({record["id"] for record in starts}) == 5
    assert sorted(record["upstream"]["status"] for record in ends) == [200, 201, 202, 203, 204]


REFUSED: dict[str, tuple[bytes, str]] = {
    "no such host": (b"CONNECT unlisted.example.com:443 HTTP/1.1\r\nHost: x\r\n{auth}\r\n", "host_not_listed"),
    "no session": (b"CONNECT api.demo.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", "session_required"),
    "no such port": (b"CONNECT api.demo.example:22 HTTP/1.1\r\nHost: x\r\n{auth}\r\n", "port_not_listed"),
    "no host": (b"CONNECT exa_%mple:443 HTTP/1.1\r\nHost: x\r\n{auth}\r\n", "ambiguous"),
    "an octal address": (b"CONNECT 0177.0.0.1:443 HTTP/1.1\r\nHost: x\r\n{auth}\r\n", "ambiguous"),
    "CONNECT without a port": (b"CONNECT api.demo.example HTTP/1.1\r\nHost: x\r\n{auth}\r\n", "ambiguous"),
    "plain http": (b"GET http://a.example.com/ HTTP/1.1\r\nHost: a.example.com\r\n{auth}\r\n", "host_not_listed"),
    "ssh": (b"SSH-2.0-OpenSSH_9.6\r\n", "ambiguous"),
    "zeros": (bytes(64), "ambiguous"),
    "bare LF": (b"GET / HTTP/1.1\nHost: api.demo.example\n\n", "ambiguous"),
    "space before colon": (b"GET http://a.example.com/ HTTP/1.1\r\nHost : a.example.com\r\n\r\n", "ambiguous"),
    "two lengths": (
        b"POST http://a.example.com/ HTTP/1.1\r\nHost: a.example.com\r\n{auth}"
        b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx", "ambiguous"),
    "length and chunked": (
        b"POST http://a.example.com/ HTTP/1.1\r\nHost: a.example.com\r\n{auth}"
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "ambiguous"),
    "origin form": (b"GET /x HTTP/1.1\r\nHost: unlisted.example.com\r\n{auth}\r\n", "host_not_listed"),
    "origin form without Host": (b"GET /x HTTP/1.1\r\n{auth}\r\n", "ambiguous"),
    "a Host that is none": (b"GET /x HTTP/1.1\r\nHost: a b\r\n{auth}\r\n", "ambiguous"),
    "a method that is none": (b"G@T http://a.example.com/ HTTP/1.1\r\nHost: a.example.com\r\n{auth}\r\n", "ambiguous"),
    "no version": (b"GET /x\r\n\r\n", "ambiguous"),
    "HTTP/2 without TLS": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "ambiguous"),
    "a long head": (b"GET http://a.example.com/ HTTP/1.1\r\nX: " + b"x" * 70_000, "head_too_large"),
}  # fmt: skip


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, (raw, _) in REFUSED.items()])
async def test_S46_what_is_refused_or_cannot_be_read_has_one_line(house: House, raw: bytes) -> None:
    code = next(expected for one, expected in REFUSED.values() if one is raw)
    session = house.mint()
    news = News(house)
    auth = f"Proxy-Authorization: {basic(session.token)}\r\n".encode()
    async with await house.wire() as wire:
        await wire.send(raw.replace(b"{auth}", auth))
        try:
            status = (await wire.read_response(timeout=5)).status
        except Closed:
            status = 0
    await asyncio.sleep(0.05)
    [record] = lines(news)
    assert record["event"] == "refused"
    assert (record["decision"]["result"], record["decision"]["code"]) == ("refuse", code)
    assert record["client"] == "127.0.0.1"
    assert status in (400, 403, 407, 431)
    assert session.token not in json.dumps(record)
    assert news.nothing_left


@pytest.mark.parametrize(
    "first",
    [b"SSH-2.0-OpenSSH_9.6\r\n", bytes(40), b"GET / HTTP/1.1\nHost: x\n\n"],
    ids=["ssh", "zeros", "bare LF"],
)
@pytest.mark.parametrize("inside", ["tunnel", "tls"])
async def test_S46_bytes_inside_a_tunnel_that_are_no_request_have_one_line(
    house: House, first: bytes, inside: str
) -> None:
    session = house.mint()
    news = News(house)
    async with await house.wire() as wire:
        await wire.connect_tunnel(f"{HOST}:443", session.token)
        if inside == "tls":
            await wire.tls(HOST)
        await wire.send(first)
        await wire.read_to_end(timeout=5)
    [record] = lines(news)
    assert (record["event"], record["decision"]["code"]) == ("refused", "ambiguous")
    assert news.nothing_left


async def test_S46_a_request_whose_upstream_breaks_off_is_ended(house: House) -> None:
    session = house.mint()
    news = News(house)
    async with house.tunnel(HOST, session) as wire:
        answer = await wire.request("GET", "/drop", HOST, key(session))
    assert not answer.complete
    start, end = lines(news)
    assert (start["event"], end["event"]) == ("request", "response")
    assert (end["upstream"]["status"], end["upstream"]["error"]) == (200, "connection ended early")
    assert end["bytes"]["out"] == 500


async def test_S46_a_request_whose_client_leaves_is_ended_and_so_is_its_upstream(house: House) -> None:
    session = house.mint()
    news = News(house)
    async with house.tunnel(HOST, session) as wire:
        head = f"GET /sse?n=100&delay=0.05 HTTP/1.1\r\nHost: {HOST}\r\nX-Api-Key: {session.placeholder('demo')}\r\n\r\n"
        await wire.send(head.encode())
        await wire.read_head()
        await wire.receive()
    for _ in range(50):
        if news.records("response") and all(one.closed for one in house.provider.connections):
            break
        await asyncio.sleep(0.02)
    [end] = news.records("response")
    assert end["upstream"]["error"] == "connection ended early"
    assert all(one.closed for one in house.provider.connections)


async def test_S46_an_upstream_that_cannot_be_reached_is_told_and_ended(house: House) -> None:
    session = house.mint()
    text = house.policy_file.read_text()
    dead = text.replace(f'plain.example.com, pin: "{house.provider.address}"', 'plain.example.com, pin: "127.0.0.1:1"')
    house.write_policy(dead.replace("{", "{{").replace("}", "}}"))
    for _ in range(60):
        if house.running.runtime.policy.generation > 1:
            break
        await asyncio.sleep(0.05)
    news = News(house)
    asked = await ask(house, "https://plain.example.com/", session)
    assert (asked.answer.status, asked.code) == (502, "upstream_failed")
    start, end = lines(news)
    assert (start["event"], end["event"]) == ("request", "response")
    assert end["upstream"]["error"]
    assert json.loads(asked.answer.body)["request_id"] == start["id"]
    house.write_policy(text.replace("{", "{{").replace("}", "}}"))


# -- no secret (S42, S47) -----------------------------------------------------------------------------------------


async def test_S47_no_form_of_a_real_value_or_token_is_in_the_audit(house: House) -> None:
    session = house.mint()
    placeholder = session.placeholder("demo")
    tried = [
        ("GET", "/echo?form=raw", key(session)),
        ("GET", f"/echo?k={placeholder}", key(session)),
        ("GET", f"/{placeholder}", []),
        ("GET", "/echo", [("X-Api-Key", "a-key-of-somebody-else")]),
        ("GET", "/echo", [("Cookie", f"k={placeholder}")]),
        ("GET", "/echo", [("Authorization", basic(placeholder))]),
    ]
    for method, path, headers in tried:
        await ask(house, f"https://{HOST}{path}", session, method=method, headers=headers)
    written = log_file(house).read_bytes()
    for secret in (house.key, session.token.encode(), b"a-key-of-somebody-else", basic(session.token).encode()):
        assert [form for form, write in FORMS.items() if write(secret).rstrip(b"=")[4:-4] in written] == []
    assert len([line for line in written.splitlines() if b"placeholder_misuse" in line]) >= 3


async def test_S42_fields_of_the_audit_cannot_be_split_or_blown_up(house: House) -> None:
    session = house.mint()
    news = News(house)
    async with house.tunnel(HOST, session) as wire:
        await wire.request("GET", "/echo/%0d%0a%22}{" + "x" * 20_000 + "?" + "&".join(map(str, range(300))), HOST)
    for record in lines(news):
        assert len(json.dumps(record)) < 10_000
        assert len(record.get("query_keys", ())) <= 20
