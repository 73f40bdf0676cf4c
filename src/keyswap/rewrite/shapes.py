"""The arithmetic of placeholder shapes: how long the parts are, what the keyed check says, which shapes are unsafe."""

import hmac
import itertools

from keyswap.exchange import PlaceholderShape

FIXED_MINIMUM = 16
"""Characters of a placeholder whose text the policy fixes."""
RANDOM_VALUES = 2**128
CHECK_VALUES = 2**40

_CHECK_LABEL = b"keyswap placeholder check 1\0"
# What a token68 may hold (RFC 9110, section 11.2) but `~`, the one byte of it that puts + or / into base64.
_ALLOWED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._+/=")
_ALLOWED_TEXT = "may hold letters, digits and - . _ + / = only"


def shape_problem(shape: PlaceholderShape) -> str | None:
    """Why no placeholder of this shape is safe, as the end of a sentence about it; None where one is."""
    if shape.value is not None:
        return _fixed_problem(shape.value)
    if not _ALLOWED.issuperset(shape.prefix + shape.alphabet + shape.suffix):
        return _ALLOWED_TEXT
    if len(shape.alphabet) < 2 or len(set(shape.alphabet)) < len(shape.alphabet):
        return "needs an alphabet of at least two different letters, each named once"
    random = digits(len(shape.alphabet), RANDOM_VALUES)
    if body_length(shape) < random:
        least = len(shape.prefix) + random + len(shape.suffix)
        return f"needs at least {least} characters: 128 random bits take {random} of its alphabet"
    return None


def has_check(shape: PlaceholderShape) -> bool:
    """Whether any placeholder of this shape is recognised without a table; a fixed one is, by its text."""
    return shape.value is not None or check_length(shape) > 0


def body_length(shape: PlaceholderShape) -> int:
    """Characters between prefix and suffix; never negative."""
    return max(0, shape.length - len(shape.prefix) - len(shape.suffix))


def check_length(shape: PlaceholderShape) -> int:
    """Characters of the keyed check: enough for 40 bits, 7 of base62; 0 where 128 random bits leave no room for it."""
    base = len(shape.alphabet)
    wanted = digits(base, CHECK_VALUES)
    return wanted if body_length(shape) >= wanted + digits(base, RANDOM_VALUES) else 0


def check_text(stem: str, alphabet: str, length: int, key: bytes) -> str:
    """The keyed check of `length` letters behind `stem`, which is prefix and random part in any case."""
    digest = hmac.digest(key, _CHECK_LABEL + stem.lower().encode("ascii"), "sha256")
    number = int.from_bytes(digest)
    letters: list[str] = []
    for _ in range(length):
        number, digit = divmod(number, len(alphabet))
        letters.append(alphabet[digit])
    return "".join(letters)


def digits(base: int, values: int) -> int:
    """How many letters of an alphabet of `base` (2 at least) tell `values` apart."""
    return next(count for count in itertools.count(1) if max(2, base) ** count >= values)


def _fixed_problem(value: str) -> str | None:
    if len(value) < FIXED_MINIMUM:
        return f"needs at least {FIXED_MINIMUM} characters"
    return None if _ALLOWED.issuperset(value) else _ALLOWED_TEXT
