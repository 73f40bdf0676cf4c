"""S3: what is refused is refused before any look-up and any upstream socket, and in the order of the table."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from addons.shared import H2, News, ask, open_house, template
from support.counting import CountingListener, CountingResolver
from support.house import House, Minted

POLICY = template("""\
version: 1
credentials:
  demo:
    hosts: ["api.example.com:@port", "narrow.example.com:@port"]
    headers: [X-Api-Key]
    placeholder: {prefix: demo-, length: 40}
    env: [DEMO_API_KEY]
    source: file:demo.key
egress:
  - {host: api.example.com, ports: [@port], private: [127.0.0.0/8]}
  - {host: "*.wild.example.com", ports: [@port], private: [127.0.0.0/8]}
  - {host: narrow.example.com, ports: [@port], methods: [GET], paths: [/v1/**], private: [127.0.0.0/8]}
  - {host: plain.example.com, schemes: [http], ports: [@port], private: [127.0.0.0/8]}
  - {host: denied.example.com, ports: [@port], private: [127.0.0.0/8]}
  - {host: 127.0.0.1, ports: [@port]}
deny:
  - {host: denied.example.com}
  - {host: api.example.com, paths: [/admin/**]}
""")
HERE = ["127.0.0.1"]
NAMES = dict.fromkeys(
    ["api.example.com", "a.wild.example.com", "narrow.example.com", "plain.example.com", "denied.example.com",
     "unlisted.example.com", "evil.example.org"], HERE,
)  # fmt: skip

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def listener() -> Iterator[CountingListener]:
    with CountingListener() as listener:
        yield listener


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory, listener: CountingListener) -> AsyncIterator[House]:
    policy = POLICY.replace("@port", str(listener.port))
    async with open_house(tmp_path_factory.mktemp("house"), policy) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def resolver() -> AsyncIterator[CountingResolver]:
    with CountingResolver(asyncio.get_running_loop(), NAMES) as resolver:
        yield resolver


REFUSED: dict[str, tuple[str, str, dict[str, str], str, str]] = {
    # name: url, method, headers, session, code. @ stands for the listener's port, PLACEHOLDER for the session's.
    "no session": ("https://api.example.com:@/", "GET", {}, "none", "session_required"),
    "no session over http": ("http://plain.example.com:@/", "GET", {}, "none", "session_required"),
    "an unlisted host": ("https://unlisted.example.com:@/", "GET", {}, "", "host_not_listed"),
    "an unlisted host over http": ("http://unlisted.example.com:@/", "GET", {}, "", "host_not_listed"),
    "a denied host": ("https://denied.example.com:@/", "GET", {}, "", "denied"),
    "a denied host over http": ("http://denied.example.com:@/", "GET", {}, "", "denied"),
    "a denied path": ("https://api.example.com:@/admin/x", "GET", {}, "", "denied"),
    "another port": ("https://api.example.com/", "GET", {}, "", "port_not_listed"),
    "another scheme": ("http://api.example.com:@/", "GET", {}, "", "port_not_listed"),
    "an unreadable host": ("https://0x7f.1:@/", "GET", {}, "", "ambiguous"),
    "an unlisted address": ("https://127.0.0.2:@/", "GET", {}, "", "host_not_listed"),
    "another method": ("https://narrow.example.com:@/v1/x", "POST", {}, "", "method_not_listed"),
    "TRACE": ("https://api.example.com:@/", "TRACE", {}, "", "method_not_listed"),
    "another path": ("https://narrow.example.com:@/v2", "GET", {}, "", "path_not_listed"),
    "an ambiguous path": ("https://narrow.example.com:@/v1/..", "GET", {}, "", "ambiguous"),
    "a misplaced placeholder": (
        "https://a.wild.example.com:@/", "GET", {"X-Api-Key": "PLACEHOLDER"}, "", "placeholder_misuse"),
    "a placeholder over http": (
        "http://plain.example.com:@/", "GET", {"X-Api-Key": "PLACEHOLDER"}, "", "placeholder_misuse"),
    "a foreign value": ("https://api.example.com:@/", "GET", {"X-Api-Key": "somebody-elses"}, "", "foreign_credential"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
async def test_S3_a_refused_request_reaches_neither_resolver_nor_socket(
    house: House,
    listener: CountingListener,
    resolver: CountingResolver,
    case: tuple[str, str, dict[str, str], str, str],
) -> None:
    url, method, headers, session, code = case
    news, before = News(house), listener.count
    minted = house.mint()
    sent = {name: value.replace("PLACEHOLDER", minted.placeholder("demo")) for name, value in headers.items()}
    at = url.replace("@", str(listener.port))
    said = await ask(house, at, None if session else minted, method=method, headers=sent)
    assert said.code == code
    assert news.refused(code)
    assert resolver.questions == []
    assert listener.count == before


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "evil.example.org"}, "authority_mismatch"),
        ({"Connection": "Upgrade", "Upgrade": "websocket"}, "upgrade_refused"),
    ],
)
async def test_S3_a_refused_head_reaches_neither_resolver_nor_socket(
    house: House, listener: CountingListener, resolver: CountingResolver, headers: dict[str, str], code: str
) -> None:
    news, before = News(house), listener.count
    said = await ask(house, f"https://api.example.com:{listener.port}/", house.mint(), headers=headers)
    assert said.code == code
    assert news.refused(code)
    assert (resolver.questions, listener.count) == ([], before)


async def test_S3_another_server_name_is_not_looked_up(
    house: House, listener: CountingListener, resolver: CountingResolver
) -> None:
    before = listener.count
    said = await ask(house, f"https://api.example.com:{listener.port}/", house.mint(), sni="evil.example.org")
    assert said.code == "authority_mismatch"
    assert (resolver.questions, listener.count) == ([], before)


async def test_S3_a_tunnel_without_a_request_reaches_neither(
    house: House, listener: CountingListener, resolver: CountingResolver
) -> None:
    before = listener.count
    async with await house.wire() as wire:
        answer = await wire.connect_tunnel(f"api.example.com:{listener.port}", house.mint().token)
        await wire.tls("api.example.com")
    assert answer.status == 200
    assert (resolver.questions, listener.count) == ([], before)


async def test_S3_an_allowed_request_asks_once_and_connects_once(
    house: House, listener: CountingListener, resolver: CountingResolver
) -> None:
    """The counters do count: the listener says nothing, so the client gives up once it has been dialled."""
    before = listener.count
    async with await house.wire() as wire:
        await wire.connect_tunnel(f"api.example.com:{listener.port}", house.mint().token)
        await wire.tls("api.example.com")
        await wire.send(f"GET / HTTP/1.1\r\nHost: api.example.com:{listener.port}\r\n\r\n".encode())
        async with asyncio.timeout(5):
            while listener.count == before:
                await asyncio.sleep(0.01)
    assert resolver.questions == ["api.example.com"]
    assert listener.count == before + 1


ORDER: dict[str, tuple[str, str, dict[str, str], str]] = {
    # Each is wrong in several ways; the first row of the table answers.
    "1 before 2": ("https://0x7f.1:@/", "GET", {}, "ambiguous"),
    "2 before 4": ("https://denied.example.com:@/", "GET", {}, "session_required"),
    "2 before 5": ("https://unlisted.example.com:@/", "GET", {}, "session_required"),
    "3 before 5": ("https://OWN/", "GET", {}, "own_address"),
    "4 before 5": ("https://denied.example.com/", "GET", {}, "denied"),
    "4 before 7": ("https://api.example.com:@/admin/x", "GET", {"Host": "x.example"}, "denied"),
    "5 before 11": ("http://unlisted.example.com:@/", "GET", {"X-Api-Key": "PLACEHOLDER"}, "host_not_listed"),
    "5 before 7": ("http://unlisted.example.com:@/", "GET", {"Host": "x.example"}, "host_not_listed"),
    "7 before 8": ("https://narrow.example.com:@/v2", "POST", {"Host": "x.example"}, "authority_mismatch"),
    "7 before 11": ("https://api.example.com:@/", "GET", {"Host": "x", "X-Other": "PLACEHOLDER"}, "authority_mismatch"),
    "8 method before path": ("https://narrow.example.com:@/v2", "POST", {}, "method_not_listed"),
    "8 before 11": ("https://narrow.example.com:@/v2", "GET", {"X-Other": "PLACEHOLDER"}, "path_not_listed"),
    "11 misuse before foreign": (
        "https://api.example.com:@/", "GET", {"X-Api-Key": "foreign", "X-Other": "PLACEHOLDER"}, "placeholder_misuse"),
    "1 before 7": ("https://api.example.com:@/a#b", "GET", {"Host": "x.example"}, "ambiguous"),
}  # fmt: skip
ANONYMOUS = {"1 before 2", "2 before 4", "2 before 5"}


@pytest.mark.parametrize("name", ORDER)
async def test_S3_the_first_row_that_refuses_is_the_answer(
    house: House, listener: CountingListener, resolver: CountingResolver, name: str
) -> None:
    url, method, headers, code = ORDER[name]
    session = house.mint()
    own = "{}:{}".format(*house.running.address)
    sent = {header: value.replace("PLACEHOLDER", session.placeholder("demo")) for header, value in headers.items()}
    at = url.replace("@", str(listener.port)).replace("OWN", own)
    said = await ask(house, at, None if name in ANONYMOUS else session, method=method, headers=sent)
    assert said.code == code


async def test_S3_a_stream_of_http_2_that_is_refused_reaches_neither(
    house: House, listener: CountingListener, resolver: CountingResolver
) -> None:
    before, session = listener.count, house.mint()
    url = f"https://narrow.example.com:{listener.port}/v2"
    said = await ask(house, url, session, headers=placeholder(session), version=H2)
    assert said.code == "path_not_listed"
    assert (resolver.questions, listener.count) == ([], before)


def placeholder(session: Minted) -> dict[str, str]:
    return {"X-Api-Key": session.placeholder("demo")}
