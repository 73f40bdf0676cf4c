"""Profiles and standing sessions: who may use what."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from keyswap.exchange import CredentialName
from keyswap.policy import schema
from keyswap.policy.compile.credentials import check_name
from keyswap.policy.compile.draft import Judge
from keyswap.policy.compile.hosts import overlap
from keyswap.policy.compile.networks import network
from keyswap.policy.compile.page import Page
from keyswap.policy.compile.references import reference
from keyswap.policy.hosts import HostError, HostPattern
from keyswap.policy.model import Credential, Entry, Network, Profile, StandingSession
from keyswap.policy.problems import choice
from keyswap.policy.text.nodes import Loc

DEFAULT = "default"


def implied_profile(credentials: Mapping[CredentialName, Credential], egress: Sequence[Entry]) -> Profile:
    """The one profile of a policy that defines none: everything."""
    return Profile(DEFAULT, frozenset(credentials), tuple(egress))


def profile(
    page: Page,
    name: str,
    raw: schema.Profile,
    credentials: Mapping[CredentialName, Credential],
    egress: Sequence[Entry],
    judge: Judge,
) -> Profile:
    """What a profile allows; names that mean nothing are told."""
    loc: Loc = ("profiles", name)
    check_name(page, loc, name)
    wanted = list(credentials) if raw.credentials == "all" else _wanted(page, loc, raw, credentials, judge)
    entries = tuple(egress) if raw.egress == "all" else _entries(page, loc, raw, egress, judge)
    for credential in wanted:
        if judge.reach and raw.credentials != "all" and not _usable(credentials[credential], entries):
            what = f"no host of {credential} is in the egress of this profile"
            page.unwise((*loc, "credentials"), what, "add one of its hosts to egress here, or remove it")
    return Profile(name, frozenset(wanted), entries)


def standing_session(
    page: Page, name: str, raw: schema.Session, profiles: Collection[str], judge: Judge
) -> StandingSession:
    """What a standing session means; what is missing or unknown is told."""
    loc: Loc = ("sessions", name)
    check_name(page, loc, name)
    if judge.names and raw.profile is None and DEFAULT not in profiles:
        page.wrong(loc, "this session names no profile, and there is no default", "write profile: NAME", key=True)
    elif judge.names and raw.profile is not None and raw.profile not in profiles:
        page.wrong((*loc, "profile"), "no profile of this name", choice(raw.profile, profiles))
    if raw.source is None and raw.token is None:
        page.wrong(loc, "nobody is this session", "write source: [NETWORK], token: file:PATH, or both", key=True)
    found = (network(page, (*loc, "source", index), text) for index, text in enumerate(raw.source or ()))
    networks = tuple(item for item in found if item is not None)
    if raw.token is None and any(item.prefixlen == 0 for item in networks):
        page.unwise((*loc, "source"), "whoever reaches the proxy is this session", "name the sandbox's network")
    token = reference(page, (*loc, "token"), raw.token) if raw.token is not None else None
    return StandingSession(name, raw.profile or DEFAULT, networks, token)


def check_sources(page: Page, sessions: Iterable[StandingSession]) -> None:
    """Tell it where the same network is two sessions: nothing says which one a client is."""
    owners: dict[Network, str] = {}
    for session in sessions:
        for found in session.source if session.token is None else ():
            first = owners.setdefault(found, session.name)
            if first != session.name:
                what = f"{found} is session {first} already"
                page.wrong(("sessions", session.name, "source"), what, "remove it, or give one of the two a token")


def _wanted(
    page: Page, loc: Loc, raw: schema.Profile, credentials: Mapping[CredentialName, Credential], judge: Judge
) -> list[CredentialName]:
    known = page.names("credentials")
    for text in raw.credentials:
        if judge.names and text not in known:
            page.wrong((*loc, "credentials"), "no credential of this name", choice(text, known))
    return [CredentialName(text) for text in raw.credentials if text in credentials]


def _entries(page: Page, loc: Loc, raw: schema.Profile, egress: Sequence[Entry], judge: Judge) -> tuple[Entry, ...]:
    known = {entry.host.text for entry in egress}
    wanted = {text: _canonical(text) for text in raw.egress}
    for text, host in wanted.items():
        if judge.reach and host not in known:
            page.wrong((*loc, "egress"), "no egress entry has exactly this host", choice(text, known))
    hosts = frozenset(wanted.values())
    return tuple(entry for entry in egress if entry.host.text in hosts)


def _canonical(text: str) -> str:
    try:
        return HostPattern.parse(text).text
    except HostError:
        return ""


def _usable(credential: Credential, entries: Sequence[Entry]) -> bool:
    return any(
        not entry.passthrough and port in entry.ports and overlap(entry.host, pattern)
        for entry in entries
        for pattern, port in credential.hosts
    )
