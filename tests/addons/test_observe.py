"""`mode: observe` on the wire: what enforce would refuse passes with a remark, and never with a key."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from addons.internet import PUBLIC, Internet
from addons.shared import News, ask, open_house, template
from support.counting import CountingResolver
from support.house import HOST, House

POLICY = template("""\
version: 1
mode: observe
credentials:
  demo:
    hosts: [api.demo.example]
    headers: [X-Api-Key]
    placeholder: {prefix: demo-, length: 40}
    env: [DEMO_API_KEY]
    source: file:demo.key
egress:
  - {host: api.demo.example, paths: [/echo], pin: "@local", ca_file: "@ca"}
""")
NEW = "new.example.org"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def internet() -> Internet:
    return Internet()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory, internet: Internet) -> AsyncIterator[House]:
    internet.take_over(asyncio.get_running_loop())
    async with open_house(tmp_path_factory.mktemp("house"), POLICY) as running:
        internet.port = running.provider.port
        yield running


@pytest.fixture(autouse=True)
def _nothing_dialled_yet(internet: Internet) -> None:
    internet.dialled.clear()


def resolving(host: str, *addresses: str) -> CountingResolver:
    return CountingResolver(asyncio.get_running_loop(), {host: addresses})


async def test_an_unlisted_host_passes_with_a_remark(house: House, internet: Internet) -> None:
    session, news = house.mint(), News(house)
    with resolving(NEW, PUBLIC):
        said = await ask(house, f"http://{NEW}/echo", session)
    assert said.answer.status == 200
    assert internet.dialled == [(PUBLIC, 80)]
    begun, ended = news.records("request", "response", "refused")
    assert begun["decision"]["result"] == "allow"
    assert begun["decision"]["would_refuse"] == "host_not_listed"
    assert begun["swaps"] == []
    assert ended["upstream"]["status"] == 200


async def test_S11_an_unlisted_host_is_verified_against_the_public_roots(house: House, internet: Internet) -> None:
    """The CA file of an entry opens that entry's host and no other."""
    session, news = house.mint(), News(house)
    with resolving(NEW, PUBLIC):
        said = await ask(house, f"https://{NEW}/echo", session)
    assert (said.at, said.code) == ("request", "upstream_failed")
    assert internet.dialled == [(PUBLIC, 443)]
    assert house.provider.requests == []
    [begun] = news.records("request")
    assert begun["decision"]["would_refuse"] == "host_not_listed"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.5", "169.254.169.254", "::1"])
async def test_S4_an_unlisted_host_is_dialled_at_public_addresses_only(
    house: House, internet: Internet, scheme: str, address: str
) -> None:
    session, news = house.mint(), News(house)
    with resolving(NEW, PUBLIC, address):
        said = await ask(house, f"{scheme}://{NEW}/echo", session)
    assert said.code == "address_denied"
    assert news.refused("address_denied")
    assert internet.dialled == []


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.5", "169.254.169.254", "[::1]", "[fd00:ec2::254]"])
async def test_S4_an_unlisted_address_is_no_way_in(house: House, internet: Internet, host: str) -> None:
    session, news = house.mint(), News(house)
    said = await ask(house, f"http://{host}:9/echo", session)
    assert said.code == "address_denied"
    assert news.refused("address_denied")
    assert internet.dialled == []


async def test_S4_a_name_of_one_label_is_no_way_in(house: House, internet: Internet) -> None:
    session, news = house.mint(), News(house)
    with resolving("localhost", "127.0.0.1"):
        assert (await ask(house, "http://localhost:9/echo", session)).code == "address_denied"
    assert news.refused("address_denied")


@pytest.mark.parametrize("url", [f"http://{NEW}/echo", f"https://{NEW}/echo", f"https://{HOST}/elsewhere"])
async def test_S17_what_is_only_observed_never_gets_a_key(house: House, internet: Internet, url: str) -> None:
    session, news = house.mint(), News(house)
    with resolving(NEW, PUBLIC) as resolver:
        said = await ask(house, url, session, headers={"X-Api-Key": session.placeholder("demo")})
    assert said.code == "placeholder_misuse"
    assert news.refused("placeholder_misuse")
    assert (resolver.count, internet.dialled) == (0, [])


async def test_what_is_listed_is_swapped_as_ever(house: House) -> None:
    session, news = house.mint(), News(house)
    said = await ask(house, f"https://{HOST}/echo", session, headers={"X-Api-Key": session.placeholder("demo")})
    assert said.answer.status == 200
    assert [request.header("x-api-key") for request in house.provider.requests] == [house.key]
    [begun] = news.records("request")
    assert begun["decision"].get("would_refuse") is None
