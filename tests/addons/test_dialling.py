"""S4 to S6 on the wire: which addresses and ports are dialled, whatever a resolver says."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from addons.internet import OTHER_PUBLIC, PUBLIC, PUBLIC_6, Internet
from addons.shared import H1, H2, News, Version, ask, open_house, template
from keyswap.addons import dial
from support.counting import CountingListener, CountingResolver
from support.house import House
from support.wire_h2 import Wire2

POLICY = template("""\
version: 1
egress:
  - {host: "*.public.example.com", ca_file: "@ca"}
  - {host: "*.plain.example.com", schemes: [http]}
  - host: corp.example.com
    private: [10.0.0.0/8, "fd00::/8", 169.254.0.0/16, 100.64.0.0/10, 168.63.129.0/24]
    ca_file: "@ca"
  - {host: 93.184.215.77, ca_file: "@ca"}
  - {host: 10.9.9.9}
  - {host: "2606:2800::7", ca_file: "@ca"}
  - {host: pinned.example.com, pin: "@local", ca_file: "@ca"}
""")
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


def resolving(host: str, *answers: Sequence[str]) -> CountingResolver:
    return CountingResolver(asyncio.get_running_loop(), {host: list(answers)})


async def test_S4_a_name_that_resolves_to_public_addresses_is_dialled_at_the_first(
    house: House, internet: Internet
) -> None:
    with resolving("a.public.example.com", [PUBLIC, OTHER_PUBLIC]) as resolver:
        said = await ask(house, "https://a.public.example.com/echo", house.mint())
    assert said.answer.status == 200
    assert resolver.count == 1
    assert internet.dialled == [(PUBLIC, 443)]


async def test_S4_an_ipv6_address_is_dialled(house: House, internet: Internet) -> None:
    with resolving("a.public.example.com", [PUBLIC_6]):
        said = await ask(house, "https://a.public.example.com/echo", house.mint())
    assert said.answer.status == 200
    assert internet.dialled == [(PUBLIC_6, 443)]


DENIED = [
    "127.0.0.1", "127.8.9.10", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.1.1", "100.64.0.1",
    "0.0.0.0", "0.1.2.3", "192.0.0.8", "198.18.0.1", "198.19.255.255", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255", "::", "::1", "fc00::1", "fdab::1", "fe80::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::1",
    "2002:a00:1::1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "192.0.2.1", "203.0.113.5", "2001:db8::5",
]  # fmt: skip
METADATA = [
    "169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200",
    "168.63.129.16",
]  # fmt: skip


@pytest.mark.parametrize("address", DENIED + METADATA)
async def test_S4_a_denied_address_refuses_the_name(house: House, internet: Internet, address: str) -> None:
    news = News(house)
    with resolving("a.public.example.com", [address]):
        said = await ask(house, "https://a.public.example.com/", house.mint())
    assert (said.code, said.at) == ("address_denied", "request")
    assert news.refused("address_denied")
    assert internet.dialled == []


@pytest.mark.parametrize("answer", [[PUBLIC, "127.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC, PUBLIC_6, "::1"]])
async def test_S4_one_denied_address_refuses_the_whole_name(
    house: House, internet: Internet, answer: list[str]
) -> None:
    with resolving("a.public.example.com", answer):
        assert (await ask(house, "https://a.public.example.com/", house.mint())).code == "address_denied"
    assert internet.dialled == []


@pytest.mark.parametrize("version", [H1, H2])
async def test_S4_no_address_is_told(house: House, version: Version) -> None:
    """What a resolver inside the network says is no business of the sandbox."""
    with resolving("a.public.example.com", ["10.11.12.13"]):
        said = await ask(house, "https://a.public.example.com/", house.mint(), version=version)
    assert b"10.11.12.13" not in said.answer.everything


async def test_S4_plain_http_is_checked_too(house: House, internet: Internet) -> None:
    with resolving("a.plain.example.com", ["127.0.0.1"], [PUBLIC]):
        assert (await ask(house, "http://a.plain.example.com/", house.mint())).code == "address_denied"
        assert (await ask(house, "http://a.plain.example.com/echo", house.mint())).answer.status == 200
    assert internet.dialled == [(PUBLIC, 80)]


async def test_S4_a_name_that_turns_to_loopback_is_refused_the_second_time(house: House, internet: Internet) -> None:
    session = house.mint()
    with resolving("a.public.example.com", [PUBLIC], ["127.0.0.1"]) as resolver:
        first = await ask(house, "https://a.public.example.com/echo", session)
        second = await ask(house, "https://a.public.example.com/echo", session)
    assert (first.answer.status, second.code) == (200, "address_denied")
    assert resolver.count == 2
    assert internet.dialled == [(PUBLIC, 443)]


async def test_S4_a_connection_keeps_the_addresses_it_was_checked_with(house: House, internet: Internet) -> None:
    """One look-up a connection: between the check and the dial there is no second one to answer otherwise."""
    host = "a.public.example.com"
    with resolving(host, [PUBLIC], ["127.0.0.1"]) as resolver:
        async with house.tunnel(host, house.mint()) as wire:
            statuses = [(await wire.request("GET", "/echo", host)).status for _ in range(3)]
    assert statuses == [200, 200, 200]
    assert resolver.count == 1
    assert {address for address, _ in internet.dialled} == {PUBLIC}


async def test_S4_a_connection_that_lasts_is_checked_anew(
    house: House, internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial, "FRESH_FOR", 0.0)
    host, news = "a.public.example.com", News(house)
    with resolving(host, [PUBLIC], [PUBLIC], ["127.0.0.1"]):
        async with house.tunnel(host, house.mint()) as wire:
            first = await wire.request("GET", "/echo", host)
            second = await wire.request("GET", "/echo", host)
    assert (first.status, second.status) == (200, 403)
    assert news.refusal["decision"]["code"] == "address_denied"
    assert {address for address, _ in internet.dialled} == {PUBLIC}


@pytest.mark.parametrize("address", ["10.1.2.3", "fd12::1"])
async def test_S4_private_opens_its_ranges_for_its_own_name(house: House, internet: Internet, address: str) -> None:
    with resolving("corp.example.com", [address]):
        said = await ask(house, "https://corp.example.com/echo", house.mint())
    assert said.answer.status == 200
    assert internet.dialled == [(address, 443)]


@pytest.mark.parametrize("address", ["192.168.0.1", "127.0.0.1", "::1", "::ffff:192.168.0.1"])
async def test_S4_private_opens_no_other_range(house: House, internet: Internet, address: str) -> None:
    with resolving("corp.example.com", [address]):
        assert (await ask(house, "https://corp.example.com/", house.mint())).code == "address_denied"
    assert internet.dialled == []


@pytest.mark.parametrize("address", [*METADATA, "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"])
async def test_S4_metadata_never_opens(house: House, internet: Internet, address: str) -> None:
    with resolving("corp.example.com", [address]):
        assert (await ask(house, "https://corp.example.com/", house.mint())).code == "address_denied"
    assert internet.dialled == []


async def test_S4_a_pinned_name_is_never_looked_up(house: House) -> None:
    with resolving("pinned.example.com", ["127.0.0.1"]) as resolver:
        said = await ask(house, "https://pinned.example.com/echo", house.mint())
    assert said.answer.status == 200
    assert resolver.questions == []


async def test_S4_a_pin_does_not_open_the_address_for_another_name(house: House) -> None:
    with CountingListener() as listener, resolving("a.public.example.com", ["127.0.0.1"]):
        assert (await ask(house, "https://a.public.example.com/", house.mint())).code == "address_denied"
        assert listener.count == 0


async def test_S4_a_name_without_an_answer_is_no_other_name(house: House, internet: Internet) -> None:
    news = News(house)
    with resolving("a.public.example.com", []):
        said = await ask(house, "https://a.public.example.com/", house.mint())
    assert (said.code, said.answer.status) == ("upstream_failed", 502)
    assert news.refused("upstream_failed")
    assert internet.dialled == []


# -- S5: addresses in the place of a host ----------


@pytest.mark.parametrize(
    ("url", "address"),
    [("https://93.184.215.77/echo", "93.184.215.77"), ("https://[2606:2800::7]/echo", "2606:2800::7"),
     ("https://[2606:2800:0::07]/echo", "2606:2800::7")],
)  # fmt: skip
async def test_S5_a_listed_address_needs_no_server_name(
    house: House, internet: Internet, url: str, address: str
) -> None:
    """A client sends none for an address (RFC 6066); the certificate it is shown is the address's own."""
    authority = url.split("/")[2]
    async with await house.wire() as wire:
        assert (await wire.connect_tunnel(f"{authority}:443", house.mint().token)).status == 200
        await wire.tls(address, [H1], house.ca_pem)
        answer = await wire.request("GET", "/echo", authority)
    assert internet.dialled == [(address, 443)]
    assert answer.status == 502  # the provider has no certificate for it, and every upstream is verified (S11)


