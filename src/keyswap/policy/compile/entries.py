"""Entries of `egress` and `deny`: what may be addressed, and what may not."""

import re
from dataclasses import replace
from ipaddress import ip_address

from keyswap.exchange import Scheme
from keyswap.policy import schema
from keyswap.policy.addresses import METADATA
from keyswap.policy.compile.certificates import ca_problem
from keyswap.policy.compile.hosts import host_pattern
from keyswap.policy.compile.networks import private_ranges
from keyswap.policy.compile.page import Page
from keyswap.policy.model import Address, Entry
from keyswap.policy.paths import PathError, PathPattern
from keyswap.policy.text.nodes import Loc

DEFAULT_PORT: dict[Scheme, int] = {"https": 443, "http": 80}

_METHOD = re.compile(r"[A-Z][A-Z0-9-]{0,31}")
# The first two answer with the head they were sent (S14); the third makes a tunnel of the tunnel (S8).
_NEVER = frozenset({"TRACE", "TRACK", "CONNECT"})
_PIN = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+))(?::(?P<port>[1-9][0-9]{0,4}))?")


def egress_entries(page: Page, loc: Loc, raw: schema.Entry) -> tuple[Entry, ...]:
    """What one line of egress means: one entry, or one a scheme where each has a default port of its own."""
    base = _base(page, loc, raw)
    private = private_ranges(page, (*loc, "private"), raw.private or [])
    pin, pin_port = _pin(page, (*loc, "pin"), raw.pin) if raw.pin is not None else (None, None)
    ca_file = _ca_file(page, (*loc, "ca_file"), raw.ca_file) if raw.ca_file is not None else None
    schemes = _schemes(raw) or frozenset[Scheme]({"https"})
    if raw.tls is not None:
        _check_passthrough(page, loc, raw, schemes)
    if base is None:
        return ()
    entry = replace(
        base,
        passthrough=raw.tls is not None,
        private=private,
        pin=pin,
        pin_port=pin_port,
        ca_file=ca_file,
    )
    if raw.ports is not None:
        return (replace(entry, ports=frozenset(raw.ports), schemes=schemes),)
    # One entry for both would also open http on 443 and https on 80.
    return tuple(
        replace(entry, ports=frozenset({DEFAULT_PORT[scheme]}), schemes=frozenset({scheme}))
        for scheme in sorted(schemes, reverse=True)
    )


def deny_entry(page: Page, loc: Loc, raw: schema.Deny) -> Entry | None:
    """What one line of deny means; ports and schemes that are not written are any. None: told."""
    base = _base(page, loc, raw)
    return base and replace(base, ports=frozenset(raw.ports or ()), schemes=_schemes(raw))


def _base(page: Page, loc: Loc, raw: schema.Matcher) -> Entry | None:
    host = host_pattern(page, (*loc, "host"), raw.host)
    methods = None if raw.methods is None else _methods(page, (*loc, "methods"), raw.methods)
    paths = None if raw.paths is None else _paths(page, (*loc, "paths"), raw.paths)
    if host is None:
        return None
    return Entry(
        rule=page.rule(loc),
        host=host,
        ports=frozenset(),
        schemes=frozenset(),
        methods=methods,
        paths=paths,
        encoded_slash=raw.encoded_slash is not None,
    )


def _schemes(raw: schema.Matcher) -> frozenset[Scheme]:
    return frozenset(raw.schemes or ())


def _methods(page: Page, loc: Loc, written: list[str]) -> frozenset[str]:
    methods = [method.upper() for method in written]
    for index, method in enumerate(methods):
        if method in _NEVER:
            page.wrong((*loc, index), f"{method} is refused always", "remove it")
        elif not _METHOD.fullmatch(method):
            page.wrong(
                (*loc, index), "not a method", "write one method in letters, like GET; leave the key out for any"
            )
    return frozenset(methods)


def _paths(page: Page, loc: Loc, written: list[str]) -> tuple[PathPattern, ...]:
    patterns = []
    for index, text in enumerate(written):
        try:
            patterns.append(PathPattern.parse(text))
        except PathError as error:
            page.wrong((*loc, index), f"not a path: {error}", "write it like /repos/acme/**")
    return tuple(patterns)


def _pin(page: Page, loc: Loc, text: str) -> tuple[Address | None, int | None]:
    match = _PIN.fullmatch(text)
    port = int(match["port"]) if match and match["port"] else None
    try:
        address = ip_address((match["v6"] or match["v4"]) if match else text)
    except ValueError:
        page.wrong(loc, "not an address", "write an IP address, IP:port or [IPv6]:port")
        return None, None
    if address in METADATA:
        page.wrong(loc, "this address hands out a machine's own credentials and never opens", "pin another address")
    elif address.is_multicast or address.is_unspecified or "%" in text or getattr(address, "ipv4_mapped", None):
        page.wrong(loc, "this address is not one machine's", "write its plain IPv4 or IPv6 address")
    elif port is not None and port > 65535:
        page.wrong(loc, "this port is out of range", "write a port from 1 to 65535")
    return address, port


def _ca_file(page: Page, loc: Loc, written: str) -> str:
    path = page.path(written)
    problem = ca_problem(path)
    if problem is not None:
        page.wrong(loc, problem.what, problem.todo)
    return path


def _check_passthrough(page: Page, loc: Loc, raw: schema.Entry, schemes: frozenset[Scheme]) -> None:
    if "http" in schemes:
        page.wrong((*loc, "schemes"), "there is no TLS to pass through on http", "write schemes: [https]")
    for key in ("methods", "paths", "encoded_slash", "ca_file"):
        if getattr(raw, key) is not None:
            page.wrong(
                (*loc, key),
                f"`{key}` cannot be checked in what is passed through",
                "remove it, or remove tls: passthrough",
                key=True,
            )
