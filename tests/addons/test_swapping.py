"""S17 to S23 on the wire: which placeholders become which values, where, and what happens to everything else."""

import base64
import json

import pytest

from addons.shared import H2, VERSIONS, Asked, News, Version, ask, shared_house, template
from support.house import HOST, House, Minted
from support.received import Received
from support.wire import basic

OTHER, SECOND = "other.example.com", "a.second.example.com"
POLICY = template("""\
version: 1
credentials:
  demo:
    hosts: [api.demo.example, "api.demo.example:8443"]
    headers: [X-Api-Key, Authorization]
    placeholder: {prefix: demo-, length: 40}
    env: [DEMO_API_KEY]
    source: file:demo.key
  second:
    hosts: ["*.second.example.com"]
    headers: [Authorization]
    placeholder: {prefix: second-, length: 48}
    env: [SECOND_API_KEY]
    source: env:SECOND
    foreign: allow
  longer:
    hosts: [api.demo.example]
    headers: [X-Longer-Key]
    placeholder: {prefix: demo-long-, length: 60}
    env: [LONGER_API_KEY]
    source: env:LONGER
egress:
  - {host: api.demo.example, ports: [443, 8443], pin: "@local", ca_file: "@ca"}
  - {host: "*.second.example.com", pin: "@local", ca_file: "@ca"}
  - {host: other.example.com, pin: "@local", ca_file: "@ca"}
""")
ENVIRON = {
    "SECOND": "the-second-real-value-0123456789",
    "LONGER": "the-longer-real-value-0123456789",
}

pytestmark = pytest.mark.asyncio(loop_scope="module")
house = shared_house(POLICY, environ=ENVIRON)


@pytest.fixture
def session(house: House) -> Minted:
    return house.mint()


@pytest.fixture
def news(house: House) -> News:
    return News(house)


@pytest.fixture
def demo(session: Minted) -> str:
    return session.placeholder("demo")


def the_one(house: House) -> Received:
    [received] = house.provider.requests
    return received


async def send(
    house: House,
    session: Minted,
    *pairs: tuple[str, str],
    host: str = HOST,
    path: str = "/echo",
    version: Version = "http/1.1",
) -> Asked:
    return await ask(house, f"https://{host}{path}", session, headers=pairs, version=version)


def assert_swapped(said: Asked, house: House, header: str, value: bytes) -> None:
    assert said.answer.status == 200, said.answer.everything
    assert the_one(house).values(header) == [value]


def assert_misuse(said: Asked, news: News) -> None:
    assert (said.code, said.answer.status) == ("placeholder_misuse", 403)
    assert news.refused("placeholder_misuse")


# -- S17: its own hosts ----------


@pytest.mark.parametrize("version", VERSIONS)
async def test_S17_a_placeholder_becomes_the_value_at_its_host(
    house: House, session: Minted, news: News, demo: str, version: Version
) -> None:
    assert_swapped(await send(house, session, ("X-Api-Key", demo), version=version), house, "x-api-key", house.key)
    [record] = news.records("request")
    [swap] = record["swaps"]
    assert (swap["credential"], swap["place"], swap["version"]) == ("demo", "header:x-api-key", 1)
    assert house.key.decode() not in json.dumps(news.records())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("host", [OTHER, SECOND])
@pytest.mark.parametrize("header", ["X-Api-Key", "Authorization", "X-Other"])
async def test_S17_a_placeholder_at_another_host_is_refused(
    house: House, session: Minted, news: News, demo: str, host: str, header: str, version: Version
) -> None:
    assert_misuse(await send(house, session, (header, demo), host=host, version=version), news)


async def test_S17_a_placeholder_at_a_bound_port_is_swapped(
    house: House, session: Minted, news: News, demo: str
) -> None:
    assert_swapped(await send(house, session, ("X-Api-Key", demo), host=f"{HOST}:8443"), house, "x-api-key", house.key)


async def test_S17_each_host_gets_its_own_value(house: House, session: Minted, news: News) -> None:
    value = f"Bearer {session.placeholder('second')}"
    said = await send(house, session, ("Authorization", value), host=SECOND)
    assert_swapped(said, house, "authorization", f"Bearer {ENVIRON['SECOND']}".encode())


# -- S18: of its session, while it lives ----------


async def test_S18_placeholders_differ_by_session_and_credential(house: House) -> None:
    sessions = [house.mint() for _ in range(5)]
    texts = [text for session in sessions for text in session.placeholders.values()]
    assert len(set(texts)) == len(texts) == 15
    assert all(text.startswith("demo-") and len(text) == 40 for text in (one.placeholder("demo") for one in sessions))


@pytest.mark.parametrize("version", VERSIONS)
async def test_S18_another_sessions_placeholder_is_refused(
    house: House, session: Minted, news: News, version: Version
) -> None:
    theirs = house.mint().placeholder("demo")
    assert_misuse(await send(house, session, ("X-Api-Key", theirs), version=version), news)


