"""The raw client says what it is told and reads what it is answered."""

import asyncio

import pytest

from support.call import Call
from support.provider import Provider
from support.tunnel import Tunnel
from support.wire import Closed, Wire, basic
from support.wire_h2 import StreamBroken, Wire2

NAME = "api.openai.com"


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
async def test_a_request_through_a_tunnel(provider: Provider, alpn: str) -> None:
    with Tunnel(provider.port) as tunnel:
        async with await Wire.connect("127.0.0.1", tunnel.port) as wire:
            assert (await wire.connect_tunnel(f"{NAME}:443", "token")).status == 200
            assert await wire.tls(NAME, [alpn], provider.ca_pem) == alpn
            if alpn == "h2":
                answer = await (await Wire2.start(wire)).request("POST", "/upload", NAME, (), bytes(300_000))
            else:
                answer = await wire.request("POST", "/upload", NAME, (), bytes(300_000))
    assert b'"bytes": 300000' in answer.body
    assert tunnel.authorities == [f"{NAME}:443"]


async def test_a_refused_tunnel_shows_its_reason() -> None:
    with Tunnel(1, refuse="403 keyswap denied: no") as tunnel:
        async with await Wire.connect("127.0.0.1", tunnel.port) as wire:
            answer = await wire.connect_tunnel("api.foo.com:443", fields=[("X-More", "1")])
            assert await wire.receive() == b""
    assert (answer.status, answer.reason) == (403, "keyswap denied: no")
    assert b"403 keyswap denied" in answer.everything


async def scripted(answer: bytes) -> Wire:
    """A wire to a server that says `answer` and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    wire = await Wire.connect(*server.sockets[0].getsockname()[:2])
    server.close()
    return wire


async def test_interim_answers_are_passed_over() -> None:
    async with await scripted(
        b"HTTP/1.1 103 Early\r\nx: 1\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
    ) as wire:
        assert (await wire.read_response()).body == b"hi"


async def test_a_body_that_ends_short_is_told() -> None:
    async with await scripted(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi") as wire:
        answer = await wire.read_response()
    assert (answer.body, answer.complete) == (b"hi", False)


@pytest.mark.parametrize("cut", [b"5\r\nhel", b"5\r\nhello\r\n", b"5\r\nhello\r\n0\r\n"])
async def test_a_chunked_body_that_ends_short_is_told(cut: bytes) -> None:
    async with await scripted(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + cut) as wire:
        assert not (await wire.read_response()).complete


async def test_a_body_without_a_length_ends_with_the_connection() -> None:
    async with await scripted(b"HTTP/1.0 200 OK\r\n\r\nhello") as wire:
        assert (await wire.read_response()).body == b"hello"


async def test_a_connection_that_ends_before_an_answer_is_told() -> None:
    async with await scripted(b"HTTP/1.1 2") as wire:
        with pytest.raises(Closed) as closed:
            await wire.read_response()
    assert closed.value.data == b"HTTP/1.1 2"


async def test_a_stream_that_is_reset_is_told(provider: Provider) -> None:
    async def drop(call: Call) -> None:
        await call.drop()

    provider.route("/reset", drop)
    async with await Wire.connect("127.0.0.1", provider.port) as wire:
        await wire.tls(None, ["h2"])
        client = await Wire2.start(wire)
        with pytest.raises(StreamBroken):
            await client.request("GET", "/reset", NAME)


def test_basic() -> None:
    assert basic("token") == "Basic a2V5c3dhcDp0b2tlbg=="
