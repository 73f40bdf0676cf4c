"""Limits that exist are told, and end what goes over them (S16, S38)."""

import asyncio
import json
import time

import pytest

from addons.shared import News, ask, shared_house
from support.call import Call
from support.house import HOST, POLICY, House, Minted
from support.wire import Closed, Wire, basic
from support.wire_h2 import StreamBroken, Wire2

pytestmark = pytest.mark.asyncio(loop_scope="module")
LIMITED = POLICY + (
    "limits: {{head: 4KiB, headers: 30, body: 64KiB, answer_head: 8KiB, client_head: 1s, first_byte: 1s,"
    " idle: 2s, connect: 1s, connections_per_session: 3}}\n"
)
house = shared_house(LIMITED)


def key(session: Minted) -> list[tuple[str, str]]:
    return [("X-Api-Key", session.placeholder("demo"))]


async def ended_after(wire: Wire, patience: float) -> float:
    """Seconds until the other side ends the connection."""
    began = time.monotonic()
    await wire.read_to_end(timeout=patience)
    return time.monotonic() - began


# -- sizes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["header", "path", "many"])
async def test_S16_a_head_over_its_limit_is_431_with_the_limits_name(house: House, where: str) -> None:
    session = house.mint()
    news = News(house)
    fields = {"header": [("X-Long", "x" * 5000)], "many": [(f"X-{n}", "x") for n in range(40)]}.get(where, [])
    path = "/echo" + ("/" + "x" * 5000 if where == "path" else "")
    asked = await ask(house, f"https://{HOST}{path}", session, headers=[*key(session), *fields])
    assert asked.answer.status == 431
    told = json.loads(asked.answer.body)
    assert told["code"] == "head_too_large"
    assert ("limits.headers" if where == "many" else "limits.head") in told["message"]
    assert news.nothing_left
    assert news.refusal["decision"]["code"] == "head_too_large"


@pytest.mark.parametrize("where", ["header", "path", "many"])
async def test_S16_it_holds_for_http2_too(house: House, where: str) -> None:
    session = house.mint()
    news = News(house)
    fields = {"header": [("x-long", "x" * 5000)], "many": [(f"x-{n}", "x") for n in range(40)]}.get(where, [])
    path = "/echo" + ("/" + "x" * 5000 if where == "path" else "")
    asked = await ask(house, f"https://{HOST}{path}", session, headers=[*key(session), *fields], version="h2")
    assert (asked.answer.status, asked.code) == (431, "head_too_large")
    assert news.nothing_left


async def test_S16_a_long_connect_is_431(house: House) -> None:
    session = house.mint()
    async with await house.wire() as wire:
        answer = await wire.connect_tunnel(f"{HOST}:443", session.token, [("X-Long", "x" * 5000)])
    assert answer.status == 431


@pytest.mark.parametrize("version", ["http/1.1", "h2"])
async def test_S16_a_declared_body_over_its_limit_is_413_before_it_is_read(house: House, version: str) -> None:
    session = house.mint()
    news = News(house)
    asked = await ask(
        house, f"https://{HOST}/upload", session, method="POST", headers=[*key(session), ("Content-Length", "70000")],
        version=version,  # type: ignore[arg-type]
    )  # fmt: skip
    told = json.loads(asked.answer.body)
    assert (asked.answer.status, told["code"]) == (413, "body_too_large")
    assert "limits.body" in told["message"]
    assert news.nothing_left


async def test_S16_a_body_at_its_limit_passes(house: House) -> None:
    session = house.mint()
    asked = await ask(
        house, f"https://{HOST}/upload", session, method="POST", headers=key(session), body=bytes(64 * 1024)
    )
    assert json.loads(asked.answer.body)["bytes"] == 64 * 1024


