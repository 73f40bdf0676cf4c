"""One value of YAML: text, a decimal number, true or false; whatever reads differently elsewhere is refused.

YAML 1.1 takes `no` for false, `0443` for 291, `1:30` for 90 and `2024-01-01` for a date; YAML 1.2 does not. A value
that two readers, one of them a person, could take for two things is an error that says how to write it.
"""

import re

import yaml

from keyswap.policy.text.marks import Mark, Trouble

Scalar = str | int | bool

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,17}")
_QUOTES = "write it in quotes if it is text"


def scalar(event: yaml.ScalarEvent, raw: str, mark: Mark) -> Scalar:
    """The value of an event whose source text is `raw`. Raises Trouble."""
    if event.style in ("|", ">") or "\n" in raw:
        raise Trouble(mark, "a value over several lines", "write it on one line")
    if event.style == '"' and "\\" in raw:
        raise Trouble(mark, "an escape (\\) inside double quotes", "write the characters themselves, in single quotes")
    if event.style is not None:
        return event.value
    return _plain(event.value, mark)


def _plain(value: str, mark: Mark) -> Scalar:
    match _tag(value):
        case "str":
            return value
        case "bool" if value in ("true", "false"):
            return value == "true"
        case "bool":
            raise Trouble(mark, "YAML takes this for true or false", f"write true or false, or {_QUOTES}")
        case "int" if _DECIMAL.fullmatch(value):
            return int(value)
        case "int":
            raise Trouble(mark, "YAML may take this for another number", f"write plain decimal digits, or {_QUOTES}")
        case "null":
            raise Trouble(mark, "nothing is written here", "write a value ([] or {} for none), or remove the key")
        case "merge":
            raise Trouble(mark, "merge keys (<<) are not read", "write the keys out")
    raise Trouble(mark, "it is not plain text for YAML", _QUOTES)


def _tag(value: str) -> str:
    """What YAML 1.1 takes an unquoted value for."""
    resolver = yaml.resolver.Resolver()
    tag = resolver.resolve(yaml.ScalarNode, value, (True, False))  # type: ignore[no-untyped-call]  # types-PyYAML
    return str(tag).removeprefix("tag:yaml.org,2002:")
