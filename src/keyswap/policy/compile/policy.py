"""The whole policy from its parts."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from keyswap.exchange import CredentialName
from keyswap.policy import schema
from keyswap.policy.compile.clashes import check_clashes
from keyswap.policy.compile.credentials import credential
from keyswap.policy.compile.draft import Draft, Judge, draft
from keyswap.policy.compile.entries import deny_entry, egress_entries
from keyswap.policy.compile.page import Page
from keyswap.policy.compile.profiles import DEFAULT, check_sources, implied_profile, profile, standing_session
from keyswap.policy.model import AuditSettings, Credential, Entry, Limits, Policy, Profile, StandingSession
from keyswap.policy.problems import looks_like_a_key, names_nothing


def compile_policy(page: Page, *, sha256: str, generation: int) -> Policy:
    """The policy a page means. To be used only where the page has no problems afterwards."""
    intact = not page.problems
    _refuse_pasted_keys(page)
    made = draft(page)
    by_line = [egress_entries(page, ("egress", index), raw) for index, raw in made.egress.items()]
    egress = tuple(entry for entries in by_line for entry in entries)
    deny = [deny_entry(page, ("deny", index), raw) for index, raw in made.deny.items()]
    judge = _judge(made, by_line, intact)
    credentials = _credentials(page, made, egress, judge)
    profiles = _profiles(page, made, credentials, egress, judge)
    sessions = _sessions(page, made, judge)
    check_clashes(page, credentials, profiles.values())
    if made.mode == "observe":
        page.unwise(("mode",), "observe refuses nothing for not being listed", "write enforce once all is listed")
    return Policy(
        file=page.file,
        sha256=sha256,
        generation=generation,
        mode="observe" if made.mode == "observe" else "enforce",
        credentials=MappingProxyType(credentials),
        egress=egress,
        deny=tuple(entry for entry in deny if entry is not None),
        profiles=MappingProxyType(profiles),
        sessions=MappingProxyType(sessions),
        limits=Limits(**made.limits.model_dump(exclude_unset=True)),
        audit=AuditSettings(**made.audit.model_dump(exclude_unset=True)),
        warnings=tuple(str(warning) for warning in sorted(set(page.warnings))),
        files=named_files(page, made),
        egress_line=page.line("egress"),
    )


def named_files(page: Page, made: Draft) -> tuple[str, ...]:
    """Absolute paths of all files whose change may change the policy: itself, CA files, session tokens."""
    authorities = (page.path(raw.ca_file) for raw in made.egress.values() if raw.ca_file is not None)
    tokens = (raw.token for raw in made.sessions.values() if raw.token is not None)
    files = (page.path(token.removeprefix("file:")) for token in tokens if token.startswith("file:"))
    return tuple(dict.fromkeys((page.file, *authorities, *files)))


def _judge(made: Draft, by_line: Iterable[tuple[Entry, ...]], intact: bool) -> Judge:
    # A misspelt section is a damaged place that is no section.
    names = intact and all(loc[0] in schema.Document.model_fields for loc in made.damaged)
    return Judge(names=names, reach=names and ("egress",) not in made.damaged and all(by_line))


def _refuse_pasted_keys(page: Page) -> None:
    """Tell every place where a real key seems to stand; a fixed placeholder may look like one."""
    for loc, node in page.root.walk():
        if "placeholder" in loc:
            continue
        if isinstance(node.value, str) and looks_like_a_key(node.value):
            page.wrong(loc, _PASTED, _REPLACE)
        if loc and isinstance(loc[-1], str) and names_nothing(loc[-1]):
            page.wrong(loc, _PASTED, _REPLACE, key=True)


_PASTED = "a real key seems to stand here, and keys must not stand in a policy"
_REPLACE = "keep it in a file or variable, name that as source: file:PATH or env:NAME, and replace the key"


def _credentials(page: Page, made: Draft, egress: tuple[Entry, ...], judge: Judge) -> dict[CredentialName, Credential]:
    found = (credential(page, name, raw, egress, judge) for name, raw in made.credentials.items())
    return {one.name: one for one in found if one is not None}


def _profiles(
    page: Page,
    made: Draft,
    credentials: Mapping[CredentialName, Credential],
    egress: tuple[Entry, ...],
    judge: Judge,
) -> dict[str, Profile]:
    if made.profiles is None:
        return {DEFAULT: implied_profile(credentials, egress)}
    if not made.profiles and ("profiles",) not in made.damaged:
        page.wrong(("profiles",), "no profile is defined", "define one, or remove the key for one with everything")
    return {name: profile(page, name, raw, credentials, egress, judge) for name, raw in made.profiles.items()}


def _sessions(page: Page, made: Draft, judge: Judge) -> dict[str, StandingSession]:
    known = (DEFAULT,) if made.profiles is None else page.names("profiles")
    sessions = {name: standing_session(page, name, raw, known, judge) for name, raw in made.sessions.items()}
    check_sources(page, sessions.values())
    return sessions
