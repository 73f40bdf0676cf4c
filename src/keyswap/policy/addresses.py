"""Addresses: which of them may be dialled (S4). Asked after resolution, about each address of an answer.

Denied is whatever is not plain global unicast. An entry opens ranges for its own name with `private`, or fixes one
address with `pin`; the metadata addresses of the clouds open to nobody. An IPv6 address that carries an IPv4 one
(mapped, NAT64, 6to4, Teredo…) is denied by its own range, and where an entry opens that range, the IPv4 address inside
is judged as well.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from keyswap.policy.model import Address, Network

# Name by range; the IANA special-purpose registries (RFC 6890), and below them what is not allocated at all.
_NAMED: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by carriers"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::/96", "IPv4-compatible"),
    ("::ffff:0:0/96", "IPv4-mapped"),
    ("::ffff:0:0:0/96", "IPv4-translated"),
    ("64:ff9b::/96", "NAT64"),
    ("64:ff9b:1::/48", "local NAT64"),
    ("100::/64", "discarded"),
    ("2001::/32", "Teredo"),
    ("2001::/23", "protocol assignments"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "unique local"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
    # Global unicast is 2000::/3 (RFC 4291, section 2.4).
    ("::/3", "not allocated"),
    ("4000::/2", "not allocated"),
    ("8000::/1", "not allocated"),
)
_RANGES: tuple[tuple[Network, str], ...] = tuple((ip_network(text), name) for text, name in _NAMED)

DENIED: tuple[Network, ...] = tuple(network for network, _ in _RANGES)
"""The ranges that open only by `private` or `pin`; the first that holds an address names it."""

METADATA: frozenset[Address] = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, GCP, OCI, DigitalOcean
        "169.254.170.2",  # AWS ECS task credentials
        "169.254.170.23",  # AWS EKS pod identity
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS EKS pod identity
        "fd20:ce::254",  # GCP
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure's wire server, in a public range
        "192.0.0.192",  # OCI, older images
    )
)
"""Where a machine's own credentials are handed out; never dialled, whatever the policy opens."""

# /96 prefixes, as the number before the address: compatible, mapped, translated, NAT64.
_ENDS_IN_IPV4 = frozenset(int(IPv6Address(text)) >> 32 for text in ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::"))
_LOCAL_NAT64 = ip_network("64:ff9b:1::/48")


def refusal_of(address: Address, *, private: tuple[Network, ...] = (), pin: Address | None = None) -> str | None:
    """Why an address must not be dialled, in one clause; None: it may be.

    `private` and `pin` are those of the entry that allowed the name.
    """
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return f"{IPv6Address(int(address))} has a scope, so it is on this machine's own links"
    inside = _embedded(address)
    if any(one in METADATA for one in (address, *inside)):
        return f"{address} is a metadata address"
    if address == pin:
        return None
    if any(address in network for network in private):
        return next((why for one in inside if (why := refusal_of(one, private=private))), None)
    name = next((name for network, name in _RANGES if address in network), None)
    return None if name is None else f"{address} is not public ({name})"


def _embedded(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that an IPv6 address may stand for."""
    if isinstance(address, IPv4Address):
        return ()
    number = int(address)
    low = IPv4Address(number & 0xFFFF_FFFF)
    if address in _LOCAL_NAT64:
        # RFC 6052, section 2.2: /48 splits it around the bits 64 to 71; operators use a /96 of it as well.
        return (low, IPv4Address(((number >> 64) & 0xFFFF) << 16 | ((number >> 40) & 0xFFFF)))
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    # ISATAP has it under any prefix, behind an identifier of its own (RFC 5214, section 6.1).
    carries = number >> 32 in _ENDS_IN_IPV4 or (number >> 32) & 0xFDFF_FFFF == 0x5EFE
    return (low,) if carries else ()
