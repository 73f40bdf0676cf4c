"""Networks as a policy writes them."""

from ipaddress import IPv4Network, IPv6Network, ip_network

from keyswap.policy.addresses import DENIED, METADATA
from keyswap.policy.compile.page import Page
from keyswap.policy.model import Network
from keyswap.policy.text.nodes import Loc

_MAPPED = IPv6Network("::ffff:0:0/96")


def network(page: Page, loc: Loc, text: str) -> Network | None:
    """A network, or one address as a network of one; None where it is neither, and then that has been told."""
    try:
        found = ip_network(text)
    except ValueError:
        page.wrong(loc, "not a network", _nearest(text))
        return None
    if isinstance(found, IPv6Network) and ("%" in text or found.subnet_of(_MAPPED)):
        page.wrong(loc, "this network has a second spelling", "write the plain IPv4 or IPv6 network")
        return None
    return found


def private_ranges(page: Page, loc: Loc, written: list[str]) -> tuple[Network, ...]:
    """The denied ranges that an entry opens for its own name."""
    ranges = []
    for index, text in enumerate(written):
        found = network(page, (*loc, index), text)
        if found is not None and _may_open(page, (*loc, index), found):
            ranges.append(found)
    return tuple(ranges)


def inside(inner: Network, outer: Network) -> bool:
    """Whether every address of one network is in the other."""
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)


def _may_open(page: Page, loc: Loc, found: Network) -> bool:
    if found.num_addresses == 1 and found.network_address in METADATA:
        page.wrong(loc, "this address hands out a machine's own credentials and never opens", "remove it")
        return False
    if not any(found.version == denied.version and found.overlaps(denied) for denied in DENIED):
        page.unwise(loc, "this range is not denied anyway", "remove it")
    elif not any(inside(found, denied) for denied in DENIED):
        page.wrong(loc, "this range is wider than any that is denied", "name the part you need, like 10.20.0.0/16")
        return False
    if any(address in found for address in METADATA):
        page.unwise(loc, "metadata addresses in this range stay closed", "name the part you need")
    return True


def _nearest(text: str) -> str:
    try:
        return f"write {ip_network(text, strict=False)}, without bits behind the mask"
    except ValueError:
        return "write it like 10.20.0.0/16 or fd12:3456::/32"
