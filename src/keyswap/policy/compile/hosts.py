"""Hosts as a policy writes them, with a word to its author about each that is not one."""

from keyswap.policy.compile.page import Page
from keyswap.policy.hosts import HostError, HostPattern
from keyswap.policy.problems import looks_like_a_key
from keyswap.policy.text.nodes import Loc

# Our own names are answered inside; an entry for them would promise something it cannot keep (S10).
OWN_DOMAIN = "keyswap.internal"


def host_pattern(page: Page, loc: Loc, text: str) -> HostPattern | None:
    """The pattern of a text; None where it is none, and then that has been told."""
    if looks_like_a_key(text):
        return None
    try:
        pattern = HostPattern.parse(text)
    except HostError as error:
        page.wrong(loc, f"not a host: {error}", _advice(text))
        return None
    if pattern.host == OWN_DOMAIN or pattern.host.endswith("." + OWN_DOMAIN):
        page.wrong(loc, f"names under {OWN_DOMAIN} are keyswap's own", "remove it")
        return None
    if not text.isascii():
        page.unwise(loc, f"this host has letters outside ASCII and means {pattern.text}", "write it so")
    return pattern


def bound_host(page: Page, loc: Loc, text: str) -> tuple[HostPattern, int] | None:
    """Pattern and port of `host`, `host:port` or `[v6]:port`; 443 where no port is written. None: told."""
    host, port = text, "443"
    # More than one colon without brackets is an IPv6 address without a port.
    if not text.endswith("]") and (text.startswith("[") or text.count(":") == 1):
        host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdecimal() or port.startswith("0") or not 0 < int(port[:6]) <= 65535:
        page.wrong(loc, "not a host and a port", "write api.example.com, or api.example.com:8443")
        return None
    pattern = host_pattern(page, loc, host)
    return None if pattern is None else (pattern, int(port))


def overlap(one: HostPattern, other: HostPattern) -> bool:
    """Whether there is a host that both patterns match."""
    if one.wildcard and other.wildcard:
        first, second = "." + one.host, "." + other.host
        return first.endswith(second) or second.endswith(first)
    if one.wildcard:
        return one.matches(other.host)
    return other.matches(one.host)


def _advice(text: str) -> str:
    if text in ("*", "**"):
        return "list the hosts; there is no entry that means all of them"
    if "://" in text:
        return "write the host alone, without scheme and path"
    if ":" in text:
        return "write the host alone, and its port as ports: [8443]"
    return "write one host, or *.example.com for all below it"
