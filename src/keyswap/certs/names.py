"""Names in certificates: what a leaf is issued for, and the DNS subtrees an authority may be confined to."""

import ipaddress
import re

from cryptography import x509

from keyswap.errors import CertificateError

# RFC 1123, section 2.1, with the underscore that real host names have. A-labels only: certificates hold no U-labels.
_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
LONGEST_HOST = 253
EVERY_ADDRESS = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))


def general_name(text: str) -> x509.GeneralName:
    """A host name (`*.` in front allowed) or an IP address as a subjectAltName; raises CertificateError."""
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        wildcard = "*." if text.startswith("*.") else ""
        return x509.DNSName(wildcard + _host(text, text.removeprefix("*.")))


def constraints(permitted: tuple[str, ...]) -> x509.NameConstraints:
    """Name Constraints (RFC 5280, section 4.2.1.10) for `subtrees(permitted)`.

    A constraint on DNS names says nothing about addresses, so every address is excluded beside it.
    """
    return x509.NameConstraints(
        permitted_subtrees=[x509.DNSName(name) for name in permitted],
        excluded_subtrees=[x509.IPAddress(network) for network in EVERY_ADDRESS],
    )


def subtrees(permitted: tuple[str, ...]) -> tuple[str, ...]:
    """Host texts as a policy writes them (`api.example.com`, `*.example.com`) as the subtrees that hold them.

    A subtree holds its own name and every name below it: X.509 has no way to say one of the two alone. What a wider
    one already holds is left out. Raises CertificateError for an address or anything else that is no host name.
    """
    names = {_host(text, text.removeprefix("*.")) for text in permitted}
    return tuple(sorted(name for name in names if not any(within(name, other) for other in names - {name})))


def within(host: str, subtree: str) -> bool:
    """Whether the subtree holds this name."""
    return host == subtree or host.endswith("." + subtree)


def is_address(text: str) -> bool:
    """Whether this is an IP literal, which no DNS subtree holds."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _host(text: str, name: str) -> str:
    lower = name.lower()
    if is_address(lower) or len(lower) > LONGEST_HOST or not _HOST.fullmatch(lower):
        raise CertificateError(
            f"{text[:80]!r} is not a host name a certificate can hold", "write it as api.example.com"
        )
    return lower
