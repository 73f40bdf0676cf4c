"""Credentials: what a preset gives, what is written instead, and where each may go."""

import re
from collections.abc import Sequence

from keyswap.exchange import CredentialName, PlaceholderShape
from keyswap.policy import schema
from keyswap.policy.compile.draft import Judge
from keyswap.policy.compile.hosts import bound_host, overlap
from keyswap.policy.compile.page import Page
from keyswap.policy.compile.references import reference
from keyswap.policy.compile.shapes import placeholder_shape
from keyswap.policy.hosts import HostPattern
from keyswap.policy.model import Credential, Entry
from keyswap.policy.presets import PRESETS, Preset
from keyswap.policy.problems import names_nothing
from keyswap.policy.text.nodes import Loc

Binding = tuple[HostPattern, int]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
# Never searched (S19); and what frames, routes or authenticates a request to the proxy cannot carry a key.
_NO_KEY = frozenset(
    {
        "cookie", "referer", "origin", "host", "content-length", "content-type", "content-encoding", "accept-encoding",
        "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect", "range",
        "x-http-method", "x-http-method-override", "x-method-override",
    }
)  # fmt: skip


def credential(
    page: Page, name: str, raw: schema.Credential, egress: Sequence[Entry], judge: Judge
) -> Credential | None:
    """What one credential means; None where that cannot be said, and then it has been told."""
    loc: Loc = ("credentials", name)
    preset = PRESETS[raw.preset] if raw.preset else None
    check_name(page, loc, name)
    source = reference(page, (*loc, "source"), raw.source)
    headers = _headers(page, loc, raw, preset)
    shape = _shape(page, loc, raw, preset)
    hosts = _hosts(page, loc, raw, preset)
    _check_variables(page, loc, raw)
    if judge.reach:
        hosts = _reached(page, loc, raw, hosts, egress)
    if not (source and headers and shape and hosts):
        return None
    if raw.plaintext:
        page.unwise((*loc, "plaintext"), "this credential may travel unencrypted", "use https if the host can")
    return Credential(
        name=CredentialName(name),
        rule=page.rule(loc),
        hosts=tuple(hosts),
        headers=headers,
        shape=shape,
        source=source,
        env=tuple(raw.env) if raw.env is not None else preset.env if preset else (),
        dialect=preset.dialect if preset else "",
        preset=raw.preset or "",
        optional=raw.optional,
        plaintext=raw.plaintext,
        foreign=raw.foreign,
    )


def check_name(page: Page, loc: Loc, name: str) -> None:
    """Tell it where the name of a credential, profile or session is not one that logs and the audit can carry."""
    if not _NAME.fullmatch(name):
        page.wrong(loc, "not a name", "write 1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first", key=True)


def _headers(page: Page, loc: Loc, raw: schema.Credential, preset: Preset | None) -> tuple[str, ...]:
    if raw.headers is None:
        if preset is None:
            page.wrong(loc, "`headers` is missing", "write headers: [Authorization], or a preset", key=True)
        return preset.headers if preset else ()
    names = [name.lower() for name in raw.headers]
    for index, name in enumerate(names):
        place = (*loc, "headers", index)
        if not _HEADER.fullmatch(name):
            page.wrong(place, "not the name of a header", "write it like X-Api-Key")
        elif name in _NO_KEY or name.startswith(("proxy-", "x-keyswap-")):
            page.wrong(place, "this header never carries a credential", "name the header the provider reads keys from")
        elif name in names[:index]:
            page.wrong(place, "this header stands here twice", "remove it")
    return tuple(names)


def _shape(page: Page, loc: Loc, raw: schema.Credential, preset: Preset | None) -> PlaceholderShape | None:
    if raw.placeholder is not None:
        return placeholder_shape(page, (*loc, "placeholder"), raw.placeholder)
    if preset is None:
        todo = "write placeholder: {prefix: ..., length: ...} like a real key, or a preset"
        page.wrong(loc, "`placeholder` is missing", todo, key=True)
    return preset.shape if preset else None


def _hosts(page: Page, loc: Loc, raw: schema.Credential, preset: Preset | None) -> list[Binding]:
    if raw.hosts is None:
        if preset is None:
            todo = "write hosts: [api.example.com], the only hosts it may go to, or a preset"
            page.wrong(loc, "this credential has no hosts", todo, key=True)
        return [(HostPattern.parse(host), 443) for host in preset.hosts] if preset else []
    found = (bound_host(page, (*loc, "hosts", index), text) for index, text in enumerate(raw.hosts))
    return [binding for binding in found if binding is not None]


def _check_variables(page: Page, loc: Loc, raw: schema.Credential) -> None:
    for index, name in enumerate(raw.env or ()):
        if not _VARIABLE.fullmatch(name):
            page.wrong((*loc, "env", index), "not the name of a variable", "write it like GITHUB_TOKEN")


def _reached(
    page: Page, loc: Loc, raw: schema.Credential, hosts: list[Binding], egress: Sequence[Entry]
) -> list[Binding]:
    """The bindings that an inspected entry reaches; all of them must be where they are written out."""
    place = loc if raw.hosts is None else (*loc, "hosts")
    for binding in hosts:
        _refuse_passthrough(page, place, binding, egress)
    reached = [binding for binding in hosts if any(_carries(entry, raw, binding) for entry in egress)]
    missing = [binding for binding in hosts if binding not in reached]
    if raw.hosts is None and reached:
        return reached
    for pattern, port in missing:
        at = pattern.text if port == 443 else f"{pattern.text}:{port}"
        line = _line(raw, pattern, port)
        if not _is_public(pattern):
            at, line = "this host", "an entry for it"
        page.wrong(place, f"no inspected entry of egress reaches {at}", f"add {line} to egress")
    return reached


def _is_public(pattern: HostPattern) -> bool:
    """Whether a host may be quoted: a pasted key may be a host of one label, by its grammar."""
    return ("." in pattern.host or ":" in pattern.host) and not names_nothing(pattern.text)


def _carries(entry: Entry, raw: schema.Credential, binding: Binding) -> bool:
    pattern, port = binding
    if entry.passthrough or port not in entry.ports or not overlap(entry.host, pattern):
        return False
    return "https" in entry.schemes or raw.plaintext


def _refuse_passthrough(page: Page, place: Loc, binding: Binding, egress: Sequence[Entry]) -> None:
    pattern, port = binding
    for entry in egress:
        if entry.passthrough and port in entry.ports and overlap(entry.host, pattern):
            host = pattern.text if _is_public(pattern) else "this host"
            what = f"{host} has this credential and is passed through unseen by {entry.rule.where}"
            page.wrong(place, what, "remove tls: passthrough there, or the host here")


def _line(raw: schema.Credential, pattern: HostPattern, port: int) -> str:
    host = f'"{pattern.text}"' if pattern.wildcard or ":" in pattern.host else pattern.text
    if port == 443:
        return f"{{host: {host}}}"
    if port == 80 and raw.plaintext:
        return f"{{host: {host}, schemes: [http]}}"
    return f"{{host: {host}, ports: [{port}]}}"
