"""The address a client comes from."""

from ipaddress import ip_address

import pytest

from keyswap.identity.source import client_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("172.20.0.5", "172.20.0.5"),
        ("::ffff:172.20.0.5", "172.20.0.5"),
        ("::FFFF:ac14:5", "172.20.0.5"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8::1", "2001:db8::1"),
    ],
)
def test_an_address_has_one_form(text: str, address: str) -> None:
    assert client_address(text) == ip_address(address)


@pytest.mark.parametrize(
    "text", ["", "localhost", "1.2.3", "1.2.3.4.5", "01.2.3.4", "[::1]", "1.2.3.4:80", "%eth0", "\0"]
)
def test_anything_else_is_no_address(text: str) -> None:
    assert client_address(text) is None