async def test_S18_placeholders_die_with_their_session(house: House, session: Minted, demo: str) -> None:
    assert (await send(house, session, ("X-Api-Key", demo))).answer.status == 200
    house.running.runtime.sessions.revoke(session.id)
    news = News(house)
    assert (await send(house, session, ("X-Api-Key", demo))).code == "session_required"
    assert news.refused("session_required")
    news = News(house)
    assert_misuse(await send(house, house.mint(), ("X-Api-Key", demo)), news)


async def test_S18_a_new_session_of_the_same_id_has_new_placeholders(house: House) -> None:
    first = house.mint(id="again")
    house.running.runtime.sessions.revoke(first.id)
    second = house.mint(id="again")
    assert first.placeholder("demo") != second.placeholder("demo")
    news = News(house)
    assert_misuse(await send(house, second, ("X-Api-Key", first.placeholder("demo"))), news)


async def test_S18_a_look_alike_that_we_never_made_is_a_foreign_value(
    house: House, session: Minted, news: News, demo: str
) -> None:
    forged = demo[:-1] + ("A" if demo[-1] != "A" else "B")
    assert (await send(house, session, ("X-Api-Key", forged))).code == "foreign_credential"
    assert news.refused("foreign_credential")


# -- S19: in its own places ----------

PLACES = {
    "a header of another name": ("X-Other", "{}"),
    "another credential's header": ("X-Longer-Key", "{}"),
    "a cookie": ("Cookie", "session={}; a=b"),
    "Referer": ("Referer", f"https://{HOST}/?key={{}}"),
    "Origin": ("Origin", "https://{}.example.com"),
    "User-Agent": ("User-Agent", "client/{}"),
    "a header's name": ("X-{}", "1"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
async def test_S19_a_placeholder_elsewhere_in_the_head_is_not_swapped(
    house: House, session: Minted, news: News, demo: str, place: tuple[str, str], version: Version
) -> None:
    name, value = (text.format(demo) for text in place)
    if version == H2:
        # Header names are in lower case there, so that the placeholder in one is a variant of itself.
        name = name.lower()
    assert_misuse(await send(house, session, (name, value), version=version), news)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", ["/echo?key={}", "/echo?{}", "/echo?a=b&c=x{}", "/{}", "/a/{}/b", "/echo?{}={}"])
async def test_S19_a_placeholder_in_the_target_is_not_swapped(
    house: House, session: Minted, news: News, demo: str, path: str, version: Version
) -> None:
    said = await send(house, session, path=path.format(demo, demo), version=version)
    assert_misuse(said, news)
    assert demo not in json.dumps(news.records())


async def test_S19_a_placeholder_in_its_place_does_not_excuse_one_elsewhere(
    house: House, session: Minted, news: News, demo: str
) -> None:
    assert_misuse(await send(house, session, ("X-Api-Key", demo), ("Cookie", f"k={demo}")), news)


@pytest.mark.parametrize("version", VERSIONS)
async def test_S19_a_body_is_neither_searched_nor_changed(
    house: House, session: Minted, news: News, demo: str, version: Version
) -> None:
    body = json.dumps({"transcript": f"my key is {demo}"}).encode()
    url = f"https://{HOST}/upload"
    said = await ask(house, url, session, method="POST", headers={"X-Api-Key": demo}, body=body, version=version)
    assert said.answer.status == 200
    assert bytes(the_one(house).body) == body
    assert the_one(house).header("x-api-key") == house.key


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("order", [0, 1])
async def test_S19_of_two_headers_the_first_in_the_credentials_order_is_kept(
    house: House, session: Minted, news: News, demo: str, order: int, version: Version
) -> None:
    pairs = [("Authorization", f"Bearer {demo}"), ("X-Api-Key", demo)]
    said = await send(house, session, *(pairs if order else pairs[::-1]), version=version)
    assert_swapped(said, house, "x-api-key", house.key)
    assert the_one(house).values("authorization") == []
    assert not the_one(house).holds(demo.encode())


# -- S20: the whole token ----------


@pytest.mark.parametrize("word", ["Bearer", "bearer", "BEARER", "bEaReR", "token", "Token", "key"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_S20_scheme_words_are_read_in_any_case_and_left_as_they_are(
    house: House, session: Minted, news: News, demo: str, word: str, version: Version
) -> None:
    said = await send(house, session, ("Authorization", f"{word} {demo}"), version=version)
    assert_swapped(said, house, "authorization", word.encode() + b" " + house.key)


async def test_S20_a_placeholder_without_a_scheme_word_is_swapped(
    house: House, session: Minted, news: News, demo: str
) -> None:
    assert_swapped(await send(house, session, ("Authorization", demo)), house, "authorization", house.key)


@pytest.mark.parametrize("space", ["  ", "\t", " \t "])
async def test_S20_surrounding_space_is_tolerated(
    house: House, session: Minted, news: News, demo: str, space: str
) -> None:
    said = await send(house, session, ("Authorization", f"{space}Bearer{space}{demo}{space}"))
    assert said.answer.status == 200
    [value] = the_one(house).values("authorization")
    assert value.split() == [b"Bearer", house.key]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("word", ["Basic", "basic", "BASIC"])
@pytest.mark.parametrize(
    ("user", "password"), [("git", "{}"), ("{}", "x-oauth-basic"), ("{}", ""), ("", "{}"), ("ü", "{}"), ("a b", "{}")]
)
async def test_S20_user_or_password_of_basic_is_swapped_and_the_other_half_stays(
    house: House, session: Minted, news: News, demo: str, user: str, password: str, word: str, version: Version
) -> None:
    value = basic(password.format(demo), user.format(demo)).replace("Basic", word)
    said = await send(house, session, ("Authorization", value), version=version)
    assert said.answer.status == 200
    [received] = the_one(house).values("authorization")
    scheme, _, rest = received.partition(b" ")
    key = house.key.decode()
    assert scheme == word.encode()
    assert base64.b64decode(rest, validate=True).decode() == f"{user.format(key)}:{password.format(key)}"


async def test_S20_a_colon_in_the_password_belongs_to_it(house: House, session: Minted, news: News, demo: str) -> None:
    """`user:PLACEHOLDER:more` has a password that only begins with one."""
    assert_misuse(await send(house, session, ("Authorization", basic(f"{demo}:more", "user"))), news)


@pytest.mark.parametrize(
    ("header", "shape"),
    [
        ("X-Api-Key", "{}x"),
        ("X-Api-Key", "x{}"),
        ("X-Api-Key", "{}-more"),
        ("X-Api-Key", "{0}{0}"),
        ("X-Api-Key", "{0} {0}"),
        ("X-Api-Key", "{0}, {0}"),
        ("X-Api-Key", '"{}"'),
        ("Authorization", "Bearer x{}"),
        ("Authorization", "Bearer {}x"),
        ("Authorization", "Bearer {0} {0}"),
        ("Authorization", "Bearer token={}"),
        ("Authorization", "Digest username=a, response={}"),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
async def test_S20_a_part_of_a_longer_value_is_no_match(
    house: House, session: Minted, news: News, demo: str, header: str, shape: str, version: Version
) -> None:
    assert_misuse(await send(house, session, (header, shape.format(demo)), version=version), news)


async def test_S20_placeholders_with_a_common_beginning_do_not_disturb_each_other(
    house: House, session: Minted, news: News, demo: str
) -> None:
    said = await send(house, session, ("X-Api-Key", demo), ("X-Longer-Key", session.placeholder("longer")))
    assert said.answer.status == 200
    assert the_one(house).values("x-api-key") == [house.key]
    assert the_one(house).values("x-longer-key") == [ENVIRON["LONGER"].encode()]
    [record] = news.records("request")
    assert {swap["credential"] for swap in record["swaps"]} == {"demo", "longer"}


# -- S23: anything else in those headers ----------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Api-Key", "somebody-elses-0123456789"),
        ("Authorization", "Bearer somebody-elses-0123456789"),
        ("Authorization", basic("somebody-elses", "me")),
        ("Authorization", "Negotiate YII="),
        ("Authorization", "short~"),
    ],
)
async def test_S23_a_foreign_value_is_refused(
    house: House, session: Minted, news: News, header: str, value: str, version: Version
) -> None:
    said = await send(house, session, (header, value), version=version)
    assert (said.code, said.answer.status) == ("foreign_credential", 403)
    assert news.refused("foreign_credential")
    assert value not in json.dumps(news.records())


@pytest.mark.parametrize("version", VERSIONS)
async def test_S23_a_foreign_value_passes_where_the_credential_allows_it(
    house: House, session: Minted, news: News, version: Version
) -> None:
    said = await send(house, session, ("Authorization", "Bearer my-own"), host=SECOND, version=version)
    assert_swapped(said, house, "authorization", b"Bearer my-own")
    assert not the_one(house).holds(ENVIRON["SECOND"].encode())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("pairs", [[], [("X-Api-Key", "")], [("Authorization", "Bearer")]])
async def test_S23_nothing_is_injected_without_a_placeholder(
    house: House, session: Minted, news: News, pairs: list[tuple[str, str]], version: Version
) -> None:
    said = await send(house, session, *pairs, version=version)
    assert said.answer.status == 200
    assert not the_one(house).holds(house.key)
    [record] = news.records("request")
    assert record["swaps"] == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_S23_there_is_exactly_one_header_of_that_name(
    house: House, session: Minted, news: News, demo: str, version: Version
) -> None:
    said = await send(house, session, ("X-Api-Key", demo), ("x-api-key", demo), version=version)
    assert_swapped(said, house, "x-api-key", house.key)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "sibling",
    [("Authorization", "Bearer mine"), ("Authorization", basic("mine")), ("X-Api-Key", "mine"), ("x-api-key", "")],
)
async def test_S23_sibling_auth_headers_do_not_ride_along(
    house: House, session: Minted, news: News, demo: str, sibling: tuple[str, str], version: Version
) -> None:
    said = await send(house, session, ("X-Api-Key", demo), sibling, version=version)
    if said.answer.status == 200:
        assert the_one(house).values("x-api-key") == [house.key]
        assert the_one(house).values("authorization") == []
    else:
        assert said.code == "foreign_credential"
        assert news.nothing_left
    assert not any(received.holds(b"mine") for received in house.provider.requests)
