"""The values of a policy file that have a notation of their own: times, sizes, names, words."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_SIZES = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_SIZE = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)")
# A year of idle is a mistake, and beyond it timers overflow.
_LONGEST = 366 * 86400.0

WORDS = "policy"
"""The type of the errors raised here; their context holds `what` and `todo`."""


def _wrong(what: str, todo: str) -> PydanticCustomError:
    return PydanticCustomError(WORDS, "{what}; {todo}", {"what": what, "todo": todo})


def _duration(value: object) -> float:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _wrong("this is not a length of time", "write a whole number and its unit: 250ms, 10s, 20m, 1h, 2d")
    seconds = int(match[1]) * _UNITS[match[2]]
    if not 0 < seconds <= _LONGEST:
        raise _wrong("this length of time is not possible", "write one above 0 and at most 366d")
    return seconds


def _size(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    elif isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        size = int(match[1]) * _SIZES[match[2]]
    else:
        raise _wrong("this is not a size", "write bytes as a whole number, or 64KiB, 256MiB, 1GiB")
    return size


def _version(value: object) -> int:
    # `true` equals 1 in Python, so that a Literal would take it.
    if type(value) is not int or value != 1:
        raise _wrong("this version of the format is not read here", "write version: 1")
    return value


def _names(value: object) -> Literal["all"] | tuple[str, ...]:
    if value == "all":
        return "all"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise _wrong("this is not a list of names", "write `all`, or a list: [first, second]")


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,9}(ms|s|m|h|d)$", "examples": ["250ms", "10s", "1h"]}),
]
"""Seconds, written with a unit."""

Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^[0-9]{1,12}(B|KiB|MiB|GiB)$"}],
            "examples": ["64KiB", "256MiB", 1048576],
        }
    ),
]
"""Bytes, written as a number or with a binary unit."""

Version = Annotated[int, BeforeValidator(_version), WithJsonSchema({"const": 1})]

Names = Annotated[
    Any,
    PlainValidator(_names),
    WithJsonSchema({"anyOf": [{"const": "all"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""`all`, or a tuple of names."""

Port = Annotated[int, Field(ge=1, le=65535)]
Texts = Annotated[list[str], Field(min_length=1)]
"""A list that names something: an empty one would read as `none` to one person and as `any` to the next."""
