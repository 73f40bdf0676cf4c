"""S14 and S15 on the wire: which methods pass, and what of a head never leaves."""

import pytest

from addons.shared import H2, VERSIONS, News, Version, ask, shared_house, template
from support.house import HOST, House, Minted
from support.received import Received
from support.wire import Closed, basic
from support.wire_h2 import StreamBroken, Wire2

POLICY = template("""\
version: 1
credentials:
  demo:
    hosts: [api.demo.example, read.example.com]
    headers: [X-Api-Key, Authorization]
    placeholder: {prefix: demo-, length: 40}
    env: [DEMO_API_KEY]
    source: file:demo.key
egress:
  - {host: api.demo.example, pin: "@local", ca_file: "@ca"}
  - {host: read.example.com, methods: [GET], pin: "@local", ca_file: "@ca"}
  - {host: write.example.com, methods: [POST], pin: "@local", ca_file: "@ca"}
  - {host: plain.example.com, schemes: [http], pin: "@local"}
  - {host: plain-read.example.com, schemes: [http], methods: [GET], pin: "@local"}
""")
READ, WRITE, PLAIN = "read.example.com", "write.example.com", "plain.example.com"

pytestmark = pytest.mark.asyncio(loop_scope="module")
house = shared_house(POLICY)


@pytest.fixture
def session(house: House) -> Minted:
    return house.mint()


@pytest.fixture
def news(house: House) -> News:
    return News(house)


def the_one(house: House) -> Received:
    [received] = house.provider.requests
    return received


# -- S14: methods ----------


@pytest.mark.parametrize("version", VERSIONS)
async def test_S14_head_follows_get(house: House, session: Minted, news: News, version: Version) -> None:
    said = await ask(house, f"https://{READ}/echo", session, method="HEAD", version=version)
    assert (said.answer.status, said.answer.body) == (200, b"")
    assert the_one(house).method == "HEAD"
    assert (
        await ask(house, f"https://{WRITE}/echo", session, method="HEAD", version=version)
    ).code == "method_not_listed"


@pytest.mark.parametrize("version", VERSIONS)
async def test_S14_a_connection_is_good_for_more_after_a_refused_head(
    house: House, session: Minted, version: Version
) -> None:
    """An answer to HEAD has no body, ours neither; one would be read as the next answer."""
    async with house.tunnel(WRITE, session, alpn=version) as wire:
        asking = await Wire2.start(wire) if version == H2 else wire
        statuses = [
            (await asking.request(method, "/echo", WRITE)).status for method in ("HEAD", "POST", "HEAD", "POST")
        ]
    assert statuses == [403, 200, 403, 200]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("method", ["TRACE", "TRACK", "trace", "Track", "CONNECT", "connect"])
async def test_S14_trace_track_and_an_inner_connect_are_refused_always(
    house: House, session: Minted, news: News, method: str, version: Version
) -> None:
    async with house.tunnel(HOST, session, alpn=version) as wire:
        asking = await Wire2.start(wire) if version == H2 else wire
        try:
            answer = await asking.request(method, "/echo", HOST, [("x-api-key", session.placeholder("demo"))])
            assert answer.status in (400, 403)
        except StreamBroken:
            assert (method, version) == ("CONNECT", H2)  # with a path it is no request of HTTP/2
    assert news.refusal["decision"]["code"] in ("method_not_listed", "ambiguous")
    assert news.nothing_left


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "trace"])
async def test_S14_trace_over_plain_http_is_refused(house: House, session: Minted, news: News, method: str) -> None:
    assert (await ask(house, f"http://{PLAIN}/", session, method=method)).code == "method_not_listed"
    assert news.nothing_left


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("header", ["X-Api-Key", "Authorization"])
async def test_S14_options_with_a_placeholder_is_refused(
    house: House, session: Minted, news: News, header: str, version: Version
) -> None:
    headers = {
        header: session.placeholder("demo") if header == "X-Api-Key" else f"Bearer {session.placeholder('demo')}"
    }
    said = await ask(house, f"https://{HOST}/echo", session, method="OPTIONS", headers=headers, version=version)
    assert said.code == "placeholder_misuse"
    assert news.refused("placeholder_misuse")


@pytest.mark.parametrize("version", VERSIONS)
async def test_S14_options_without_one_passes(house: House, session: Minted, news: News, version: Version) -> None:
    said = await ask(house, f"https://{HOST}/echo", session, method="OPTIONS", version=version)
    assert said.answer.status == 200
    assert the_one(house).method == "OPTIONS"