@pytest.mark.parametrize(
    "host",
    ["93.184.215.78", "127.0.0.1", "169.254.169.254", "[::1]", "[2606:2800::8]", "0.0.0.0", "8.8.8.8"],
)
async def test_S5_an_address_that_is_not_listed_is_refused(house: House, host: str) -> None:
    assert (await ask(house, f"https://{host}/", house.mint())).code == "host_not_listed"
    assert (await ask(house, f"http://{host}/", house.mint())).code == "host_not_listed"


@pytest.mark.parametrize(
    "host",
    [
        "1572394829",
        "0135.0270.0327.0115",
        "0x5d.0xb8.0xd7.0x4d",
        "93.184.55117",
        "93.12113741",
        "93.184.215.077",
        "93.184.215.77.1",
        "[::ffff:93.184.215.77]",
        "[::93.184.215.77]",
        "[2606:2800::7%25eth0]",
        "[2606:2800::7",
        "2130706433",
        "0x7f000001",
        "127.1",
    ],
)
async def test_S5_another_spelling_of_an_address_is_refused(house: House, internet: Internet, host: str) -> None:
    news = News(house)
    assert (await raw_connect(house, f"{host}:443")) in {(400, "ambiguous"), (403, "host_not_listed")}
    assert internet.dialled == []
    assert news.refusal["decision"]["code"] in {"ambiguous", "host_not_listed"}


