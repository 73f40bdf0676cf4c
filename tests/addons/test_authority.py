"""S1: CONNECT, SNI, every Host, :authority and an absolute-form target name one authority, on every request."""

import pytest

from addons.shared import News, ask, shared_house, template
from support.house import HOST, House, Minted
from support.wire import Wire, WireResponse, basic
from support.wire_h2 import Pair, StreamBroken, Wire2

OTHER = "other.example.com"
POLICY = template("""\
version: 1
credentials:
  demo:
    hosts: [api.demo.example, "api.demo.example:8443"]
    headers: [X-Api-Key]
    placeholder: {prefix: demo-, length: 40}
    env: [DEMO_API_KEY]
    source: file:demo.key
egress:
  - {host: api.demo.example, ports: [443, 8443], pin: "@local", ca_file: "@ca"}
  - {host: other.example.com, pin: "@local", ca_file: "@ca"}
  - {host: plain.example.com, schemes: [http], pin: "@local"}
  - {host: "2001:db8::7", schemes: [http], pin: "@local"}
""")

pytestmark = pytest.mark.asyncio(loop_scope="module")
house = shared_house(POLICY)


@pytest.fixture
def news(house: House) -> News:
    return News(house)


@pytest.fixture
def session(house: House) -> Minted:
    return house.mint()


def key(session: Minted) -> tuple[str, str]:
    return ("X-Api-Key", session.placeholder("demo"))


def assert_mismatch(answer: WireResponse, news: News) -> None:
    assert answer.status == 421, answer.everything
    assert b'"code": "authority_mismatch"' in answer.body
    assert news.refused("authority_mismatch")


def assert_swapped(answer: WireResponse, house: House) -> None:
    assert answer.status == 200, answer.everything
    [received] = house.provider.requests
    assert received.header("x-api-key") == house.key
    assert received.scheme == "https"
    assert received.sni == HOST


WRONG_HOSTS = {
    "another listed host": OTHER,
    "an unlisted host": "evil.example.org",
    "a host below it": f"x.{HOST}",
    "a longer host": f"{HOST}.evil.test",
    "another port": f"{HOST}:8443",
    "the port of http": f"{HOST}:80",
    "userinfo in front": f"user@{HOST}",
    "the host as userinfo": f"{HOST}@evil.example.org",
    "a path behind it": f"{HOST}/",
    "a second name": f"{HOST}, {OTHER}",
    "two names with a space": f"{HOST} {OTHER}",
    "an address": "127.0.0.1",
    "nothing": "",
}


@pytest.mark.parametrize("host", WRONG_HOSTS.values(), ids=WRONG_HOSTS)
async def test_S1_another_host_is_refused(house: House, session: Minted, news: News, host: str) -> None:
    async with house.tunnel(HOST, session) as wire:
        assert_mismatch(await wire.request("GET", "/echo", host, [key(session)]), news)


@pytest.mark.parametrize("host", [HOST, f"{HOST}:443", f"{HOST}.", HOST.upper(), f"{HOST.title()}.:443"])
async def test_S1_another_spelling_of_the_host_is_no_mismatch(
    house: House, session: Minted, news: News, host: str
) -> None:
    async with house.tunnel(HOST, session) as wire:
        assert_swapped(await wire.request("GET", "/echo", host, [key(session)]), house)


async def test_S1_the_second_of_two_hosts_is_not_overlooked(house: House, session: Minted, news: News) -> None:
    async with house.tunnel(HOST, session) as wire:
        answer = await wire.request("GET", "/echo", HOST, [("Host", OTHER), key(session)])
    assert answer.status == 400
    assert news.refused("ambiguous")


async def test_S1_a_request_of_http_1_0_without_host_is_refused(house: House, session: Minted, news: News) -> None:
    async with house.tunnel(HOST, session) as wire:
        await wire.send(b"GET /echo HTTP/1.0\r\nX-Api-Key: %b\r\n\r\n" % session.placeholder("demo").encode())
        assert_mismatch(await wire.read_response(), news)


@pytest.mark.parametrize(
    "target",
    [
        f"https://{OTHER}/echo",
        f"http://{OTHER}/echo",
        "http://evil.example.org/echo",
        f"https://{HOST}:8443/echo",
        f"http://{HOST}:80/echo",
        f"https://{HOST}.evil.test/echo",
    ],
)
async def test_S1_an_absolute_target_in_the_tunnel_that_names_another_authority_is_refused(
    house: House, session: Minted, news: News, target: str
) -> None:
    async with house.tunnel(HOST, session) as wire:
        assert_mismatch(await wire.request("GET", target, HOST, [key(session)]), news)


