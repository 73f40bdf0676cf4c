"""Words for what pydantic finds: its own texts quote the input, so only its types and places are used."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

from keyswap.policy import schema
from keyswap.policy.compile.page import Page
from keyswap.policy.problems import choice
from keyswap.policy.schema.values import WORDS
from keyswap.policy.text.nodes import Loc

# Keys of features that do not exist yet. They are errors until they do: an option that does nothing misleads.
LATER = frozenset(
    {
        "gateway", "llm", "on_misuse", "watch_body", "usage", "budgets", "budget", "roles", "permissions", "buffered",
        "websocket", "workspaces", "sinks", "on_store_down",
    }
)  # fmt: skip

_PARTS: Mapping[tuple[str, int], type[schema.Part]] = {
    ("credentials", 2): schema.Credential,
    ("credentials", 3): schema.Placeholder,
    ("egress", 2): schema.Entry,
    ("deny", 2): schema.Deny,
    ("profiles", 2): schema.Profile,
    ("sessions", 2): schema.Session,
    ("limits", 1): schema.Limits,
    ("audit", 1): schema.Audit,
}

_FORMS: Mapping[str, tuple[str, str]] = {
    "string_type": ("this is not text", "write it as text, in quotes if YAML takes it for something else"),
    "int_type": ("this is not a whole number", "write plain decimal digits"),
    "bool_type": ("this is neither true nor false", "write true or false"),
    "list_type": ("this is not a list", "write it in brackets: [first, second]"),
    "dict_type": ("this is not a mapping", "write it as {key: value}"),
    "model_type": ("this is not a mapping", "write it as {key: value}"),
    "too_short": ("an empty list has two readings", "remove the key, or name something"),
}


def speak(page: Page, error: ErrorDetails) -> None:
    """Tell one of pydantic's errors on the page, unless its place has been told already."""
    loc: Loc = error["loc"]
    context: dict[str, Any] = error.get("ctx", {})
    if page.broken(loc):
        return
    match error["type"]:
        case "extra_forbidden":
            _unknown_key(page, loc)
        case "missing":
            page.wrong(loc[:-1], f"`{loc[-1]}` is missing", _MISSING.get(str(loc[-1]), "write it"))
        case "literal_error":
            page.wrong(loc, "this word is not known here", f"write {context['expected']}")
        case "greater_than_equal" | "less_than_equal":
            bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
            page.wrong(loc, "this number is out of range", f"write {bound}")
        case "string_too_short":
            page.wrong(loc, "this text is too short", f"write at least {context['min_length']} characters")
        case "string_too_long":
            page.wrong(loc, "this text is too long", f"write at most {context['max_length']} characters")
        case kind if kind == WORDS:
            page.wrong(loc, context["what"], context["todo"])
        case kind:
            page.wrong(loc, *_FORMS.get(kind, ("this has the wrong form", "look it up in policy/schema.json")))


_MISSING: Mapping[str, str] = {
    "version": "begin the file with `version: 1`",
    "source": "write source: env:NAME or source: file:PATH",
    "host": "write host: api.example.com",
}


def _unknown_key(page: Page, loc: Loc) -> None:
    key = str(loc[-1])
    if key in LATER:
        page.wrong(loc, f"`{key}` is not in this version", "remove it", key=True)
        return
    part = schema.Document if len(loc) == 1 else _PARTS[str(loc[0]), len(loc) - 1]
    page.wrong(loc, "this key is not known here", choice(key, part.model_fields), key=True)
