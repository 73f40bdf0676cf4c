"""Only public addresses are dialled, unless the entry opens one; the metadata addresses never open."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyswap.policy.addresses import DENIED, METADATA, refusal_of

ALL_V4 = (ip_network("0.0.0.0/0"),)
ALL_V6 = (ip_network("::/0"),)


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.0", "2606:4700::1111", "2a00:1450::1"]
)
def test_S4_a_public_address_may_be_dialled(text: str) -> None:
    assert refusal_of(ip_address(text)) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("0.0.0.0", "this network"),
        ("0.1.2.3", "this network"),
        ("10.1.2.3", "private"),
        ("100.64.0.1", "shared"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("169.254.1.1", "link-local"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.1", "protocol"),
        ("192.0.2.1", "documentation"),
        ("192.168.0.1", "private"),
        ("198.18.0.1", "benchmarking"),
        ("198.19.255.255", "benchmarking"),
        ("224.0.0.1", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::8.8.8.8", "IPv4-compatible"),
        ("::ffff:127.0.0.1", "IPv4-mapped"),
        ("::ffff:8.8.8.8", "IPv4-mapped"),
        ("::ffff:0:8.8.8.8", "IPv4-translated"),
        ("64:ff9b::8.8.8.8", "NAT64"),
        ("64:ff9b:1::1", "local NAT64"),
        ("100::1", "discarded"),
        ("2001::1", "Teredo"),
        ("2001:2::1", "protocol"),
        ("2001:db8::1", "documentation"),
        ("2002:808:808::1", "6to4"),
        ("fc00::1", "unique local"),
        ("fdff::1", "unique local"),
        ("fe80::1", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
        ("1::1", "not allocated"),
        ("4000::1", "not allocated"),
        ("e000::1", "not allocated"),
    ],
)
def test_S4_a_denied_range_is_named(text: str, name: str) -> None:
    assert name in (refusal_of(ip_address(text)) or "")


@pytest.mark.parametrize("address", sorted(METADATA, key=str), ids=str)
def test_S4_a_metadata_address_never_opens(address: IPv4Address | IPv6Address) -> None:
    everything = (*ALL_V4, *ALL_V6)
    assert "metadata" in (refusal_of(address, private=everything, pin=address) or "")


@pytest.mark.parametrize(
    "text",
    [
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::169.254.169.254",
        "64:ff9b:1:a9fe:a9:fe00::",
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::1",
        "2001:0:808:808:0:0:5601:5601",
        "fd00::5efe:169.254.169.254",
        "2a00::200:5efe:169.254.169.254",
    ],
)
def test_S4_a_metadata_address_inside_another_never_opens(text: str) -> None:
    address = ip_address(text)
    assert "metadata" in (refusal_of(address, private=ALL_V6 + ALL_V4, pin=address) or "")


def test_S4_private_opens_its_range_and_no_other() -> None:
    opened = (ip_network("10.20.0.0/16"), ip_network("fd12::/16"))
    assert refusal_of(ip_address("10.20.1.1"), private=opened) is None
    assert refusal_of(ip_address("fd12::1"), private=opened) is None
    assert refusal_of(ip_address("10.21.1.1"), private=opened)
    assert refusal_of(ip_address("127.0.0.1"), private=opened)
    assert refusal_of(ip_address("8.8.8.8"), private=opened) is None


def test_S4_pin_opens_its_address_and_no_other() -> None:
    pin = ip_address("127.0.0.1")
    assert refusal_of(pin, pin=pin) is None
    assert refusal_of(ip_address("127.0.0.2"), pin=pin)
    assert refusal_of(ip_address("::ffff:127.0.0.1"), pin=pin)


def test_S4_an_opened_translation_prefix_opens_only_what_is_public_inside() -> None:
    nat64 = (ip_network("64:ff9b::/96"),)
    assert refusal_of(ip_address("64:ff9b::8.8.8.8"), private=nat64) is None
    assert "private" in (refusal_of(ip_address("64:ff9b::10.0.0.1"), private=nat64) or "")
    assert refusal_of(ip_address("64:ff9b::10.0.0.1"), private=(*nat64, ip_network("10.0.0.0/8"))) is None


def test_S4_an_address_with_a_scope_is_never_dialled() -> None:
    scoped = IPv6Address("fe80::1%eth0")
    assert "scope" in (refusal_of(scoped, private=ALL_V6, pin=scoped) or "")


@given(st.sampled_from(DENIED), st.data())
def test_S4_no_address_of_a_denied_range_is_dialled(network: object, data: st.DataObject) -> None:
    address = data.draw(st.ip_addresses(network=str(network)))
    refusal = refusal_of(address)
    assert refusal
    assert refusal.isascii()
    assert len(refusal) < 100


@given(st.ip_addresses(v=6))
def test_S4_ipv6_outside_global_unicast_is_not_dialled(address: IPv6Address) -> None:
    if address not in ip_network("2000::/3"):
        assert refusal_of(address)


@given(st.ip_addresses())
def test_S4_what_the_standard_library_calls_local_is_not_dialled(address: IPv4Address | IPv6Address) -> None:
    local = address.is_private or address.is_loopback or address.is_link_local or address.is_multicast
    if local and address not in ip_network("2001::/16"):
        assert refusal_of(address)
