"""A second scrubber, slow and simple: every start, every spelling. The real one is held against it."""

import base64
from collections.abc import Iterator, Mapping
from functools import cache

Row = list[list[str]]
"""For each character of a form, its spellings; hex digits of escapes in lower case."""

LONGEST = len("\\u005c\\u0022")
"""Characters of the longest spelling."""


@cache
def spellings(char: str) -> list[str]:
    """Every way to write one ASCII character."""
    escapes = [f"u{ord(char):04x}", *(char for _ in range(char in '"\\/'))]
    plain = [char, "+"] if char == " " else [char]
    return [
        *plain, f"%{ord(char):02x}", *("\\" + one for one in escapes), *(two for one in escapes for two in nested(one)),
    ]  # fmt: skip


def nested(rest: str) -> Iterator[str]:
    """A backslash and `rest`, as they stand in a string of JSON that is in a string of JSON."""
    tails = {"\\": ["\\\\", "\\u005c"], '"': ['\\"', "\\u0022"], "/": ["/", "\\/"]}.get(rest, [rest])
    return (slash + tail for slash in ("\\\\", "\\u005c") for tail in tails)


@cache
def rows(value: str) -> list[Row]:
    """Every form of an ASCII value."""
    digits = [sorted({digit, digit.upper()}) for digit in value.encode().hex()]
    return [of_chars(list(value)), of_chars(digits), *(of_chars(base64_chars(value.encode(), n)) for n in range(3))]


def of_chars(choices: list[str] | list[list[str]]) -> Row:
    return [[spelling for char in chars for spelling in spellings(char)] for chars in choices]


def base64_chars(value: bytes, offset: int) -> list[list[str]]:
    """The characters that base64 has in the value's places, whatever stands around it: found by trying."""
    texts = [bytes([byte]) * offset + value + bytes([byte]) * 4 for byte in range(256)]
    both = [text for one in texts for text in (base64.b64encode(one), base64.urlsafe_b64encode(one))]
    places = range(8 * offset // 6, -(-8 * (offset + len(value)) // 6))
    return [sorted({chr(text[place]) for text in both}) for place in places]


def begins(text: str, spelling: str) -> bool:
    """Whether `text` begins with `spelling`, hex digits of an escape in either case."""
    return (
        len(text) >= len(spelling)
        and text[:1] == spelling[:1]
        and all(
            a == b or (len(spelling) > 1 and b in "abcdef" and a == b.upper())
            for a, b in zip(text, spelling, strict=False)
        )
    )


def walk(row: Row, text: str, start: int) -> tuple[int, bool]:
    """Where the longest spelling of `row` at `start` ends (0: none), and whether more text could change that."""
    undecided, places = False, {start}
    for unit in row:
        rests = {place: text[place : place + LONGEST] for place in places}
        short = [rest for rest in rests.values() if len(rest) < LONGEST]
        undecided |= any(len(rest) < len(one) and begins(rest, one[: len(rest)]) for rest in short for one in unit)
        places = {place + len(one) for place, rest in rests.items() for one in unit if begins(rest, one)}
        if not places:
            break
    return max(places, default=0), undecided


def hits(text: str, masks: Mapping[str, str]) -> list[tuple[int, int, str]]:
    """Every hit as start, end and placeholder; of those with one start, the longest first."""
    found = [
        (start, walk(row, text, start)[0], mask)
        for value, mask in masks.items()
        for row in rows(value)
        for start in range(len(text))
    ]
    return sorted((hit for hit in found if hit[1]), key=lambda hit: (hit[0], -hit[1], hit[2]))


def scrubbed(text: str, masks: Mapping[str, str]) -> tuple[str, int]:
    """The text with overlapping hits overwritten as one, and how many there were."""
    spans: list[list[int]] = []
    names: list[str] = []
    for start, end, mask in hits(text, masks):
        if spans and start < spans[-1][1]:
            spans[-1][1] = max(end, spans[-1][1])
        else:
            spans.append([start, end])
            names.append(mask)
    for (start, end), mask in zip(spans, names, strict=True):
        text = text[:start] + mask[: end - start].ljust(end - start, "*") + text[end:]
    return text, len(spans)


def held(text: str, masks: Mapping[str, str]) -> int:
    """How many bytes at the end of `text` cannot be decided yet."""
    all_rows = [row for value in masks for row in rows(value)]
    starts = (start for start in range(len(text)) if any(walk(row, text, start)[1] for row in all_rows))
    return len(text) - min(starts, default=len(text))
