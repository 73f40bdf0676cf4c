"""The forms a value can come back in (S27), each as a row of units.

A unit stands for one character of a form and knows every way to spell it: as it is, percent-encoded, escaped in JSON,
escaped in JSON inside JSON. A form is spelled by spelling its units one after the other, each in any of its ways, so
one walk over a row finds every mixture of escapes. The rows of a value are: the value itself, its base64 at the three
offsets it can have inside a longer text (a Basic pair is one of them), and its hex digits.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
"""What no encoder escapes without need (RFC 3986, section 2.3), and JSON neither."""

_SHORT = {'"': '"', "\\": "\\", "/": "/", "\b": "b", "\f": "f", "\t": "t"}
"""Characters with a short escape in JSON (RFC 8259, section 7). CR and LF cannot stand in a value (S25)."""

_OUTER = {"\\": ("\\\\", "\\u005c"), '"': ('\\"', "\\u0022"), "/": ("/", "\\/")}
"""How a character of an inner JSON text is written in the outer one, where not only as it is."""

_STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL_SAFE = _STANDARD[:62] + b"-_"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Unit:
    """One character of a form, in all its spellings."""

    plain: frozenset[int]
    """The single bytes that stand for themselves."""
    spelled: frozenset[bytes]
    """Every longer spelling, hex digits of escapes in lower case; the text is compared in lower case hex, too."""
    literals: frozenset[bytes]
    """The spellings without an escape, of one byte or more."""
    marks: frozenset[bytes]
    """For every spelling with an escape, a piece of it that harmless text has no need of: `%6b`, `u006b`, `\\"`."""
    bytes_in: frozenset[int]
    """Every byte that any spelling holds, in either case of hex."""
    sizes: tuple[int, ...]
    """The lengths of `spelled`."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Form:
    """A row of units to look for, what to write over it, and its window.

    The window is the stretch that a quick look searches for literally: near the start, of characters that no encoder
    escapes without need.
    """

    units: tuple[Unit, ...]
    mask: bytes
    """The placeholder."""
    window: slice


def forms_of(value: bytes, mask: bytes) -> tuple[Form, ...]:
    """Every form of `value`, a value of at least 8 bytes, to be overwritten with `mask`."""
    rows = (_itself(value), *(_base64(value, offset) for offset in range(3)), _hex(value))
    return tuple(Form(tuple(row), mask, _window(row)) for row in rows)


def _itself(value: bytes) -> list[Unit]:
    if value.isascii():
        return [_BYTES[byte] for byte in value]
    try:
        return [_character(char) for char in value.decode()]
    except UnicodeDecodeError:
        return [_BYTES[byte] for byte in value]


def _hex(value: bytes) -> list[Unit]:
    return [_HEX[digit] for digit in value.hex()]


