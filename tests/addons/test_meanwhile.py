"""What changes while a request waits: its client leaves, its session ends, the policy is edited (S17, S32, S46)."""

import asyncio
import gc
from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest
import pytest_asyncio

from addons.internet import PUBLIC, Internet
from addons.shared import News, open_house, template
from keyswap.addons.dial import HELD
from keyswap.addons.roster import Roster
from keyswap.policy.model import Address
from support.house import House, Minted
from support.wire import basic

TEXT = """\
version: 1
credentials:
  demo:
    hosts: [slow.example.com, "*.plain.example.com:80"]
    headers: [X-Api-Key]
    placeholder: {prefix: demo-, length: 40}
    env: [DEMO_API_KEY]
    source: file:demo.key
    plaintext: true
egress:
  - {host: slow.example.com, ca_file: "@ca"}
  - {host: relay.example.com, tls: passthrough}
  - {host: "*.plain.example.com", schemes: [http]}
"""
POLICY = template(TEXT)
SLOW = "slow.example.com"

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Resolver:
    """Answers with a public address once it is allowed to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def __call__(self, host: str, port: int) -> list[Address]:
        self.asked.set()
        await self.may_answer.wait()
        return [ip_address(PUBLIC)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def internet() -> Internet:
    made = Internet()
    made.take_over(asyncio.get_running_loop())
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory, internet: Internet) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("house"), POLICY) as running:
        internet.port = running.provider.port
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def resolver(house: House, internet: Internet) -> AsyncIterator[Resolver]:
    made = Resolver()
    dialer = house.running.attached.chain.dialer
    dialer.resolve = made
    internet.dialled.clear()
    yield made
    made.may_answer.set()
    dialer.resolve = None


def head(session: Minted, host: str = SLOW) -> bytes:
    return f"GET /echo HTTP/1.1\r\nHost: {host}\r\nX-Api-Key: {session.placeholder('demo')}\r\n\r\n".encode()


async def settled(house: House) -> None:
    """Nothing of a client that left is kept."""
    await asyncio.sleep(0.2)
    gc.collect()
    chain = house.running.attached.chain
    assert list(chain.clients) == []
    assert chain.clients._per_session == {}
    assert chain.dialer._permits == {}
    assert house.running.runtime.metrics.connections._value.get() == 0


# -- the client leaves --------------------------------------------------------------------------------------------


async def test_S46_who_leaves_while_a_name_is_looked_up_has_both_records(
    house: House, internet: Internet, resolver: Resolver
) -> None:
    session, news = house.mint(), News(house)
    async with house.tunnel(SLOW, session) as wire:
        await wire.send(head(session))
        await resolver.asked.wait()
    await asyncio.sleep(0.2)
    resolver.may_answer.set()
    await settled(house)
    begun, ended = news.records("request", "response", "refused")
    assert (begun["event"], ended["event"]) == ("request", "response")
    assert ended["id"] == begun["id"]
    assert ended["upstream"]["error"]
    assert news.nothing_left
    assert internet.dialled == []


async def test_S46_who_leaves_a_relayed_tunnel_while_its_name_is_looked_up_has_one_record(
    house: House, resolver: Resolver
) -> None:
    news = News(house)
    async with await house.wire() as wire:
        await wire.connect_tunnel("relay.example.com:443", house.mint().token)
        hello = asyncio.create_task(wire.tls("relay.example.com"))
        await resolver.asked.wait()
        hello.cancel()
        await asyncio.wait([hello])
    await asyncio.sleep(0.2)
    resolver.may_answer.set()
    await settled(house)
    [record] = news.records("request", "response", "refused")
    assert record["decision"]["result"] == "passthrough"


@pytest.mark.parametrize(
    ("first_line", "host"),
    [(f"CONNECT {SLOW}:443", SLOW), ("GET http://a.plain.example.com/", "a.plain.example.com")],
    ids=["CONNECT", "plain"],
)
async def test_S46_who_leaves_while_a_wrong_token_is_held_back_has_one_record(
    house: House, resolver: Resolver, monkeypatch: pytest.MonkeyPatch, first_line: str, host: str
) -> None:
    news = News(house)
    with monkeypatch.context() as patched:
        patched.setattr(type(house.running.runtime.throttle), "failed", lambda self, source: 0.4)
        async with await house.wire() as wire:
            token = basic("ks_" + "x" * 43)
            await wire.send(f"{first_line} HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: {token}\r\n\r\n".encode())
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
    await settled(house)
    assert news.refused("session_required")
    assert not resolver.asked.is_set()


async def test_S38_a_client_that_asks_for_ever_new_names_holds_a_bounded_number_of_permits(
    house: House, resolver: Resolver
) -> None:
    resolver.may_answer.set()
    session = house.mint()
    dialer = house.running.attached.chain.dialer
    async with await house.wire() as wire:
        for number in range(HELD + 10):
            host = f"n{number}.plain.example.com"
            answer = await wire.request(
                "GET", f"http://{host}/echo", host, [("Proxy-Authorization", basic(session.token))]
            )
            assert answer.status == 200
        [permits] = dialer._permits.values()
        assert len(permits) == HELD
    await settled(house)


# -- the session ends, the policy changes ---------------------------------------------------------------------------


async def test_S32_a_session_that_ends_while_a_name_is_looked_up_releases_nothing(
    house: House, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Roster, "look", lambda self: None)
    session, news = house.mint(), News(house)
    async with house.tunnel(SLOW, session) as wire:
        await wire.send(head(session))
        await resolver.asked.wait()
        house.running.runtime.sessions.revoke(session.id)
        resolver.may_answer.set()
        assert (await wire.read_response()).status == 407
    assert news.refused("session_required")


async def test_S17_a_key_that_a_reload_has_put_behind_the_name_does_not_go_where_the_old_one_was_bound(
    house: House, internet: Internet, resolver: Resolver
) -> None:
    """The request was judged by one policy; the keyring already follows the next."""
    session, news = house.mint(), News(house)
    other = house.policy_file.with_name("other.key")
    other.write_bytes(b"the-key-of-another-place-0123456789\n")
    other.chmod(0o600)
    edited = TEXT.replace(f"hosts: [{SLOW}, ", "hosts: [").replace("file:demo.key", "file:other.key")
    async with house.tunnel(SLOW, session) as wire:
        await wire.send(head(session))
        await resolver.asked.wait()
        await edit(house, template(edited))
        resolver.may_answer.set()
        assert (await wire.read_response()).status == 503
    assert news.refused("credential_unavailable")
    assert internet.dialled == []
    await edit(house, POLICY)


async def test_S32_an_edit_elsewhere_does_not_disturb_a_request_that_waits(house: House, resolver: Resolver) -> None:
    session = house.mint()
    house.provider.recorder.forget()
    async with house.tunnel(SLOW, session) as wire:
        await wire.send(head(session))
        await resolver.asked.wait()
        await edit(house, template(TEXT + "  - {host: one.more.example.com}\n"))
        resolver.may_answer.set()
        assert (await wire.read_response()).status == 200
    [received] = house.provider.requests
    assert received.header("x-api-key") == house.key
    await edit(house, POLICY)


async def edit(house: House, text: str) -> None:
    """The policy's new text, in force."""
    before = house.running.runtime.policy.generation
    house.write_policy(text)
    async with asyncio.timeout(5):
        while house.running.runtime.policy.generation == before:
            await asyncio.sleep(0.02)
