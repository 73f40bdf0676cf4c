"""What a hostile sandbox, or a hostile upstream, has tried; each is a hole that once was open."""

import asyncio
import contextlib
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from addons.hostile import house_before, saying
from support.call import Call
from support.house import HOST, POLICY, House, Minted
from support.provider import Provider
from support.wire import WireResponse, basic
from support.wire_h2 import Wire2

H1, H2 = "http/1.1", "h2"
PLAIN = '  - {{host: apt.example.com, pin: "{address}", schemes: [http]}}\n'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def ask(house: House, session: Minted, version: str, path: str = "/x") -> tuple[WireResponse, bytes]:
    """A GET with the placeholder; the answer, and all that a client could have read."""
    async with house.tunnel(HOST, session, alpn=version) as wire:
        fields = [("x-api-key", session.placeholder("demo"))]
        if version == H1:
            answer = await wire.request("GET", path, HOST, fields)
            return answer, wire.everything
        answer = await (await Wire2.start(wire)).request("GET", path, HOST, fields)
        return answer, answer.everything


# -- one reading ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_S12_the_body_of_an_http2_request_is_never_a_second_request_upstream(tmp_path: Path, method: str) -> None:
    hidden = b"DELETE /hidden HTTP/1.1\r\nHost: api.demo.example\r\n\r\n"
    seen = bytearray()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not seen.endswith((hidden, b"0\r\n\r\n")):
            seen.extend(await reader.read(65536) or b"0\r\n\r\n")
        writer.write(OK)
        await writer.drain()

    async with house_before(tmp_path, keep) as house, house.tunnel(HOST, house.mint(), alpn=H2) as wire:
        answer = await (await Wire2.start(wire)).request(method, "/x", HOST, body=hidden)
    assert answer.status == 200
    head, _, body = bytes(seen).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert body == b"%x\r\n%b\r\n0\r\n\r\n" % (len(hidden), hidden)


async def test_S29_trailers_of_an_http2_request_do_not_reach_an_http1_upstream(tmp_path: Path) -> None:
    seen = bytearray()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not seen.endswith(b"0\r\n\r\n"):
            seen.extend(await reader.read(65536) or b"0\r\n\r\n")
        writer.write(OK)
        await writer.drain()

    async with house_before(tmp_path, keep) as house, house.tunnel(HOST, house.mint(), alpn=H2) as wire:
        client = await Wire2.start(wire)
        stream = await client.open(
            [(":method", "POST"), (":scheme", "https"), (":authority", HOST), (":path", "/x")], None
        )
        await client.send(stream, b"body")
        client.protocol.send_headers(stream, [(b"x-late", b"1")], end_stream=True)
        await client.send(stream, b"")
        await client._flush()
        assert (await client.response(stream)).status == 200
    assert b"x-late" not in seen


@pytest.mark.parametrize("field", ["Content-Length: 5", "Transfer-Encoding: chunked"])
async def test_S12_a_connect_with_a_body_is_refused(house: House, field: str) -> None:
    async with await house.wire() as wire:
        name, _, value = field.partition(": ")
        answer = await wire.connect_tunnel(f"{HOST}:443", house.mint().token, [(name, value)])
    assert answer.status == 400


# -- what comes back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [H1, H2])
@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints", b"199 X"])
async def test_S29_interim_answers_are_dropped_and_the_final_one_arrives(
    tmp_path: Path, interim: bytes, version: str
) -> None:
    async with house_before(
        tmp_path, saying(lambda key: b"HTTP/1.1 %b\r\nLink: %b\r\n\r\n" % (interim, key) + OK)
    ) as house:
        answer, everything = await ask(house, house.mint(), version)
    assert (answer.status, answer.body) == (200, b"ok")
    assert b"Link" not in everything


async def test_S38_an_early_answer_ends_for_an_http2_client_that_has_more_to_send(tmp_path: Path) -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        await reader.read()

    async with house_before(tmp_path, early) as house, house.tunnel(HOST, house.mint(), alpn=H2) as wire:
        client = await Wire2.start(wire)
        pairs = [(":method", "POST"), (":scheme", "https"), (":authority", HOST), (":path", "/x")]
        stream = await client.open(pairs, None)
        assert (await client.response(stream, timeout=3)).complete
        await client.send(stream, b"more", end=True)


@pytest.mark.parametrize("version", [H1, H2])
@pytest.mark.parametrize("status", [b"101", b"99", b"-1", b"1000"])
async def test_S8_what_is_no_final_answer_is_a_502(tmp_path: Path, status: bytes, version: str) -> None:
    said = b"HTTP/1.1 %b X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    async with house_before(tmp_path, saying(lambda key: said % status + b"\x81\x35" + key)) as house:
        answer, everything = await ask(house, house.mint(), version)
        assert answer.status == 502
        assert house.key not in everything


