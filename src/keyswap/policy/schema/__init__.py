"""The YAML of a policy as types, and the JSON Schema that editors complete from.

`python -m keyswap.policy.schema > policy/schema.json` writes it anew.
"""

from typing import Any

from keyswap.policy.schema.document import (
    Audit,
    Credential,
    Deny,
    Document,
    Entry,
    Limits,
    Matcher,
    Part,
    Placeholder,
    Profile,
    Session,
)

__all__ = [
    "Audit",
    "Credential",
    "Deny",
    "Document",
    "Entry",
    "Limits",
    "Matcher",
    "Part",
    "Placeholder",
    "Profile",
    "Session",
    "json_schema",
]


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a policy file, as `policy/schema.json` holds it."""
    schema: dict[str, Any] = _tidy(Document.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "keyswap policy, version 1"}


def _tidy(node: Any) -> Any:
    """Without what pydantic adds for Python: null as a value (an error in the file), titles, and empty defaults."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _tidy(item) for key, item in node.items() if not _noise(key, item)}
    choices = [choice for choice in kept.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        return {**choices[0], **{key: item for key, item in kept.items() if key != "anyOf"}}
    return {**kept, "anyOf": choices} if choices else kept


def _noise(key: str, item: Any) -> bool:
    return (key == "title" and isinstance(item, str)) or (key == "default" and item in (None, [], {}, ()))
