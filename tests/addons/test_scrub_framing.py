"""Lengths, codings and answers without a body: framing stays right whatever is scrubbed (S26, S28)."""

import json

import pytest

from addons.shared import News, shared_house
from addons.test_scrub import KEY, ask, forgotten, get, masked, provider
from support.call import Call
from support.encode import CODINGS
from support.house import HOST, House
from support.provider import Provider
from support.wire_h2 import Wire2

__all__ = ["forgotten", "provider"]

pytestmark = pytest.mark.asyncio(loop_scope="module")
house = shared_house(key=KEY)


async def test_S28_content_length_stays_and_the_connection_goes_on(house: House) -> None:
    session = house.mint()
    headers = [("X-Api-Key", session.placeholder("demo"))]
    async with house.tunnel(HOST, session) as wire:
        for _ in range(3):
            answer = await wire.request("GET", "/echo?form=raw", HOST, headers)
            assert answer.header("content-length") == str(len(house.key))
            assert answer.body == masked(session, len(house.key))


async def test_S26_head_204_and_304_are_scrubbed_and_have_no_body(house: House) -> None:
    session = house.mint()
    headers = [("X-Api-Key", session.placeholder("demo"))]
    async with house.tunnel(HOST, session) as wire:
        for method, target, status in (
            ("HEAD", "/echo?form=raw&gzip=1", 200),
            ("HEAD", "/bytes/1000", 200),
            ("GET", "/status/204", 204),
            ("GET", "/status/304", 304),
            ("GET", "/echo?form=raw", 200),
        ):
            answer = await wire.request(method, target, HOST, headers)
            assert answer.status == status
            assert house.key not in answer.everything
            assert answer.header("x-seen-key") == masked(session, len(house.key)).decode()
            if target == "/bytes/1000":
                assert answer.header("content-length") == "1000"


async def test_S26_a_range_is_asked_as_identity_and_comes_back_as_a_range(house: House) -> None:
    session = house.mint()
    headers = [("X-Api-Key", session.placeholder("demo")), ("Range", "bytes=100-299"), ("Accept-Encoding", "gzip, br")]
    async with house.tunnel(HOST, session) as wire:
        answer = await wire.request("GET", "/bytes/1000", HOST, headers)
    [received] = house.provider.requests
    assert received.values("accept-encoding") == [b"identity"]
    assert (answer.status, len(answer.body)) == (206, 200)
    assert answer.header("content-range") == "bytes 100-299/1000"


@pytest.mark.parametrize("offered", [[], ["gzip"], ["gzip, deflate, br, zstd", "compress"]])
async def test_S28_one_identity_is_asked_of_an_upstream_with_a_credential(house: House, offered: list[str]) -> None:
    session = house.mint()
    fields = [("X-Api-Key", session.placeholder("demo")), *(("Accept-Encoding", one) for one in offered)]
    async with house.tunnel(HOST, session) as wire:
        await wire.request("GET", "/echo", HOST, fields)
    async with house.tunnel("plain.example.com", session) as wire:
        await wire.request("GET", "/echo", "plain.example.com", fields[1:])
    bound, plain = house.provider.requests
    assert bound.values("accept-encoding") == [b"identity"]
    assert plain.values("accept-encoding") == [one.encode() for one in offered]


async def test_S28_an_upstream_without_a_credential_may_compress(house: House) -> None:
    session = house.mint()
    async with house.tunnel("plain.example.com", session) as wire:
        answer = await wire.request("GET", "/echo?gzip=1", "plain.example.com")
    assert answer.header("content-encoding") == "gzip"
    assert answer.body.startswith(b"\x1f\x8b")


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
@pytest.mark.parametrize("coding", sorted(CODINGS))
async def test_S28_an_answer_that_is_compressed_all_the_same_is_decoded_and_scrubbed(
    house: House, coding: str, alpn: str
) -> None:
    session = house.mint()
    placeholder = session.placeholder("demo")
    target = f"/echo?form=raw&{coding}=1"
    async with house.tunnel(HOST, session, alpn=alpn) as wire:
        if alpn == "h2":
            client = await Wire2.start(wire)
            answer = await client.request("GET", target, HOST, [("x-api-key", placeholder)])
        else:
            answer = await wire.request("GET", target, HOST, [("X-Api-Key", placeholder)])
            again = await wire.request("GET", "/echo?form=raw", HOST, [("X-Api-Key", placeholder)])
            assert again.body == masked(session, len(house.key))
    assert answer.complete
    assert answer.header("content-encoding") is None
    assert answer.body == masked(session, len(house.key))


async def test_S28_a_coding_nobody_can_decode_is_refused_with_words(house: House, provider: Provider) -> None:
    async def reply(call: Call) -> None:
        secret = call.request.keys[0][::-1]
        await call.whole(200, secret, b"text/plain", [(b"content-encoding", b"rot13")])

    provider.route("/reply", reply)
    session = house.mint()
    answer = await ask(house, session, "/reply")
    told = json.loads(answer.body)
    assert (answer.status, told["code"]) == (502, "upstream_failed")
    assert "encoded in a way" in told["message"]
    assert house.key[::-1] not in answer.everything


async def test_S28_a_coding_nobody_can_decode_is_refused_on_http2_too(house: House, provider: Provider) -> None:
    async def reply(call: Call) -> None:
        await call.whole(200, call.request.keys[0], b"text/plain", [(b"content-encoding", b"gzip, gzip")])

    provider.route("/reply", reply)
    session = house.mint()
    async with house.tunnel(HOST, session, alpn="h2") as wire:
        client = await Wire2.start(wire)
        answer = await client.request("GET", "/reply", HOST, [("x-api-key", session.placeholder("demo"))])
    assert (answer.status, json.loads(answer.body)["code"]) == (502, "upstream_failed")
    assert house.key not in answer.everything


async def test_S28_an_answer_that_only_says_it_is_compressed_ends_without_a_byte_of_it(
    house: House, provider: Provider
) -> None:
    async def reply(call: Call) -> None:
        await call.whole(200, b"no gzip: " + call.request.keys[0], b"text/plain", [(b"content-encoding", b"gzip")])

    provider.route("/reply", reply)
    session = house.mint()
    news = News(house)
    async with house.tunnel(HOST, session) as wire:
        await wire.send(get("/reply", session))
        data = await wire.read_to_end()
    assert house.key not in data
    assert (b"no gzip" in data, data.endswith(b"0\r\n\r\n")) == (False, False)
    [ended] = news.records("response")
    assert ended["upstream"]["error"] == "connection ended early"


async def test_S28_a_bomb_is_stopped_at_its_limit(house: House, provider: Provider) -> None:
    """64 MiB in 64 KiB: a little over the 8 MiB that any answer may come to, then the connection ends."""
    bomb = CODINGS["gzip"](bytes(64 * 1024 * 1024))

    async def reply(call: Call) -> None:
        await call.whole(200, bomb, b"text/plain", [(b"content-encoding", b"gzip")])

    provider.route("/reply", reply)
    session = house.mint()
    async with house.tunnel(HOST, session) as wire:
        await wire.send(get("/reply", session))
        size, last = 0, b""
        while piece := await wire.receive(timeout=20):
            size, last = size + len(piece), piece[-5:]
            wire.everything = b""
    assert size < 20 * 1024 * 1024
    assert last != b"0\r\n\r\n"
