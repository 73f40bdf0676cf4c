"""Host names: one strict grammar, applied before a host is matched, resolved or logged (S5, S7).

A host that could be read in two ways is an error, never a guess: what a resolver would take for an address
(`127.1`, `0x7f.1`, `2130706433`) is not a name, and a name in look-alike letters is a different name (its A-label) or
no name at all. The texts of errors quote nothing of what was sent.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from operator import itemgetter

import idna

from keyswap.exchange import Authority, CanonicalHost

MAX_HOST = 253
"""Characters of a whole name (RFC 1035, section 2.3.4)."""

# Letters, digits, hyphen (RFC 1123, section 2.1); underscores too, because real hosts have them.
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_ALLOWED = re.compile(r"[a-zA-Z0-9._:\[\]\u0080-\U0010ffff-]*")
# A last label like these makes a URL parser read an IPv4 address (WHATWG URL, "ends in a number").
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")


class HostError(ValueError):
    """A text is not a host, or could be read as more than one; the message says why in one clause."""


def canonical_host(text: str) -> CanonicalHost:
    """The one spelling of a host: lower case, A-labels, no trailing dot; an IP literal without brackets.

    Raises HostError for everything the grammar does not know, octal, hex and short IPv4 forms among it.
    """
    if len(text) > MAX_HOST + 1:
        raise HostError(f"a host has at most {MAX_HOST} characters")
    if not _ALLOWED.fullmatch(text):
        raise HostError("a host is made of letters, digits, dots, hyphens and underscores")
    if ":" in text or "[" in text or "]" in text:
        return _ipv6(text)
    name = ".".join(_a_label(label) for label in text.removesuffix(".").split("."))
    if len(name) > MAX_HOST:
        raise HostError(f"a host has at most {MAX_HOST} characters")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(name)
    for label in labels:
        _check_label(label)
    return CanonicalHost(name)


def canonical_authority(text: str, default_port: int) -> Authority:
    """Host and port of `host`, `host:port`, `[v6]` or `[v6]:port`; `default_port` where none is written.

    Raises HostError. An empty port, port 0 and leading zeros are errors: parsers differ on them.
    """
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        host += bracket
    else:
        host, colon, rest = text.partition(":")
        rest = colon + rest
    if not rest:
        return Authority(canonical_host(host), default_port)
    if not rest.startswith(":") or not _PORT.fullmatch(rest[1:]) or int(rest[1:]) > 65535:
        raise HostError("a port is a number from 1 to 65535, and an IPv6 address before it stands in brackets")
    return Authority(canonical_host(host), int(rest[1:]))


def is_ip(host: CanonicalHost) -> bool:
    """Whether a canonical host is an IP literal; no canonical name has colons or ends in a number."""
    return ":" in host or host.rpartition(".")[2].isdigit()


@dataclass(frozen=True, slots=True)
class HostPattern:
    """What one line of the policy says about hosts: one host, or all below one (any depth, not itself)."""

    host: CanonicalHost
    """The exact host, or the apex that a wildcard stands below."""
    wildcard: bool = False

    @classmethod
    def parse(cls, text: str) -> "HostPattern":
        """`api.example.com`, `*.example.com` or an IP literal; HostError with words for anything else."""
        wildcard = text.startswith("*.")
        rest = text.removeprefix("*.")
        if "*" in rest:
            raise HostError("a * stands for whole labels at the front only; write one host, or *.example.com")
        host = canonical_host(rest)
        if wildcard and ("." not in host or is_ip(host)):
            raise HostError("a wildcard needs a domain of at least two labels behind it: *.example.com")
        return cls(host, wildcard)

    @property
    def text(self) -> str:
        """The pattern in its one spelling."""
        return f"*.{self.host}" if self.wildcard else self.host

    def matches(self, host: CanonicalHost) -> bool:
        """Whether a canonical host is meant; whole labels only."""
        return host.endswith("." + self.host) if self.wildcard else host == self.host


class HostIndex[T]:
    """Values by host pattern, found in the time of a few dictionary look-ups however many there are."""

    __slots__ = ("_below", "_exact")

    def __init__(self, items: Iterable[tuple[HostPattern, T]]) -> None:
        self._exact: dict[str, list[tuple[int, T]]] = {}
        self._below: dict[str, list[tuple[int, T]]] = {}
        for position, (pattern, value) in enumerate(items):
            table = self._below if pattern.wildcard else self._exact
            table.setdefault(pattern.host, []).append((position, value))

    def matching(self, host: CanonicalHost) -> tuple[T, ...]:
        """The values whose pattern matches, in the order they were given."""
        found = list(self._exact.get(host, ()))
        suffix: str = host
        while suffix := suffix.partition(".")[2]:
            found.extend(self._below.get(suffix, ()))
        found.sort(key=itemgetter(0))
        return tuple(value for _, value in found)

    def below(self, host: CanonicalHost) -> tuple[T, ...]:
        """The values whose wildcard stands below this host and so does not include it."""
        return tuple(value for _, value in self._below.get(host, ()))


def _ipv6(text: str) -> CanonicalHost:
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = IPv6Address(inner)
    except ValueError:
        raise HostError("it is not an IPv6 address") from None
    if address.ipv4_mapped:
        # Its spelling differs between Python versions, and its meaning between stacks.
        raise HostError("an IPv4 address inside IPv6 has two readings; write the IPv4 address itself")
    return CanonicalHost(address.compressed)


def _ipv4(name: str) -> CanonicalHost:
    try:
        address = IPv4Address(name)
    except ValueError:
        raise HostError("a host that ends in a number is four decimal numbers without leading zeros") from None
    return CanonicalHost(str(address))


def _a_label(label: str) -> str:
    """One label in lower case, by UTS 46 without the transitional mappings, which may not make a dot or ASCII of it."""
    if label.isascii():
        return label.lower()
    if len(label) > 63:
        raise HostError("a label has at most 63 characters")
    try:
        encoded = idna.alabel(idna.uts46_remap(label, std3_rules=True, transitional=False)).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise HostError("it is not a name that IDNA 2008 knows") from None
    if not encoded.startswith("xn--"):
        raise HostError("it spells an ASCII name in other characters; write it in ASCII")
    return encoded


def _check_label(label: str) -> None:
    if not label:
        raise HostError("a host has no empty labels and at most one dot at its end")
    if not _LABEL.fullmatch(label):
        raise HostError("a label has at most 63 characters, and no hyphen at its ends")
    if label.startswith("xn--"):
        _check_a_label(label)


def _check_a_label(label: str) -> None:
    # `xn--apple-` is punycode for `apple`: a second spelling that some software folds and some does not.
    try:
        same = idna.alabel(idna.ulabel(label)) == label.encode("ascii")
    except (idna.IDNAError, UnicodeError):
        same = False
    if not same:
        raise HostError("it holds an A-label that IDNA 2008 does not know")
