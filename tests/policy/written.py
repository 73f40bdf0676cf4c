"""Policies written for a test."""

from pathlib import Path

from keyswap.policy.load import parse
from keyswap.policy.model import Policy
from keyswap.policy.problems import PolicyErrors, Problem

FILE = "/srv/keyswap/policy.yaml"


def good(body: str, file: str | Path = FILE) -> Policy:
    """The policy that `version: 1` and this body mean."""
    return parse("version: 1\n" + body, file, environ={})


def problems(body: str, file: str | Path = FILE, *, head: str = "version: 1\n") -> tuple[Problem, ...]:
    """What is wrong with `version: 1` and this body; fails where nothing is."""
    try:
        policy = parse(head + body, file, environ={})
    except PolicyErrors as errors:
        return errors.problems
    raise AssertionError(f"it loads: {policy}")


def told(body: str, file: str | Path = FILE, *, head: str = "version: 1\n") -> str:
    """The same as lines `line:column: what; todo`."""
    found = problems(body, file, head=head)
    return "\n".join(str(problem).removeprefix(f"{file}:") for problem in found)


def entry(text: str) -> str:
    """A body with one egress entry."""
    return f"egress:\n  - {{{text}}}\n"


def credential(text: str, egress: str = "{host: api.example.com}") -> str:
    """A body with one credential, `key`, complete but for what `text` says otherwise."""
    parts = {
        "hosts": "[api.example.com]",
        "headers": "[Authorization]",
        "placeholder": "{prefix: pk_, length: 40}",
        "source": "env:KEY",
    }
    kept = "".join(f"    {key}: {value}\n" for key, value in parts.items() if f"{key}:" not in text)
    own = "".join(f"    {line}\n" for line in text.splitlines())
    return f"credentials:\n  key:\n{kept}{own}egress:\n  - {egress}\n"