async def test_S16_a_chunked_body_over_its_limit_is_never_passed_on_as_if_it_were_whole(house: House) -> None:
    session = house.mint()
    news = News(house)
    async with house.tunnel(HOST, session) as wire:
        head = f"POST /upload HTTP/1.1\r\nHost: {HOST}\r\nX-Api-Key: {session.placeholder('demo')}\r\n"
        await wire.send(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        try:
            for _ in range(20):
                await wire.send(b"2000\r\n" + bytes(0x2000) + b"\r\n")
                await asyncio.sleep(0.01)
            await wire.send(b"0\r\n\r\n")
            data = await wire.read_to_end(timeout=3)
        except OSError:
            data = wire.everything
    assert b"HTTP/1.1 413 keyswap body_too_large" in data
    assert b"limits.body" in data
    await asyncio.sleep(0.1)
    assert not any(request.complete for request in house.provider.requests)
    assert all(len(request.body) <= 64 * 1024 for request in house.provider.requests)
    [end] = news.records("response")
    assert end["upstream"]["error"]


async def test_S16_an_h2_body_over_its_limit_ends_too(house: House) -> None:
    session = house.mint()
    async with house.tunnel(HOST, session, alpn="h2") as wire:
        client = await Wire2.start(wire)
        pseudo = [(":method", "POST"), (":scheme", "https"), (":authority", HOST), (":path", "/upload")]
        stream = await client.open([*pseudo, ("x-api-key", session.placeholder("demo"))], None)
        answer = None
        try:
            for _ in range(20):
                await client.send(stream, bytes(8192))
                await asyncio.sleep(0.01)
            await client.send(stream, b"", end=True)
            answer = await client.response(stream, timeout=3)
        except (Closed, StreamBroken, OSError):
            pass
    assert answer is not None
    assert (answer.status, json.loads(answer.body)["code"]) == (413, "body_too_large")
    assert not any(request.complete for request in house.provider.requests if request.path == "/upload")


async def test_S16_an_answers_head_over_its_limit_is_502(house: House) -> None:
    async def reply(call: Call) -> None:
        await call.garbage(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n", ())

    house.provider.route("/long", reply)
    session = house.mint()
    asked = await ask(house, f"https://{HOST}/long", session, headers=key(session))
    assert (asked.answer.status, asked.code) == (502, "upstream_failed")


# -- times --------------------------------------------------------------------------------------------------------


async def test_S38_a_head_that_never_ends_is_cut_off(house: House) -> None:
    async with await house.wire() as wire:
        await wire.send(b"CONNECT api.demo.example:443 HTTP/1.1\r\nHost: a")
        assert 0.9 < await ended_after(wire, 5) < 2.5


async def test_S38_a_connection_that_says_nothing_is_cut_off(house: House) -> None:
    async with await house.wire() as wire:
        assert 0.9 < await ended_after(wire, 5) < 2.5


async def test_S38_a_head_that_comes_drop_by_drop_is_cut_off(house: House) -> None:
    session = house.mint()
    async with house.tunnel(HOST, session) as wire:
        assert (await wire.request("GET", "/echo", HOST, key(session))).status == 200
        began = time.monotonic()
        ended = asyncio.create_task(wire.read_to_end(timeout=6))
        for byte in b"GET /echo HTTP/1.1\r\nHost: api.demo.example\r\nX: " + b"x" * 100:
            if ended.done():
                break
            try:
                await wire.send(bytes((byte,)))
            except OSError:
                break
            await asyncio.sleep(0.1)
        await ended
        assert time.monotonic() - began < 3


async def test_S38_without_a_session_a_connection_does_not_live_on(house: House) -> None:
    """Refusals keep the connection for another try, but not for ever."""
    async with await house.wire() as wire:
        began = time.monotonic()
        while time.monotonic() - began < 5:
            try:
                assert (await wire.connect_tunnel(f"{HOST}:443")).status == 407
            except (Closed, OSError):
                break
            await asyncio.sleep(0.1)
        assert time.monotonic() - began < 3


async def test_S38_a_silent_upstream_is_given_up(house: House) -> None:
    session = house.mint()
    news = News(house)
    began = time.monotonic()
    async with house.tunnel(HOST, session) as wire:
        try:
            answer = await wire.request("GET", "/slow-head?delay=6", HOST, key(session))
            assert answer.status >= 500
        except Closed:
            pass
    assert 0.9 < time.monotonic() - began < 2.5
    [end] = news.records("response")
    assert end["upstream"]["error"]


async def test_an_answer_that_has_begun_may_take_its_time(house: House) -> None:
    session = house.mint()
    async with house.tunnel(HOST, session) as wire:
        answer = await wire.request("GET", "/sse?n=6&delay=0.5", HOST, key(session))
    assert (answer.complete, answer.body.count(b"data: ")) == (True, 6)


async def test_S38_a_connection_that_is_idle_too_long_ends(house: House) -> None:
    session = house.mint()
    async with house.tunnel(HOST, session) as wire:
        assert (await wire.request("GET", "/echo", HOST, key(session))).status == 200
        assert 1.5 < await ended_after(wire, 8) < 5


async def test_S38_a_tunnel_without_a_handshake_ends(house: House) -> None:
    session = house.mint()
    async with await house.wire() as wire:
        assert (await wire.connect_tunnel(f"{HOST}:443", session.token)).status == 200
        assert await ended_after(wire, 8) < 5


# -- counts -------------------------------------------------------------------------------------------------------


async def test_S38_a_session_has_so_many_connections(house: House) -> None:
    session, neighbour = house.mint(), house.mint()
    wires = [await house.wire() for _ in range(4)]
    try:
        answers = [await wire.connect_tunnel(f"{HOST}:443", session.token) for wire in wires]
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert "limits.connections_per_session" in answers[-1].everything.decode()
        assert answers[-1].header("retry-after") == "1"
        async with await house.wire() as wire:
            assert (await wire.connect_tunnel(f"{HOST}:443", neighbour.token)).status == 200
        await wires[0].close()
        await asyncio.sleep(0.1)
        assert (await wires[3].connect_tunnel(f"{HOST}:443", session.token)).status == 200
    finally:
        for wire in wires:
            await wire.close()


async def test_S38_plain_connections_count_too(house: House) -> None:
    session = house.mint()
    signed = [("Proxy-Authorization", basic(session.token))]
    wires = [await house.wire() for _ in range(4)]
    try:
        answers = [
            await wire.request("GET", "http://unlisted.example.com/", "unlisted.example.com", signed) for wire in wires
        ]
        assert [answer.status for answer in answers[:3]] == [403, 403, 403]
        assert answers[3].status in (403, 429)
    finally:
        for wire in wires:
            await wire.close()


async def test_S38_many_connections_do_no_harm_to_others(house: House) -> None:
    """Some hundred connections that say nothing, and one that works, all within their times."""
    session = house.mint()
    idle = [await house.wire() for _ in range(300)]
    try:
        began = time.monotonic()
        asked = await ask(house, f"https://{HOST}/echo", session, headers=key(session))
        assert asked.answer.status == 200
        assert time.monotonic() - began < 1
        assert len(house.running.attached.chain.clients) >= 300
        await asyncio.sleep(2.5)
        assert len(house.running.attached.chain.clients) < 10
    finally:
        for wire in idle:
            await wire.close()