ANSWERS: dict[str, Callable[[bytes], bytes]] = {
    "a header's name": lambda key: b"HTTP/1.1 200 OK\r\nX-%b: 1\r\nContent-Length: 2\r\n\r\nok" % key,
    "Trailer": lambda key: b"HTTP/1.1 200 OK\r\nTrailer: %b\r\nContent-Length: 2\r\n\r\nok" % key,
    "Date": lambda key: b"HTTP/1.1 200 OK\r\nDate: %b\r\nContent-Length: 2\r\n\r\nok" % key,
    "Keep-Alive": lambda key: b"HTTP/1.1 200 OK\r\nKeep-Alive: %b\r\nContent-Length: 2\r\n\r\nok" % key,
    "Connection": lambda key: b"HTTP/1.1 200 OK\r\nConnection: %b\r\nContent-Length: 2\r\n\r\nok" % key,
    "Content-Range": lambda key: b"HTTP/1.1 200 OK\r\nContent-Range: %b\r\nContent-Length: 2\r\n\r\nok" % key,
    "Content-Encoding of a 304": lambda key: b"HTTP/1.1 304 X\r\nContent-Encoding: %b\r\n\r\n" % key,
    "a folded header": lambda key: b"HTTP/1.1 200 OK\r\nX: a\r\n %b\r\nContent-Length: 2\r\n\r\nok" % key,
}


@pytest.mark.parametrize("version", [H1, H2])
@pytest.mark.parametrize("place", ANSWERS)
async def test_S26_no_header_brings_the_key_back(tmp_path: Path, place: str, version: str) -> None:
    async with house_before(tmp_path, saying(ANSWERS[place])) as house:
        answer, everything = await ask(house, house.mint(), version)
        assert answer.status in (200, 304)
        assert house.key not in everything


@pytest.mark.parametrize("version", [H1, H2])
@pytest.mark.parametrize("coding", [b"gzip, chunked", b"GZIP,chunked"])
async def test_S28_an_answer_compressed_by_transfer_coding_is_not_passed_on(
    tmp_path: Path, coding: bytes, version: str
) -> None:
    def said(key: bytes) -> bytes:
        packed = gzip.compress(key)
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %b\r\n\r\n" % coding
        return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed)

    async with house_before(tmp_path, saying(said)) as house:
        answer, everything = await ask(house, house.mint(), version)
    assert answer.status == 502
    assert b"\x1f\x8b" not in everything


async def test_S28_an_empty_answer_in_an_unknown_coding_does_not_make_the_client_wait(tmp_path: Path) -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Encoding: odd\r\nContent-Length: 0\r\n\r\n"
    async with house_before(tmp_path, saying(lambda key: said)) as house:
        answer, _ = await ask(house, house.mint(), H1)
    assert (answer.status, answer.body) == (502, b"")


@pytest.mark.parametrize("version", [H1, H2])
async def test_S26_a_control_byte_in_a_header_cannot_begin_a_new_line(tmp_path: Path, version: str) -> None:
    said = b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\0c\r\nContent-Length: 2\r\n\r\nok"
    async with house_before(tmp_path, saying(lambda key: said)) as house:
        answer, _ = await ask(house, house.mint(), version)
    assert answer.header("x") == "a Set-Cookie: b c"


# -- where the value goes -------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path, provider: Provider) -> Iterator[Provider]:
    """A second provider under the same names."""
    (tmp_path / "elsewhere").mkdir()
    with Provider(tmp_path / "elsewhere" / "provider", authority=provider.authority) as running:
        yield running


async def test_S17_two_entries_of_one_host_do_not_share_an_upstream_connection(
    tmp_path: Path, provider: Provider, elsewhere: Provider
) -> None:
    entry = '  - {{host: {host}, pin: "%s", ca_file: "{ca}", paths: [%s]}}\n'
    policy = POLICY[: POLICY.index("egress:")] + "egress:\n"
    policy += entry % ("{address}", "/a/**") + entry % (elsewhere.address, "/b/**")
    async with House(tmp_path, provider, policy) as house:
        session = house.mint()
        async with house.tunnel(HOST, session) as wire:
            for path in ("/a/1", "/b/1", "/a/2", "/b/2"):
                await wire.request("GET", path, HOST, [("X-Api-Key", session.placeholder("demo"))])
    assert [request.path for request in provider.requests] == ["/a/1", "/a/2"]
    assert [request.path for request in elsewhere.requests] == ["/b/1", "/b/2"]
    assert (len(provider.connections), len(elsewhere.connections)) == (1, 1)


@pytest.mark.parametrize("version", [H1, H2])
async def test_S32_a_key_does_not_go_where_the_policy_in_force_no_longer_sends_it(
    house: House, elsewhere: Provider, version: str
) -> None:
    session = house.mint()
    fields = [("x-api-key", session.placeholder("demo"))]
    async with house.tunnel(HOST, session, alpn=version) as wire:
        client = await Wire2.start(wire) if version == H2 else wire
        await client.request("GET", "/echo", HOST, fields)
        generation = house.running.runtime.policy.generation
        house.write_policy(POLICY.replace("{address}", elsewhere.address))
        async with asyncio.timeout(5):
            while house.running.runtime.policy.generation == generation:
                await asyncio.sleep(0.02)
        await client.request("GET", "/echo?again", HOST, fields)
    assert (len(house.provider.requests), len(elsewhere.requests)) == (1, 1)


