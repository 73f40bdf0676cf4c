"""`tls: passthrough`: relayed unopened, to the host that CONNECT and SNI name alike, with one record (S8)."""

import asyncio
import hashlib
import json

import pytest

from addons.shared import News, shared_house, template
from support.counting import CountingResolver
from support.house import HOST, House
from support.wire import Closed, Wire

TEXT = """\
version: 1
credentials:
  demo:
    hosts: [api.demo.example]
    headers: [X-Api-Key]
    placeholder: {prefix: demo-, length: 40}
    env: [DEMO_API_KEY]
    source: file:demo.key
egress:
  - {host: api.demo.example, pin: "@local", ca_file: "@ca"}
  - {host: relay.example.com, tls: passthrough, pin: "@local"}
  - {host: named.example.com, tls: passthrough}
"""
POLICY = template(TEXT)
RELAY = "relay.example.com"

pytestmark = pytest.mark.asyncio(loop_scope="module")
house = shared_house(POLICY)


async def connected(house: House, host: str = RELAY) -> Wire:
    """A tunnel in which nothing was said yet."""
    wire = await house.wire()
    assert (await wire.connect_tunnel(f"{host}:443", house.mint().token)).status == 200
    return wire


async def closed(wire: Wire, within: float = 2.0) -> bool:
    """Whether the proxy ends the connection."""
    try:
        await wire.read_to_end(timeout=within)
    except TimeoutError:
        return False
    return True


async def shakes_hands(wire: Wire, sni: str | None) -> bool:
    """Whether anything of a provider is heard after a ClientHello."""
    try:
        await wire.tls(sni)
        await wire.request("GET", "/echo", RELAY)
    except (OSError, Closed):
        return False
    return True


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
async def test_S8_the_client_meets_the_provider_itself(house: House, alpn: str) -> None:
    news = News(house)
    async with await connected(house) as wire:
        assert await wire.tls(RELAY, [alpn], house.provider.ca_pem) == alpn
        if alpn == "http/1.1":
            answer = await wire.request("GET", "/echo", RELAY, [("X-Api-Key", "demo-of-nobody")])
            assert answer.status == 200
            [received] = house.provider.requests
            assert received.header("x-api-key") == b"demo-of-nobody"
    [record] = news.records("request", "response", "refused", "placeholder_misuse")
    assert (record["event"], record["method"], record["host"]) == ("request", "CONNECT", RELAY)
    assert record["decision"]["result"] == "passthrough"
    assert "path" not in record
    assert "swaps" not in record


async def test_S17_no_placeholder_is_swapped_in_what_is_relayed(house: House) -> None:
    session, news = house.mint(), News(house)
    async with await house.wire() as wire:
        await wire.connect_tunnel(f"{RELAY}:443", session.token)
        await wire.tls(RELAY, ca=house.provider.ca_pem)
        await wire.request("GET", "/echo", HOST, [("X-Api-Key", session.placeholder("demo"))])
    [received] = house.provider.requests
    assert received.header("x-api-key") == session.placeholder("demo").encode()
    assert house.key.decode() not in json.dumps(news.records())


@pytest.mark.parametrize("sni", [HOST, "other.example.com", f"x.{RELAY}", None])
async def test_S1_another_name_in_the_handshake_is_closed_and_recorded_once(house: House, sni: str | None) -> None:
    news = News(house)
    async with await connected(house) as wire:
        assert not await shakes_hands(wire, sni)
    assert news.refused("authority_mismatch")


async def test_S8_plain_http_in_the_tunnel_is_refused(house: House) -> None:
    news = News(house)
    async with await connected(house) as wire:
        answer = await wire.request("GET", "/echo", RELAY)
    assert answer.status == 403
    assert news.refused("port_not_listed")


async def test_S8_what_is_neither_tls_nor_http_is_closed(house: House) -> None:
    news = News(house)
    async with await connected(house) as wire:
        await wire.send(b"SSH-2.0-OpenSSH_9.6\r\n")
        assert await closed(wire)
    assert news.refused("ambiguous")


async def test_S4_the_addresses_of_a_relayed_name_are_checked(house: House) -> None:
    news = News(house)
    with CountingResolver(asyncio.get_running_loop(), {"named.example.com": ["127.0.0.1"]}) as resolver:
        async with await connected(house, "named.example.com") as wire:
            assert resolver.count == 0, "nothing is resolved for a CONNECT"
            assert not await shakes_hands(wire, "named.example.com")
    assert news.refused("address_denied")


async def test_S32_what_is_relayed_ends_with_its_session(house: House) -> None:
    session = house.mint()
    async with await house.wire() as wire:
        await wire.connect_tunnel(f"{RELAY}:443", session.token)
        await wire.tls(RELAY, ca=house.provider.ca_pem)
        house.running.runtime.sessions.revoke(session.id)
        assert await closed(wire, within=1.0)


@pytest.mark.parametrize(
    "edit",
    [
        ('  - {host: relay.example.com, tls: passthrough, pin: "@local"}\n', ""),
        ("relay.example.com, tls: passthrough, pin", "relay.example.com, pin"),
        ('tls: passthrough, pin: "@local"', 'tls: passthrough, pin: "127.0.0.2:9"'),
        ("egress:", "deny:\n  - {host: relay.example.com}\negress:"),
    ],
    ids=["no longer listed", "to be inspected", "to another address", "denied"],
)
@pytest.mark.parametrize("begun", [True, False], ids=["relaying", "before the handshake"])
async def test_S32_an_edit_that_would_refuse_it_ends_it_within_a_second(
    house: House, edit: tuple[str, str], begun: bool
) -> None:
    assert edit[0] in TEXT
    async with await connected(house) as wire:
        if begun:
            await wire.tls(RELAY, ca=house.provider.ca_pem)
            assert (await wire.request("GET", "/echo", RELAY)).status == 200
        try:
            house.write_policy(template(TEXT.replace(*edit)))
            assert await closed(wire, within=2.0)
        finally:
            await back(house)


async def test_S32_an_edit_that_leaves_it_alone_does_not_end_it(house: House) -> None:
    async with await connected(house) as wire:
        await wire.tls(RELAY, ca=house.provider.ca_pem)
        before = house.running.runtime.policy.generation
        house.write_policy(template(TEXT.replace("egress:", "egress:\n  - {host: one.more.example.com}")))
        try:
            while house.running.runtime.policy.generation == before:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.1)
            assert (await wire.request("GET", "/echo", RELAY)).status == 200
        finally:
            await back(house)


async def back(house: House) -> None:
    """The policy as it was, in force."""
    house.write_policy(POLICY)
    async with asyncio.timeout(5):
        while house.running.runtime.policy.sha256 != hashlib.sha256(house.policy_file.read_bytes()).hexdigest():
            await asyncio.sleep(0.02)