async def test_S14_options_star_is_no_path_of_the_policy(house: House, session: Minted, news: News) -> None:
    async with house.tunnel(READ, session) as wire:
        answer = await wire.request("OPTIONS", "*", READ)
    assert answer.status == 403
    assert news.refused("method_not_listed")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("method", "passes"), [("get", True), ("Get", True), ("post", False), ("dElEtE", False)])
async def test_S14_methods_compare_in_upper_case(
    house: House, session: Minted, news: News, method: str, passes: bool, version: Version
) -> None:
    said = await ask(house, f"https://{READ}/echo", session, method=method, version=version)
    assert said.code == (None if passes else "method_not_listed")


OVERRIDES = ["X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override", "x-http-method-override", "X_HTTP_Method"]


@pytest.mark.parametrize("url", [f"https://{READ}/echo", "http://plain-read.example.com/echo"])
@pytest.mark.parametrize("header", OVERRIDES)
async def test_S14_override_headers_are_removed_where_methods_are_restricted(
    house: House, session: Minted, news: News, header: str, url: str
) -> None:
    assert (await ask(house, url, session, headers={header: "DELETE"})).answer.status == 200
    assert not the_one(house).holds(b"DELETE")


@pytest.mark.parametrize("header", OVERRIDES)
async def test_S14_override_headers_are_removed_on_http_2_too(
    house: House, session: Minted, news: News, header: str
) -> None:
    said = await ask(house, f"https://{READ}/echo", session, headers={header: "DELETE"}, version=H2)
    assert said.answer.status == 200
    assert not the_one(house).holds(b"DELETE")


async def test_S14_override_headers_stay_where_every_method_is_allowed(
    house: House, session: Minted, news: News
) -> None:
    await ask(house, f"https://{HOST}/echo", session, headers={"X-HTTP-Method-Override": "DELETE"})
    assert the_one(house).header("x-http-method-override") == b"DELETE"


# -- S15: what never leaves ----------

HOP_BY_HOP = {
    "Connection": "keep-alive",
    "Keep-Alive": "timeout=5",
    "Proxy-Connection": "keep-alive",
    "Proxy-Authenticate": "Basic realm=x",
    "Proxy-Foo": "1",
    "TE": "gzip, trailers",
    "Trailer": "X-Sum",
    "X-Keyswap-Session": "1",
    "X-Keyswap-Anything": "1",
    "HTTP2-Settings": "AAMAAABk",
}
STAYS = {"X-Custom": "1", "Accept": "text/html", "User-Agent": "a client"}


@pytest.mark.parametrize("url", [f"https://{HOST}/echo", f"http://{PLAIN}/echo"])
async def test_S15_hop_by_hop_headers_never_leave(house: House, session: Minted, news: News, url: str) -> None:
    said = await ask(house, url, session, headers={**HOP_BY_HOP, **STAYS})
    assert said.answer.status == 200
    names = {name.lower() for name, _ in the_one(house).fields}
    assert not names & {name.lower().encode() for name in HOP_BY_HOP}
    assert {name.lower().encode() for name in STAYS} <= names


@pytest.mark.parametrize(
    "value",
    ["basic", "bearer", "junk", "twice"],
)
@pytest.mark.parametrize("version", VERSIONS)
async def test_S15_the_session_token_inside_the_tunnel_does_not_leave(
    house: House, session: Minted, news: News, version: Version, value: str
) -> None:
    shapes = {
        "basic": [basic(session.token)], "bearer": [f"Bearer {session.token}"], "junk": [session.token],
        "twice": [basic(session.token), basic(session.token)],
    }  # fmt: skip
    pairs = [("Proxy-Authorization", one) for one in shapes[value]]
    said = await ask(house, f"https://{HOST}/echo", session, headers=pairs, version=version)
    assert said.answer.status == 200
    assert the_one(house).values("proxy-authorization") == []
    assert not the_one(house).holds(session.token.encode())
    assert not the_one(house).holds(basic(session.token).removeprefix("Basic ").encode())


async def test_S15_the_session_token_of_a_plain_request_does_not_leave(
    house: House, session: Minted, news: News
) -> None:
    assert (await ask(house, f"http://{PLAIN}/echo", session)).answer.status == 200
    assert the_one(house).values("proxy-authorization") == []
    assert not the_one(house).holds(basic(session.token).removeprefix("Basic ").encode())


async def test_S15_a_token_among_the_named_by_connection_does_not_leave_either(
    house: House, session: Minted, news: News
) -> None:
    headers = {"Connection": "keep-alive, Proxy-Authorization, X-Keyswap-Session"}
    assert (await ask(house, f"http://{PLAIN}/echo", session, headers=headers)).answer.status == 200
    assert the_one(house).values("proxy-authorization") == []