# -- bounded time and memory ----------------------------------------------------------------------------------------


async def test_S38_a_client_that_sends_far_ahead_of_its_turn_is_ended(house: House) -> None:
    async with house.tunnel(HOST, house.mint()) as wire:
        await wire.send(f"GET /slow-head?delay=20 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        taken = 0
        with contextlib.suppress(OSError):
            for _ in range(400):  # 25 MiB
                await wire.send(bytes(65536))
                taken += 65536
    assert taken < 8 * 1024 * 1024


@pytest.mark.parametrize("line", [b"5;" + b"a" * 200_000, b"0\r\n" + b"X: a\r\n" * 40_000])
async def test_S38_a_chunk_line_or_trailers_without_end_end_the_connection(house: House, line: bytes) -> None:
    async with house.tunnel(HOST, house.mint()) as wire:
        await wire.send(f"POST /upload HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        await wire.send(line)
        async with asyncio.timeout(5):
            while house.running.server.connections:
                await asyncio.sleep(0.02)
    assert house.records("response")[-1]["upstream"]["error"]


async def test_S38_an_http2_client_that_does_not_read_makes_its_upstream_wait(house: House) -> None:
    sent = 0

    async def pour(call: Call) -> None:
        nonlocal sent
        await call.start(200)
        for _ in range(4096):
            await call.send(bytes(65536))
            sent += 65536
        await call.end()

    house.provider.route("/pour", pour)
    async with house.tunnel(HOST, house.mint(), alpn=H2) as wire:
        client = await Wire2.start(wire)
        await client.open([(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "/pour")])
        before = -1
        async with asyncio.timeout(20):
            while sent == 0 or sent != before:
                before = sent
                await asyncio.sleep(0.5)
        assert sent < 32 * 1024 * 1024


async def test_S38_an_http2_client_that_reads_slowly_gets_all_of_it(house: House) -> None:
    async with house.tunnel(HOST, house.mint(), alpn=H2) as wire:
        client = await Wire2.start(wire)
        stream = await client.open(
            [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "/bytes/20000000")]
        )
        await asyncio.sleep(1)
        answer = await client.response(stream)
    assert len(answer.body) == 20_000_000


@pytest.mark.parametrize("version", [H1, H2])
async def test_S38_a_refused_request_with_a_body_leaves_no_crash_behind(
    house: House, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with house.tunnel(HOST, house.mint(), alpn=version) as wire:
        body = bytes(300_000)
        if version == H1:
            assert (await wire.request("TRACE", "/x", HOST, body=body)).status == 403
        else:
            client = await Wire2.start(wire)
            assert (await client.request("TRACE", "/x", HOST, body=body)).status == 403
        await asyncio.sleep(0.1)
    assert not [record for record in caplog.records if "crashed" in record.getMessage()]


async def test_S38_a_connection_that_never_shows_a_session_is_closed(tmp_path: Path, provider: Provider) -> None:
    policy = POLICY + "limits: {{client_head: 1s}}\n"
    async with House(tmp_path, provider, policy) as house, await house.wire() as wire:
        assert (await wire.request("GET", f"http://{HOST}/", HOST)).status == 407
        assert await wire.read_to_end(4) == b""


# -- sessions -------------------------------------------------------------------------------------------------------


async def test_S32_a_plain_answer_of_a_revoked_session_ends_within_a_second(house: House) -> None:
    house.write_policy(POLICY + PLAIN)
    async with asyncio.timeout(5):
        while house.running.runtime.policy.generation == 1:
            await asyncio.sleep(0.02)
    session = house.mint()
    async with await house.wire() as wire:
        head = "GET http://apt.example.com/sse?n=200 HTTP/1.1\r\nHost: apt.example.com\r\n"
        await wire.send(f"{head}Proxy-Authorization: {basic(session.token)}\r\n\r\n".encode())
        await wire.read_head()
        house.running.runtime.sessions.revoke(session.session.id)
        async with asyncio.timeout(1.5):
            await wire.read_to_end()


async def test_S38_plain_connections_count_for_their_session(tmp_path: Path, provider: Provider) -> None:
    policy = POLICY + PLAIN + "limits: {{connections_per_session: 2}}\n"
    async with House(tmp_path, provider, policy) as house:
        session = house.mint()
        wires = [await house.wire() for _ in range(3)]
        fields = [("Proxy-Authorization", basic(session.token))]
        answers = [
            await wire.request("GET", "http://apt.example.com/echo", "apt.example.com", fields) for wire in wires
        ]
        for wire in wires:
            await wire.close()
    assert [answer.status for answer in answers] == [200, 200, 429]
