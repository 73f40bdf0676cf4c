"""A second scrubber, slow and simple: every start, every spelling, on the whole text. The real one is held against it."""

import base64
from collections.abc import Iterator, Sequence

STANDARD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
Row = list[list[str]]
"""For each character of a form, its spellings; hex digits of escapes in lower case."""


def spellings(char: str) -> list[str]:
    """Every way to write one ASCII character."""
    code = f"u{ord(char):04x}"
    inner = [code] + ([char] if char in '"\\/' else ["t"] * (char == "\t"))
    plain = [char, "+"] if char == " " else [char]
    return [*plain, f"%{ord(char):02x}", *("\\" + text for text in inner), *(text for one in inner for text in nested(one))]


def nested(rest: str) -> Iterator[str]:
    """A backslash and `rest`, as they stand in a string of JSON."""
    last = {"\\": ["\\\\", "\\u005c"], '"': ['\\"', "\\u0022"], "/": ["/", "\\/"]}.get(rest, [rest])
    return (slash + text for slash in ("\\\\", "\\u005c") for text in last)


def rows(value: str) -> list[Row]:
    """Every form of an ASCII value."""
    itself = [spellings(char) for char in value]
    digits = [spellings(digit) + (spellings(digit.upper()) if digit.isalpha() else []) for digit in value.encode().hex()]
    return [itself, digits, *(base64_row(value.encode(), offset) for offset in range(3))]


def base64_row(value: bytes, offset: int) -> Row:
    """What base64 of all texts with `value` at `offset` has in common, found by trying the neighbours."""
    low, high = bytes(offset) + value + bytes(3), b"\xff" * offset + value + b"\xff" * 3
    row: Row = []
    for at in range(offset and offset, -(-8 * (offset + len(value)) // 6)):
        texts = (prefix + value + suffix for prefix, suffix in neighbours(at, offset, len(value)))
        chars = {base64.b64encode(text + bytes(-len(text) % 3)).decode()[at] for text in texts}
        row.append([one for char in sorted(chars) for one in both_alphabets(char)])
    del low, high
    return row


def neighbours(at: int, offset: int, size: int) -> list[tuple[bytes, bytes]]:
    """Bytes before and after the value that are worth trying for the character at `at`."""
    every = [bytes((byte,)) for byte in range(256)]
    if at == offset and offset:
        return [(bytes(offset - 1) + byte, bytes(3)) for byte in every]
    if 6 * (at + 1) > 8 * (offset + size):
        return [(bytes(offset), byte + bytes(2)) for byte in every]
    return [(bytes(offset), bytes(3))]


def both_alphabets(char: str) -> list[str]:
    return spellings(char) + spellings({"+": "-", "/": "_"}[char]) if char in "+/" else spellings(char)


def begins(text: str, spelling: str) -> bool:
    """Whether `text` begins with `spelling`; hex digits of an escape in either case."""
    return len(text) >= len(spelling) and all(
        a == b or (len(spelling) > 1 and b in "abcdef" and a == b.upper()) for a, b in zip(text, spelling, strict=False)
    )


def walk(row: Row, text: str, start: int) -> tuple[int, bool]:
    """Where the longest spelling of `row` at `start` ends (0: none), and whether more text could change that."""
    open_, places = False, {start}
    for units in row:
        reached = set()
        for place in places:
            rest = text[place : place + 12]
            open_ = open_ or any(len(rest) < len(one) and begins(rest, one[: len(rest)]) for one in units if cut(one))
            open_ = open_ or not rest
            reached |= {place + len(one) for one in units if begins(rest, one)}
        places = reached
    return max(places, default=0), open_