def _base64(value: bytes, offset: int) -> list[Unit]:
    """The characters of base64 that are decided by `value` when it starts `offset` bytes into a group of three.

    The first and the last may hold bits of a neighbour as well; they are units of all characters that agree in the
    bits decided here (RFC 4648, section 4). Padding is no part of the form.
    """
    first, last = 8 * offset, 8 * (offset + len(value))
    padded = bytes(offset) + value + bytes(-(offset + len(value)) % 3)
    text = base64.b64encode(padded)[first // 6 : -(-last // 6)]
    return [
        _BORDERS[0x3F >> first % 6][text[0]],
        *(_BASE64[char] for char in text[1:-1]),
        _BORDERS[0x3F << -last % 6 & 0x3F][text[-1]],
    ]


def _borders(decided: int) -> dict[int, Unit]:
    alike: dict[int, list[int]] = {}
    for sextet, char in enumerate(_STANDARD):
        alike.setdefault(sextet & decided, []).append(char)
    units = {bits: _any(_BASE64[char] for char in chars) for bits, chars in alike.items()}
    return {char: units[sextet & decided] for sextet, char in enumerate(_STANDARD)}


def _unit(plain: Iterable[int], spelled: Iterable[bytes]) -> Unit:
    texts = frozenset(spelled)
    bare = frozenset(plain)
    unescaped = frozenset(text for text in texts if b"%" not in text and b"\\" not in text)
    return Unit(
        bare,
        texts,
        unescaped | {bytes((byte,)) for byte in bare},
        frozenset(_mark(text) for text in texts - unescaped),
        bare.union(*texts, *(text.upper() for text in texts)),
        tuple(sorted({len(text) for text in texts})),
    )


def _any(units: Iterable[Unit]) -> Unit:
    """A unit spelled like any of `units`."""
    chosen = tuple(units)
    return Unit(
        frozenset().union(*(unit.plain for unit in chosen)),
        frozenset().union(*(unit.spelled for unit in chosen)),
        frozenset().union(*(unit.literals for unit in chosen)),
        frozenset().union(*(unit.marks for unit in chosen)),
        frozenset().union(*(unit.bytes_in for unit in chosen)),
        tuple(sorted({size for unit in chosen for size in unit.sizes})),
    )


def _mark(text: bytes) -> bytes:
    if b"%" in text:
        return b"%" + text.partition(b"%")[2][:2]
    if b"u" in text:
        return b"u" + text.rpartition(b"u")[2][:4]
    return text[-2:]


def _byte(byte: int) -> Unit:
    """A byte that is a character of its own: ASCII, or a part of a value that is not UTF-8 (then Latin-1)."""
    plain = b" +" if byte == 0x20 else (byte,)  # `+` is how a form encodes a space
    return _unit(plain, (b"%%%02x" % byte, *_json(chr(byte))))


def _character(char: str) -> Unit:
    raw = char.encode()
    if len(raw) == 1:
        return _BYTES[raw[0]]
    percent = (b"".join(mixed) for mixed in product(*((bytes((byte,)), b"%%%02x" % byte) for byte in raw)))
    return _unit((), (*percent, *_json(char)))


def _json(char: str) -> list[bytes]:
    """The escapes of `char` in JSON, and in JSON that stands in a string of JSON."""
    wide = char.encode("utf-16-be")
    escapes = ["".join(f"\\u{wide[at : at + 2].hex()}" for at in range(0, len(wide), 2))]
    if char in _SHORT:
        escapes.append("\\" + _SHORT[char])
    nested = ["".join(mixed) for text in escapes for mixed in product(*(_OUTER.get(one, (one,)) for one in text))]
    return [text.encode() for text in (*escapes, *nested)]


def _window(row: Sequence[Unit]) -> slice:
    """The widest cheap window near the start; where none is cheap, the cheapest of four units."""
    head = row[:20]
    needles = [len(unit.literals) for unit in head]
    costs = [0 if unit.plain and unit.plain <= UNRESERVED else 100 for unit in head]
    for width, price in ((12, 1), (8, 1), (8, 2), (6, 2), (4, 1000)):
        spans = [slice(start, start + width) for start in range(min(len(head) - width, 8) + 1)]
        priced = [(prod(needles[span]) + sum(costs[span]), span.start) for span in spans]
        if priced and min(priced)[0] <= price:
            return spans[min(priced)[1]]
    return slice(0, len(row))


_BYTES = tuple(_byte(byte) for byte in range(256))
_HEX = {digit: _any(_BYTES[ord(one)] for one in sorted({digit, digit.upper()})) for digit in "0123456789abcdef"}
_BASE64 = {one: _any(_BYTES[byte] for byte in {one, other}) for one, other in zip(_STANDARD, _URL_SAFE, strict=True)}
_BORDERS = {decided: _borders(decided) for decided in (0x3F, 0x0F, 0x03, 0x30, 0x3C)}
"""By the bits decided, then by character: the unit of all characters that agree with it in these bits."""