async def raw_connect(house: House, authority: str) -> tuple[int, str]:
    async with await house.wire() as wire:
        answer = await wire.connect_tunnel(authority, house.mint().token)
    return answer.status, (answer.header("proxy-status") or "").partition('details="')[2].partition(":")[0]


async def test_S5_a_listed_address_in_a_denied_range_is_refused_when_dialled(house: House, internet: Internet) -> None:
    async with await house.wire() as wire:
        assert (await wire.connect_tunnel("10.9.9.9:443", house.mint().token)).status == 200
        await wire.tls("10.9.9.9", [H1])
        answer = await wire.request("GET", "/", "10.9.9.9")
    assert answer.status == 403
    assert b'"code": "address_denied"' in answer.body
    assert internet.dialled == []


async def test_S5_a_server_name_is_not_taken_for_a_listed_address(house: House, internet: Internet) -> None:
    said = await ask(house, "https://93.184.215.77/", house.mint(), sni="pinned.example.com")
    assert said.code == "authority_mismatch"
    assert internet.dialled == []


@pytest.mark.parametrize("version", [H1, H2])
async def test_S5_tls_without_a_server_name_is_refused(house: House, internet: Internet, version: Version) -> None:
    news = News(house)
    async with await house.wire() as wire:
        assert (await wire.connect_tunnel("pinned.example.com:443", house.mint().token)).status == 200
        await wire.tls(None, [version])
        if version == H1:
            assert (await wire.request("GET", "/", "pinned.example.com")).status == 421
        else:
            assert (await (await Wire2.start(wire)).request("GET", "/", "pinned.example.com")).status == 421
    assert news.refused("authority_mismatch")


# -- S6: ports ----------


@pytest.mark.parametrize("port", [1, 22, 25, 53, 80, 442, 444, 8080, 8443, 65535])
async def test_S6_only_listed_ports_are_reached(house: House, internet: Internet, port: int) -> None:
    news = News(house)
    said = await ask(house, f"https://pinned.example.com:{port}/", house.mint())
    assert (said.code, said.at) == ("port_not_listed", "connect")
    assert news.refused("port_not_listed")


@pytest.mark.parametrize("port", [22, 25, 443, 8080])
async def test_S6_only_listed_ports_are_reached_over_http(house: House, internet: Internet, port: int) -> None:
    said = await ask(house, f"http://a.plain.example.com:{port}/", house.mint())
    assert said.code == "port_not_listed"
    assert internet.dialled == []


@pytest.mark.parametrize("port", ["0", "65536", "99999", "-1", "+443", "0443", "443x", "4 43", "", "٤٤٣"])
async def test_S6_a_port_that_is_no_number_is_refused(house: House, port: str) -> None:
    news = News(house)
    async with await house.wire() as wire:
        await wire.send(f"CONNECT pinned.example.com:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert (await wire.read_response("CONNECT")).status == 400
    assert news.refusal["decision"]["code"] == "ambiguous"
    assert news.nothing_left
