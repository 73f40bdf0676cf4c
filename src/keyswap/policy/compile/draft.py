"""What of a policy file has the right form: each part as its type, and words for the rest.

A part with a problem is left out of the draft and told; the others are compiled all the same, so that one look shows
everything there is to repair.
"""

from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from keyswap.policy import schema
from keyswap.policy.compile.page import Page
from keyswap.policy.compile.speech import speak
from keyswap.policy.problems import names_nothing
from keyswap.policy.text.nodes import Loc


@dataclass(frozen=True, slots=True)
class Judge:
    """Which absences may be told as mistakes: not those that another problem of the file has caused."""

    names: bool
    """Everything that is defined is known by its name."""
    reach: bool
    """All of egress is known."""


@dataclass(slots=True)
class Draft:
    """The readable parts; those of lists by their place in the list."""

    mode: str = "enforce"
    credentials: dict[str, schema.Credential] = field(default_factory=dict)
    egress: dict[int, schema.Entry] = field(default_factory=dict)
    deny: dict[int, schema.Deny] = field(default_factory=dict)
    profiles: dict[str, schema.Profile] | None = None
    sessions: dict[str, schema.Session] = field(default_factory=dict)
    limits: schema.Limits = field(default_factory=schema.Limits)
    audit: schema.Audit = field(default_factory=schema.Audit)
    damaged: frozenset[Loc] = frozenset()
    """Sections in which something was left out: what they lack must not be held against the rest."""


def draft(page: Page) -> Draft:
    """The draft of a page; what is left out of it has been told on the page."""
    data = page.root.plain()
    bad: set[Loc] = set()
    try:
        schema.Document.model_validate(data)
    except ValidationError as error:
        # The error quotes the input, so it goes no further than its places and types.
        for item in error.errors(include_url=False, include_input=False):
            bad.update((item["loc"][:1], item["loc"][:2]))
            speak(page, item)
    return _parts(data, bad) if isinstance(data, dict) else Draft()


def _parts(data: dict[str, Any], bad: set[Loc]) -> Draft:
    made = Draft(damaged=frozenset(loc for loc in bad if len(loc) == 1))
    made.credentials = _named(data, "credentials", schema.Credential, bad)
    made.egress = _listed(data, "egress", schema.Entry, bad)
    made.deny = _listed(data, "deny", schema.Deny, bad)
    made.sessions = _named(data, "sessions", schema.Session, bad)
    if "profiles" in data:
        made.profiles = _named(data, "profiles", schema.Profile, bad)
    if "limits" in data and ("limits",) not in bad:
        made.limits = schema.Limits.model_validate(data["limits"])
    if "audit" in data and ("audit",) not in bad:
        made.audit = schema.Audit.model_validate(data["audit"])
    if ("mode",) not in bad:
        made.mode = data.get("mode", "enforce")
    return made


def _named[P: schema.Part](data: dict[str, Any], section: str, part: type[P], bad: set[Loc]) -> dict[str, P]:
    found = data.get(section)
    items = found if isinstance(found, dict) else {}
    kept = {name: item for name, item in items.items() if (section, name) not in bad and not names_nothing(name)}
    return {name: part.model_validate(item) for name, item in kept.items()}


def _listed[P: schema.Part](data: dict[str, Any], section: str, part: type[P], bad: set[Loc]) -> dict[int, P]:
    found = data.get(section)
    items = found if isinstance(found, list) else []
    return {index: part.model_validate(item) for index, item in enumerate(items) if (section, index) not in bad}
