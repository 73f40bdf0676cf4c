"""S16: a body or a head over its limit is refused with the limit's name; nothing is cut short and sent on."""

import asyncio

import pytest

from addons.shared import H2, VERSIONS, News, Version, ask, shared_house, template
from support.house import HOST, House, Minted
from support.wire import Closed
from support.wire_h2 import StreamBroken, Wire2

POLICY = template("""\
version: 1
egress:
  - {host: api.demo.example, pin: "@local", ca_file: "@ca"}
  - {host: plain.example.com, schemes: [http], pin: "@local"}
limits: {head: 2KiB, headers: 20, body: 10KiB, answer_head: 4KiB}
""")
BODY, HEAD, FIELDS = 10 * 1024, 2 * 1024, 20
PLAIN = "plain.example.com"

pytestmark = pytest.mark.asyncio(loop_scope="module")
house = shared_house(POLICY)


@pytest.fixture
def session(house: House) -> Minted:
    return house.mint()


@pytest.fixture
def news(house: House) -> News:
    return News(house)


@pytest.mark.parametrize("version", VERSIONS)
async def test_S16_a_body_of_exactly_the_limit_passes(
    house: House, session: Minted, news: News, version: Version
) -> None:
    said = await ask(house, f"https://{HOST}/upload", session, method="POST", body=bytes(BODY), version=version)
    assert said.answer.status == 200
    assert len(house.provider.requests[0].body) == BODY


@pytest.mark.parametrize("version", VERSIONS)
async def test_S16_an_announced_body_over_the_limit_is_refused_unread(
    house: House, session: Minted, news: News, version: Version
) -> None:
    said = await ask(house, f"https://{HOST}/upload", session, method="POST", body=bytes(BODY + 1), version=version)
    assert (said.code, said.answer.status) == ("body_too_large", 413)
    assert b"limits.body (10240 bytes)" in said.answer.body
    assert news.refused("body_too_large")


async def test_S16_an_announced_body_is_refused_before_it_is_sent(house: House, session: Minted, news: News) -> None:
    async with house.tunnel(HOST, session) as wire:
        await wire.send(f"POST /upload HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {10**12}\r\n\r\n".encode())
        assert (await wire.read_response()).status == 413
    assert news.refused("body_too_large")


async def test_S16_a_client_that_waits_for_100_is_not_asked_for_a_refused_body(
    house: House, session: Minted, news: News
) -> None:
    head = f"POST /upload HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\nContent-Length: {BODY + 1}\r\n\r\n"
    async with house.tunnel(HOST, session) as wire:
        await wire.send(head.encode())
        status, *_ = await wire.read_head()
    assert status == 413


def chunked(size: int, piece: int = 1000) -> bytes:
    sizes = [piece] * (size // piece) + ([size % piece] if size % piece else [])
    return b"".join(b"%x\r\n%b\r\n" % (each, bytes(each)) for each in sizes) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [BODY, BODY + 1, 20 * BODY])
