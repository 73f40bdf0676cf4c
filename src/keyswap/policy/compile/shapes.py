"""Placeholder shapes, and whether there is room for enough randomness in one (S18)."""

import re
from collections.abc import Mapping

from keyswap.exchange import BASE62, PlaceholderShape, PlaceholderText
from keyswap.policy import schema
from keyswap.policy.compile.page import Page
from keyswap.policy.presets import HEX
from keyswap.policy.text.nodes import Loc

RANDOM_BITS = 128
CHECK_BITS = 40
ALPHABETS: Mapping[str, str] = {"base62": BASE62, "base36": "0123456789abcdefghijklmnopqrstuvwxyz", "hex": HEX}

# What survives headers, Basic (no colon), shells and environment files unquoted (token68 of RFC 9110, 11.2, and ! @).
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=!@-]*")


def needed(bits: int, alphabet: str) -> int:
    """How many characters of an alphabet hold so many bits; 22 and 7 of base62, 32 and 10 of hex."""
    count, values = 0, 1
    while values < 1 << bits:
        count, values = count + 1, values * len(alphabet)
    return count


def room(shape: PlaceholderShape) -> int:
    """Characters between prefix and suffix."""
    return shape.length - len(shape.prefix) - len(shape.suffix)


def placeholder_shape(page: Page, loc: Loc, raw: schema.Placeholder) -> PlaceholderShape | None:
    """The shape that is written at `loc`; None where it cannot be used, and then that has been told."""
    if not all(_TOKEN.fullmatch(text) for text in (raw.prefix, raw.suffix, raw.value or "")):
        page.wrong(loc, "a placeholder has a character that not every header carries", "use A-Za-z0-9 and ._~+/=!@-")
        return None
    if raw.value is not None:
        return _fixed(page, loc, raw, raw.value)
    if raw.length is None:
        page.wrong(loc, "`length` is missing", "write how long a real key is: {prefix: sk-, length: 48}")
        return None
    shape = PlaceholderShape(raw.prefix, raw.length, raw.suffix, ALPHABETS[raw.alphabet])
    least = needed(RANDOM_BITS, shape.alphabet)
    if room(shape) < least:
        total = least + len(raw.prefix) + len(raw.suffix)
        page.wrong((*loc, "length"), f"too short for {RANDOM_BITS} random bits", f"write at least length: {total}")
        return None
    return shape


def _fixed(page: Page, loc: Loc, raw: schema.Placeholder, value: str) -> PlaceholderShape | None:
    if raw.model_fields_set != {"value"}:
        page.wrong(loc, "a fixed `value` has no shape", "write `value` alone, or prefix and length without it")
        return None
    page.unwise(loc, "a fixed placeholder is shared by all sessions", "write {prefix: ..., length: ...} for one each")
    return PlaceholderShape("", len(value), value=PlaceholderText(value))
