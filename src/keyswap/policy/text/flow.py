"""A piece of a policy as one line of YAML flow style, for rules that are cited."""

import json
import re

from keyswap.policy.problems import looks_like_a_key

MAX_FLOW = 200
"""Characters of a cited rule."""

_PLAIN = re.compile(r"[A-Za-z0-9/._][A-Za-z0-9/._-]*(?::[A-Za-z0-9/._-]+)*")


def flow(value: object) -> str:
    """Plain data as one bounded ASCII line; what looks like a real key is masked."""
    text = _flow(value)
    return text if len(text) <= MAX_FLOW else text[: MAX_FLOW - 3] + "..."


def _flow(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, bool | int):
        return str(value).lower()
    text = str(value)
    if looks_like_a_key(text):
        return "'***'"
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