async def test_S16_a_chunked_body_over_the_limit_is_refused_and_never_completed_upstream(
    house: House, session: Minted, news: News, size: int
) -> None:
    async with house.tunnel(HOST, session) as wire:
        await wire.send(f"POST /upload HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        await wire.send(chunked(size))
        answer = await wire.read_response()
    if size <= BODY:
        assert answer.status == 200
        assert len(house.provider.requests[0].body) == size
        return
    assert answer.status == 413
    assert b"limits.body (10240 bytes)" in answer.body
    await incomplete(house)
    [end] = await ended(news)
    assert end["decision"]["code"] == "body_too_large"


async def test_S16_a_streamed_body_of_http_2_over_the_limit_is_refused_and_never_completed_upstream(
    house: House, session: Minted, news: News
) -> None:
    async with house.tunnel(HOST, session, alpn=H2) as wire:
        client = await Wire2.start(wire)
        names = [(":method", "POST"), (":scheme", "https"), (":authority", HOST), (":path", "/upload")]
        stream = await client.open(names, None)
        for _ in range(12):
            await client.send(stream, bytes(1024))
        answer = await client.response(stream)
    assert answer.status == 413
    await incomplete(house)
    [end] = await ended(news)
    assert end["decision"]["code"] == "body_too_large"


async def incomplete(house: House) -> None:
    await asyncio.sleep(0.1)  # whatever was on its way has arrived
    assert not any(received.complete for received in house.provider.requests)
    assert all(len(received.body) <= BODY for received in house.provider.requests)


async def ended(news: News) -> list[dict[str, object]]:
    async with asyncio.timeout(5):
        while not (found := news.records("response")):
            await asyncio.sleep(0.01)
    return found


async def test_S16_after_an_answer_has_begun_a_body_over_the_limit_ends_the_connection(
    house: House, session: Minted, news: News
) -> None:
    async with house.tunnel(HOST, session) as wire:
        await wire.send(f"POST /early-401 HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        await wire.send(b"1\r\nx\r\n")
        assert (await wire.read_response()).status == 401
        try:
            await wire.send(chunked(2 * BODY))
            await wire.read_to_end()
        except (OSError, Closed):
            pass
    await incomplete(house)


# -- heads ----------


def padded(size: int) -> bytes:
    """A head that is exactly so many bytes to the end of its last header."""
    start = f"GET /echo HTTP/1.1\r\nHost: {HOST}\r\nX-Long: ".encode()
    return start + b"x" * (size - len(start)) + b"\r\n\r\n"


@pytest.mark.parametrize(("size", "status"), [(HEAD - 100, 200), (HEAD + 1, 431), (10 * HEAD, 431)])
async def test_S16_a_head_over_the_limit_is_refused(
    house: House, session: Minted, news: News, size: int, status: int
) -> None:
    async with house.tunnel(HOST, session) as wire:
        await wire.send(padded(size))
        answer = await wire.read_response()
    assert answer.status == status
    if status == 431:
        assert b"limits.head (2048 bytes)" in answer.body
        assert news.refused("head_too_large")


@pytest.mark.parametrize("piece", [1, 700, 4000])
async def test_S16_a_head_that_does_not_end_is_refused_at_the_limit(
    house: House, session: Minted, news: News, piece: int
) -> None:
    async with house.tunnel(HOST, session) as wire:
        raw = padded(2 * HEAD)[:-4]
        for at in range(0, HEAD + 8, piece):
            try:
                await wire.send(raw[at : at + piece])
            except OSError:
                break
        answer = await wire.read_response()
    assert answer.status == 431
    assert news.refused("head_too_large")


async def test_S16_a_connect_over_the_limit_is_refused(house: House, session: Minted, news: News) -> None:
    async with await house.wire() as wire:
        answer = await wire.connect_tunnel(f"{HOST}:443", session.token, [("X-Long", "x" * HEAD)])
    assert answer.status == 431
    assert news.refused("head_too_large")


@pytest.mark.parametrize("url", [f"https://{HOST}/echo", f"http://{PLAIN}/echo"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_S16_more_headers_than_the_limit_are_refused(
    house: House, session: Minted, news: News, version: Version, url: str
) -> None:
    few, many = [("x-n", "1")] * (FIELDS - 2), [("x-n", "1")] * (FIELDS + 1)
    assert (await ask(house, url, session, headers=few, version=version)).answer.status == 200
    fresh = News(house)
    said = await ask(house, url, session, headers=many, version=version)
    assert (said.code, said.answer.status) == ("head_too_large", 431)
    assert b"limits.headers (20)" in said.answer.body
    assert fresh.refused("head_too_large")


async def test_S16_a_large_head_of_http_2_is_refused(house: House, session: Minted, news: News) -> None:
    said = await ask(house, f"https://{HOST}/", session, headers={"X-Long": "x" * HEAD}, version=H2)
    assert said.code == "head_too_large"
    assert news.refused("head_too_large")


async def test_S16_a_head_of_http_2_that_does_not_end_is_refused(house: House, session: Minted, news: News) -> None:
    """A hundred times the limit: the engine ends the connection, and nothing of it leaves."""
    async with house.tunnel(HOST, session, alpn=H2) as wire:
        client = await Wire2.start(wire)
        try:
            answer = await client.request("GET", "/", HOST, [(f"x-{n}", "y" * 2000) for n in range(100)])
            assert answer.status == 431
        except (StreamBroken, Closed):
            pass
    assert news.refusal["decision"]["code"] in ("ambiguous", "head_too_large")
    assert news.nothing_left


@pytest.mark.parametrize("version", VERSIONS)
async def test_S16_an_answers_head_over_the_limit_is_a_failure_of_the_upstream(
    house: House, session: Minted, news: News, version: Version
) -> None:
    house.provider.route("/long", lambda call: call.whole(200, b"x", b"text/plain", [(b"x-long", b"y" * 5000)]))
    said = await ask(house, f"http://{PLAIN}/long", session)
    assert (said.answer.status, said.code) == (502, "upstream_failed")
    assert b"yyyy" not in said.answer.everything