@pytest.mark.parametrize("value", ["X-Hop", "keep-alive, x-hop", "close,\tX-HOP ,", "X-Other, X-Hop"])
async def test_S15_headers_named_by_connection_never_leave(
    house: House, session: Minted, news: News, value: str
) -> None:
    await ask(house, f"https://{HOST}/echo", session, headers={"Connection": value, "X-Hop": "1", "X-Stays": "1"})
    assert the_one(house).values("x-hop") == []
    assert the_one(house).values("x-stays") == [b"1"]


@pytest.mark.parametrize("value", ["X-Api-Key", "x-api-key, authorization", "close, X-Api-Key"])
async def test_S15_connection_does_not_remove_the_swapped_header(
    house: House, session: Minted, news: News, value: str
) -> None:
    headers = {"Connection": value, "X-Api-Key": session.placeholder("demo")}
    said = await ask(house, f"https://{HOST}/echo", session, headers=headers)
    assert said.answer.status == 200
    assert the_one(house).values("x-api-key") == [house.key]


@pytest.mark.parametrize("named", ["Host", "Content-Length", "Transfer-Encoding"])
async def test_S15_connection_does_not_remove_what_frames_the_request(
    house: House, session: Minted, news: News, named: str
) -> None:
    said = await ask(
        house, f"https://{HOST}/upload", session, method="POST", headers={"Connection": named}, body=b"all of it"
    )
    assert said.answer.status == 200
    assert bytes(the_one(house).body) == b"all of it"
    assert the_one(house).host == HOST


@pytest.mark.parametrize("value", ["trailers", "Trailers"])
async def test_S15_te_trailers_stays_on_http_2(house: House, session: Minted, news: News, value: str) -> None:
    async with house.tunnel(HOST, session, alpn=H2) as wire:
        client = await Wire2.start(wire)
        answer = await client.request("GET", "/echo", HOST, [("te", value)])
    assert answer.status == 200
    assert the_one(house).values("te") == [b"trailers"]


@pytest.mark.parametrize(
    "field",
    [
        ("te", "gzip"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("Upper", "a value"),
        ("x", "a\r\nb: c"),
    ],
)
async def test_S9_what_is_no_header_of_http_2_ends_the_connection_and_is_recorded(
    house: House, session: Minted, news: News, field: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async with house.tunnel(HOST, session, alpn=H2) as wire:
        client = await Wire2.start(wire)
        with pytest.raises((StreamBroken, Closed)):
            await client.request("GET", "/echo", HOST, [("x-note", "something of mine"), field])
    assert news.refusal["decision"]["code"] == "ambiguous"
    assert news.nothing_left
    assert field[1] not in caplog.text


@pytest.mark.parametrize("version", VERSIONS)
async def test_S15_own_control_headers_never_leave(house: House, session: Minted, news: News, version: Version) -> None:
    headers = {"X-Keyswap-Request-Id": "req_0123456789abcdef", "x_keyswap_session": "1", "Proxy-Foo": "1"}
    await ask(house, f"https://{HOST}/echo", session, headers=headers, version=version)
    names = {name.lower() for name, _ in the_one(house).fields}
    assert not [name for name in names if b"keyswap" in name or name.startswith(b"proxy-")]


async def test_S15_the_rest_of_a_head_keeps_its_order_case_and_bytes(house: House, session: Minted, news: News) -> None:
    sent = [("X-One", "a  b"), ("x-TWO", "ü"), ("X-One", ""), ("Cookie", "a=1; b=2"), ("X-Quote", '"\\"')]
    async with house.tunnel(HOST, session) as wire:
        await wire.request("GET", "/echo?a=%20b&c", HOST, [*sent, ("X-Api-Key", session.placeholder("demo"))])
    received = the_one(house)
    assert received.target == b"/echo?a=%20b&c"
    kept = [(name, value) for name, value in received.fields if name.lower() not in (b"host", b"accept-encoding")]
    assert kept == [
        *((name.encode(), value.encode("latin-1")) for name, value in sent),
        (b"X-Api-Key", house.key),
    ]
    assert received.version == "HTTP/1.1"


async def test_S28_a_host_with_credentials_is_asked_for_identity(house: House, session: Minted, news: News) -> None:
    await ask(house, f"https://{HOST}/echo", session, headers={"Accept-Encoding": "gzip, br"})
    assert the_one(house).values("accept-encoding") == [b"identity"]