@pytest.mark.parametrize("target", [f"https://{HOST}/echo", f"https://{HOST}:443/echo", f"HTTPS://{HOST.upper()}/echo"])
async def test_S1_an_absolute_target_that_names_the_same_authority_is_sent_in_origin_form(
    house: House, session: Minted, news: News, target: str
) -> None:
    async with house.tunnel(HOST, session) as wire:
        assert_swapped(await wire.request("GET", target, HOST, [key(session)]), house)
    assert house.provider.requests[0].target == b"/echo"


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
@pytest.mark.parametrize("sni", [OTHER, "evil.example.org", f"x.{HOST}", "a b.example.com", "127.1", None])
async def test_S1_another_server_name_is_refused(
    house: House, session: Minted, news: News, sni: str | None, alpn: str
) -> None:
    async with await house.wire() as wire:
        assert (await wire.connect_tunnel(f"{HOST}:443", session.token)).status == 200
        await wire.tls(sni, [alpn])
        assert_mismatch(await said(wire, alpn, HOST, session), news)


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
async def test_S1_host_and_server_name_together_do_not_outvote_connect(
    house: House, session: Minted, news: News, alpn: str
) -> None:
    async with house.tunnel(HOST, session, sni=OTHER, alpn=alpn) as wire:
        assert_mismatch(await said(wire, alpn, OTHER, session), news)


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
@pytest.mark.parametrize("sni", [HOST.upper(), f"{HOST}."])
async def test_S1_another_spelling_of_the_server_name_is_no_mismatch(
    house: House, session: Minted, news: News, sni: str, alpn: str
) -> None:
    async with house.tunnel(HOST, session, sni=sni, alpn=alpn) as wire:
        assert_swapped(await said(wire, alpn, HOST, session), house)


async def said(wire: Wire, alpn: str, host: str, session: Minted) -> WireResponse:
    if alpn == "h2":
        return await (await Wire2.start(wire)).request(
            "GET", "/echo", host, [("x-api-key", session.placeholder("demo"))]
        )
    return await wire.request("GET", "/echo", host, [key(session)])


async def test_S1_every_request_of_a_connection_is_judged(house: House, session: Minted, news: News) -> None:
    async with house.tunnel(HOST, session) as wire:
        first = await wire.request("GET", "/echo", HOST, [key(session)])
        second = await wire.request("GET", "/echo", OTHER, [key(session)])
        third = await wire.request("GET", "/echo", HOST, [key(session)])
        fourth = await wire.request("GET", f"https://{OTHER}/echo", HOST, [key(session)])
    assert [one.status for one in (first, second, third, fourth)] == [200, 421, 200, 421]
    assert len(house.provider.requests) == 2
    assert [record["decision"]["code"] for record in news.records("refused")] == ["authority_mismatch"] * 2


async def test_S1_pipelined_requests_are_judged_one_by_one(house: House, session: Minted, news: News) -> None:
    good = f"GET /echo HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
    async with house.tunnel(HOST, session) as wire:
        await wire.send((good + good.replace(HOST, OTHER) + good).encode())
        statuses = [(await wire.read_response()).status for _ in range(3)]
    assert statuses == [200, 421, 200]
    assert [received.host for received in house.provider.requests] == [HOST, HOST]


# -- HTTP/2 ----------

WRONG_AUTHORITIES = {name: host for name, host in WRONG_HOSTS.items() if host}


def head(*names: Pair, path: str = "/echo", scheme: str = "https") -> list[Pair]:
    return [(":method", "GET"), (":scheme", scheme), (":path", path), *names]


@pytest.mark.parametrize("authority", WRONG_AUTHORITIES.values(), ids=WRONG_AUTHORITIES)
async def test_S1_another_authority_is_refused(house: House, session: Minted, news: News, authority: str) -> None:
    """Some of these the engine ends with the connection; then, too, nothing leaves."""
    answer = await over_h2(house, session, head((":authority", authority)))
    if answer is not None:
        assert_mismatch(answer, news)
    assert news.nothing_left


@pytest.mark.parametrize(
    "names",
    [
        [(":authority", HOST), ("host", OTHER)],
        [(":authority", OTHER), ("host", HOST)],
        [(":authority", OTHER), ("host", OTHER)],
        [("host", HOST)],
        [("host", OTHER)],
        [],
    ],
    ids=["another host", "another authority", "both another", "host alone", "another host alone", "neither"],
)
async def test_S1_authority_and_host_both_name_the_destination(
    house: House, session: Minted, news: News, names: list[Pair]
) -> None:
    answer = await over_h2(house, session, head(*names))
    assert answer is None or answer.status in (400, 421)
    assert news.nothing_left


