"""The address a client comes from."""

from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address


def client_address(text: str) -> Address | None:
    """The address in `text`: an IPv4-mapped one as IPv4, a scope id (`%eth0`) left out; None for anything else."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
