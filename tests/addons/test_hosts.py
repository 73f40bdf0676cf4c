"""S7 on the wire: a host is read by a strict grammar before it is matched, resolved or recorded."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from addons.shared import News, ask, shared_house, template
from support.counting import CountingResolver
from support.house import House
from support.wire import basic

POLICY = template("""\
version: 1
egress:
  - {host: api.example.com, pin: "@local", ca_file: "@ca"}
  - {host: "*.wild.example.com", schemes: [https, http], ports: [80, 443], pin: "@local", ca_file: "@ca"}
  - {host: bücher.example, schemes: [https, http], ports: [80, 443], pin: "@local", ca_file: "@ca"}
""")

pytestmark = pytest.mark.asyncio(loop_scope="module")
house = shared_house(POLICY)


@pytest_asyncio.fixture(loop_scope="module")
async def resolver() -> AsyncIterator[CountingResolver]:
    with CountingResolver(asyncio.get_running_loop()) as resolver:
        yield resolver


MALFORMED: dict[str, bytes] = {
    "userinfo": b"user@api.example.com",
    "userinfo with a password": b"user:pass@api.example.com",
    "the host as userinfo": b"api.example.com@evil.example.org",
    "the host and a port as userinfo": b"api.example.com:443@evil.example.org",
    "a fragment": b"api.example.com#.evil.example.org",
    "a fragment before userinfo": b"evil.example.org#@api.example.com",
    "a query": b"api.example.com?.evil.example.org",
    "a path": b"api.example.com/.evil.example.org",
    "a backslash": b"api.example.com\\.evil.example.org",
    "a percent sign": b"api%2eexample.com",
    "an escaped NUL": b"api.example.com%00.evil.example.org",
    "NUL": b"api.example.com\0.evil.example.org",
    "a tab": b"api.example.com\t.evil.example.org",
    "a space": b"api.example.com .evil.example.org",
    "DEL": b"api.example.com\x7f",
    "an empty label": b"api..example.com",
    "a dot in front": b".api.example.com",
    "two dots behind": b"api.example.com..",
    "only a dot": b".",
    "nothing": b"",
    "a label of 64 bytes": b"a" * 64 + b".example.com",
    "a name of 254 bytes": b".".join([b"a" * 49] * 5) + b".wild",
    "a hyphen in front": b"-api.example.com",
    "a hyphen behind": b"api-.example.com",
    "UTF-8": "apı.example.com".encode(),
    "Latin-1": b"b\xfccher.example",
    "full-width letters": "ａｐｉ.example.com".encode(),
    "an ideographic stop": "api。example.com".encode(),
    "punycode of ASCII": b"xn--api-.example.com",
    "punycode of nothing": b"xn--.example.com",
    "a comma": b"api.example.com,evil.example.org",
    "a semicolon": b"api.example.com;evil",
    "a star": b"*.wild.example.com",
    "brackets around a name": b"[api.example.com]",
    "a scheme": b"https://api.example.com",
    "a letter beyond IDNA": b"xn--" + b"9" * 40 + b".example.com",
}


@pytest.mark.parametrize("host", MALFORMED.values(), ids=MALFORMED)
async def test_S7_a_connect_to_a_malformed_host_is_refused(
    house: House, resolver: CountingResolver, host: bytes
) -> None:
    news, token = News(house), basic(house.mint().token).encode()
    async with await house.wire() as wire:
        await wire.send(
            b"CONNECT %b:443 HTTP/1.1\r\nHost: api.example.com\r\nProxy-Authorization: %b\r\n\r\n" % (host, token)
        )
        answer = await wire.read_response("CONNECT")
    assert answer.status == 400
    assert (resolver.questions, news.nothing_left) == ([], True)
    assert news.refusal["decision"]["code"] == "ambiguous"


IN_A_URL = {name: host for name, host in MALFORMED.items() if name not in {"a path", "a scheme"}}


@pytest.mark.parametrize("host", IN_A_URL.values(), ids=IN_A_URL)
async def test_S7_an_absolute_target_with_a_malformed_host_is_refused(
    house: House, resolver: CountingResolver, host: bytes
) -> None:
    news, token = News(house), basic(house.mint().token).encode()
    async with await house.wire() as wire:
        head = b"GET http://%b/ HTTP/1.1\r\nHost: a.wild.example.com\r\nProxy-Authorization: %b\r\n\r\n"
        await wire.send(head % (host, token))
        answer = await wire.read_response()
    assert answer.status == 400
    assert (resolver.questions, news.nothing_left) == ([], True)
    assert news.refusal["decision"]["code"] == "ambiguous"


@pytest.mark.parametrize("host", MALFORMED.values(), ids=MALFORMED)
async def test_S7_a_malformed_host_header_is_refused(house: House, host: bytes) -> None:
    news = News(house)
    async with house.tunnel("api.example.com", house.mint()) as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
        answer = await wire.read_response()
    assert answer.status in (400, 421)
    assert news.nothing_left
    assert news.refusal["decision"]["code"] in ("ambiguous", "authority_mismatch")


@pytest.mark.parametrize(
    "host",
    ["evil-api.example.com", "evilapi.example.com", "api.example.com.evil.test", "example.com", "wild.example.com",
     "evilwild.example.com", "a.wild.example.com.evil.test", "xn--pi-7kc.example.com", "bucher.example"],
)  # fmt: skip
async def test_S7_a_host_that_looks_like_a_listed_one_is_not_listed(
    house: House, resolver: CountingResolver, host: str
) -> None:
    news = News(house)
    assert (await ask(house, f"https://{host}/", house.mint())).code == "host_not_listed"
    assert news.refusal["host"] == host
    assert resolver.questions == []


@pytest.mark.parametrize("url", ["https://XN--BCHER-KVA.example./echo", "http://xn--bcher-kva.example/echo"])
async def test_S7_an_international_host_travels_as_its_a_label(house: House, url: str) -> None:
    news = News(house)
    said = await ask(house, url, house.mint())
    assert said.answer.status == 200
    [record] = news.records("request")
    assert record["host"] == "xn--bcher-kva.example"


@pytest.mark.parametrize("url", ["https://API.Example.COM/echo", "https://api.example.com./echo"])
async def test_S7_a_host_is_recorded_in_one_spelling(house: House, url: str) -> None:
    news = News(house)
    assert (await ask(house, url, house.mint())).answer.status == 200
    [record] = news.records("request")
    assert record["host"] == "api.example.com"


async def test_S42_a_hostile_host_does_not_split_a_record(house: House) -> None:
    news, before = News(house), len((house.state_dir / "audit.jsonl").read_bytes().splitlines())
    async with await house.wire() as wire:
        await wire.send(b'CONNECT a\x85b","code":"x\xe2\x80\xa8.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n')
        await wire.read_response("CONNECT")
    assert news.refusal["decision"]["code"] == "ambiguous"
    lines = (house.state_dir / "audit.jsonl").read_bytes().splitlines()[before:]
    assert all(json.loads(line)["v"] == 1 and line.isascii() for line in lines)