@pytest.mark.parametrize("names", [[(":authority", f"{HOST}:443")], [(":authority", HOST.upper())]])
async def test_S1_another_spelling_of_authority_is_no_mismatch(
    house: House, session: Minted, news: News, names: list[Pair]
) -> None:
    answer = await over_h2(house, session, head(*names))
    assert answer is not None
    assert_swapped(answer, house)


async def test_S1_the_scheme_of_a_stream_does_not_move_it_to_http(house: House, session: Minted, news: News) -> None:
    answer = await over_h2(house, session, head((":authority", HOST), scheme="http"))
    assert answer is None or answer.status != 200 or house.provider.requests[0].scheme == "https"
    assert all(received.scheme == "https" for received in house.provider.requests)


@pytest.mark.parametrize("path", [f"https://{OTHER}/echo", f"http://{OTHER}/echo", "echo", "*", ""])
async def test_S9_a_path_that_does_not_start_with_a_slash_is_refused(
    house: House, session: Minted, news: News, path: str
) -> None:
    answer = await over_h2(house, session, head((":authority", HOST), path=path))
    assert answer is None or answer.status == 400
    assert news.nothing_left


async def test_S9_each_stream_is_judged_alone(house: House, session: Minted, news: News) -> None:
    placeholder = ("x-api-key", session.placeholder("demo"))
    async with house.tunnel(HOST, session, alpn="h2") as wire:
        client = await Wire2.start(wire)
        streams = [
            await client.open([*head((":authority", authority)), placeholder])
            for authority in (HOST, OTHER, HOST, "evil.example.org")
        ]
        statuses = [(await client.response(stream)).status for stream in streams]
    assert statuses == [200, 421, 200, 421]
    assert [received.host for received in house.provider.requests] == [HOST, HOST]
    assert len(news.records("refused")) == 2


async def over_h2(house: House, session: Minted, fields: list[Pair]) -> WireResponse | None:
    """The answer, or None where the stream or the connection was ended instead."""
    async with house.tunnel(HOST, session, alpn="h2") as wire:
        client = await Wire2.start(wire)
        stream = await client.open([*fields, ("x-api-key", session.placeholder("demo"))])
        try:
            return await client.response(stream)
        except StreamBroken:
            return None


# -- without a tunnel ----------


@pytest.mark.parametrize("target", [f"https://{HOST}/echo", f"https://{HOST}:443/echo", f"https://{OTHER}/"])
async def test_S1_https_in_the_clear_is_refused(house: House, session: Minted, news: News, target: str) -> None:
    async with await house.wire() as wire:
        host = OTHER if OTHER in target else HOST
        credentials = ("Proxy-Authorization", basic(session.token))
        assert_mismatch(await wire.request("GET", target, host, [credentials, key(session)]), news)


@pytest.mark.parametrize("host", [OTHER, "plain.example.com:8080", "plain.example.com:443", "", "x@plain.example.com"])
async def test_S1_another_host_than_the_absolute_target_is_refused(
    house: House, session: Minted, news: News, host: str
) -> None:
    said = await ask(house, "http://plain.example.com/echo", session, headers=[("Host", host)])
    assert_mismatch(said.answer, news)


@pytest.mark.parametrize("host", ["plain.example.com", "plain.example.com:80", "PLAIN.example.com."])
async def test_S1_the_host_of_the_absolute_target_passes(house: House, session: Minted, news: News, host: str) -> None:
    said = await ask(house, "http://plain.example.com/echo", session, headers=[("Host", host)])
    assert said.answer.status == 200
    [received] = house.provider.requests
    assert received.target == b"/echo"


async def test_S1_an_ipv6_target_names_itself(house: House, session: Minted, news: News) -> None:
    said = await ask(house, "http://[2001:db8::7]/echo", session)
    assert said.answer.status == 200
    assert (await ask(house, "http://[2001:db8::7]/echo", session, headers=[("Host", "[2001:db8::8]")])).code == (
        "authority_mismatch"
    )


async def test_S1_plain_http_inside_the_tunnel_is_not_https(house: House, session: Minted, news: News) -> None:
    async with await house.wire() as wire:
        assert (await wire.connect_tunnel(f"{HOST}:443", session.token)).status == 200
        answer = await wire.request("GET", "/echo", HOST, [key(session)])
    assert answer.status == 403
    assert news.refused("port_not_listed")


async def test_S1_origin_form_to_the_proxy_goes_by_host_and_is_judged_as_http(
    house: House, session: Minted, news: News
) -> None:
    async with await house.wire() as wire:
        credentials = ("Proxy-Authorization", basic(session.token))
        answer = await wire.request("GET", "/echo", HOST, [credentials, key(session)])
    assert answer.status == 403
    assert news.refused("port_not_listed")
