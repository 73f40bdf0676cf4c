"""The quick look at a chunk: where can a form begin in it, if anywhere?

Every whole form shows, within its first units, either its window as it is (a needle: `sk-ant-api03`) or an escape of
one of those units (a mark: `%6b`, `\\u006b`). Looking for needles and marks is a handful of `bytes.find`, at GB/s each.
A form whose beginning alone fits into a chunk may show neither; it is looked for in the chunk's last bytes, unless the
very last one cannot belong to it (an SSE event ends in LF). Only positions found so are walked unit by unit.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import product

from keyswap.rewrite.forms import Form, Unit

LOWER_HEX = bytes.maketrans(b"ABCDEF", b"abcdef")
"""Brings hex digits into one case. `U` stays as it is: `\\U` is no escape in JSON."""

SPECIAL = frozenset((*b"%\\", *range(0x80, 0x100)))
"""The bytes that a spelling of more than one byte begins with."""

_OPENING = 6
"""Units that tell an opening from chance."""

_MANY = 32
"""Spellings of one unit beyond which a pattern of them all is slower than walking."""

_ANY_ESCAPE = rb"%[0-9a-fA-F]{2}|\\.{1,11}?"

Mark = tuple[bytes, re.Pattern[bytes]]
"""What a mark always holds (found quickest), and the mark itself."""


class Gate:
    """What to look for, and where to look closely, for a fixed set of forms (at least one)."""

    __slots__ = (
        "_far", "_forms", "_heads", "_lasts", "_longest", "_marks", "_near", "_needles", "_openings", "_pairs",
        "_plain", "_sizes", "_spelled",
    )  # fmt: skip

    def __init__(self, forms: Sequence[Form]) -> None:
        self._heads = heads = [form.units[: form.window.stop] for form in forms]
        units = {unit for head in heads for unit in head}
        self._forms = tuple(forms)
        self._openings: re.Pattern[bytes] | None = None
        self._needles = _index(forms, _needles)
        self._marks = _marks(frozenset().union(*(unit.marks for unit in units)))
        self._lasts = frozenset().union(*(unit.bytes_in for unit in units))
        self._longest = max(unit.sizes[-1] for unit in units)
        self._near = max(map(_width, heads)) + self._longest
        self._far = max(map(len, heads)) * self._longest
        self._plain = _index(forms, lambda form: form.units[0].plain)
        self._spelled = _index(forms, lambda form: form.units[0].spelled)
        self._pairs = _index(forms, lambda form: map(bytes, product(form.units[0].plain, form.units[1].plain)))
        self._sizes = sorted({size for form in forms for size in form.units[0].sizes})

    def starts(self, chunk: bytes) -> Collection[int]:
        """Every position of `chunk` (of at least one byte) where a form may begin, in order."""
        needles = [needle for needle in self._needles if needle in chunk]
        marks = [mark for fixed, mark in self._marks if fixed in chunk and mark.search(chunk)]
        tail = range(0)
        if chunk[-1] in self._lasts:
            tail = range(max(0, len(chunk) - (self._far if marks else self._near)), len(chunk))
        return self._near_to(needles, marks, tail, chunk) if needles or marks else tail

    def _near_to(
        self, needles: list[bytes], marks: list[re.Pattern[bytes]], tail: Iterable[int], chunk: bytes
    ) -> list[int]:
        found = set(tail)
        for needle in needles:
            for form in self._needles[needle]:
                ahead = _width(form.units[: form.window.start])
                found.update(at - ahead for at in _occurrences(needle, chunk) if at >= ahead)
        marked = sorted(match.start() for mark in marks for match in mark.finditer(chunk))
        for low, high in _joined((at - self._far, at + self._far) for at in marked):
            found.update(match.start() for match in self._opening().finditer(chunk, max(0, low), high))
        return sorted(found)

    def _opening(self) -> re.Pattern[bytes]:
        """The first units of any form, in any spelling. Made when first needed: most answers never show a mark."""
        if self._openings is None:
            rows = (b"".join(_pattern(unit) for unit in head[:_OPENING]) for head in self._heads)
            self._openings = re.compile(b"(?=%s)" % b"|".join(rows), re.DOTALL)
        return self._openings

    def beginning(self, text: bytes, at: int) -> Iterable[Form]:
        """The forms whose first unit stands in `text` at `at`, or may stand there once there is more text."""
        pair = text[at : at + 2]
        if len(pair) == 2 and SPECIAL.isdisjoint(pair):
            return self._pairs.get(pair, ())
        plain = self._plain.get(text[at], ())
        if text[at] not in SPECIAL:
            return plain
        ahead = text[at : at + self._longest].translate(LOWER_HEX)
        if len(ahead) < self._longest:
            return self._forms
        return dict.fromkeys((*plain, *(form for size in self._sizes for form in self._spelled.get(ahead[:size], ()))))


def _needles(form: Form) -> Iterator[bytes]:
    return map(b"".join, product(*(unit.literals for unit in form.units[form.window])))


def _width(units: Iterable[Unit]) -> int:
    """How many bytes `units` take without an escape."""
    return sum(len(max(unit.literals, key=len)) for unit in units)


def _occurrences(needle: bytes, chunk: bytes) -> Iterator[int]:
    at = chunk.find(needle)
    while at >= 0:
        yield at
        at = chunk.find(needle, at + 1)


def _index[Key](forms: Iterable[Form], keys: Callable[[Form], Iterable[Key]]) -> dict[Key, tuple[Form, ...]]:
    table: dict[Key, tuple[Form, ...]] = {}
    for form in forms:
        for key in keys(form):
            table[key] = (*table.get(key, ()), form)
    return table


def _joined(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans, given in the order of their starts, with overlapping ones as one."""
    low = high = 0
    for start, end in spans:
        if start > high:
            yield low, high
            low = start
        high = end
    yield low, high


def _pattern(unit: Unit) -> bytes:
    """Matches every spelling of `unit`, and where they are many, any other escape as well."""
    escaped = sorted(unit.spelled) if len(unit.spelled) <= _MANY else []
    choices = [*map(re.escape, sorted(unit.literals)), *(b"(?i:%s)" % re.escape(text) for text in escaped)]
    return b"(?:%s)" % b"|".join(choices if escaped else [*choices, _ANY_ESCAPE])


def _marks(texts: Iterable[bytes]) -> tuple[Mark, ...]:
    """The marks by kind. An escape that is usual in JSON costs a look of its own; windows avoid them."""
    ordered = sorted(texts)
    percent = [text[1:] for text in ordered if text.startswith(b"%")]
    codes = [text[1:] for text in ordered if text.startswith(b"u")]
    fixed = b"u00" if all(code.startswith(b"00") for code in codes) else b"u"
    return (
        (b"%", re.compile(b"%%(?i:%s)" % b"|".join(percent))),
        (fixed, re.compile(b"u(?i:%s)" % b"|".join(codes))),
        *((text, re.compile(re.escape(text))) for text in ordered if text.startswith(b"\\")),
    )
