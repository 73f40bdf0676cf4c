"""One form being followed through the text, from one start.

Where a byte begins an escape, a unit may be spelled in more than one way (a value with a backslash in it: one or two of
them), so a trail is a set of states, each a position in the text and a position in the form. No two ways to the same
state are walked twice: the work is bounded by text times form at the very worst, and is one step a byte for real keys.
"""

from collections.abc import Iterable

from keyswap.rewrite.forms import Form
from keyswap.rewrite.gate import LOWER_HEX, SPECIAL

State = tuple[int, int]
"""A position in the text, and how many units of the form stand before it."""


class Trail:
    """A form that begins at `start`: still open, found up to `end`, or neither."""

    __slots__ = ("_states", "end", "form", "start")

    form: Form
    start: int
    end: int
    """Behind the longest spelling found so far; 0 while there is none."""

    def __init__(self, form: Form, start: int) -> None:
        self.form = form
        self.start = start
        self.end = 0
        self._states: set[State] = {(start, 0)}

    @property
    def open(self) -> bool:
        """Whether more text may make it a hit, or a longer one."""
        return bool(self._states)

    def follow(self, text: bytes) -> None:
        """Walk on through `text`, which holds what was walked before and more."""
        units, size = self.form.units, len(text)
        todo, seen, self._states = [*self._states], set[State](), set()
        while todo:
            at, index = todo.pop()
            while index < len(units) and at < size and text[at] in units[index].plain and text[at] not in SPECIAL:
                at, index = at + 1, index + 1
            if index == len(units):
                self.end = max(self.end, at)
            elif at == size:
                self._states.add((at, index))
            elif text[at] in SPECIAL and (at, index) not in seen:
                seen.add((at, index))
                todo += self._branch(text, at, index)

    def moved(self, by: int) -> None:
        """Count positions from `by` bytes further on, as the text before was let go."""
        self.start -= by
        self.end = max(0, self.end - by)
        self._states = {(at - by, index) for at, index in self._states}

    def _branch(self, text: bytes, at: int, index: int) -> Iterable[State]:
        """The states after every spelling of a unit that stands at `at`; a cut spelling keeps the trail open."""
        unit = self.form.units[index]
        if text[at] in unit.plain:
            yield at + 1, index + 1
        longest = unit.sizes[-1]
        ahead = text[at : at + longest].translate(LOWER_HEX)
        for size in unit.sizes:
            if ahead[:size] in unit.spelled and size <= len(ahead):
                yield at + size, index + 1
        if len(ahead) < longest and any(len(one) > len(ahead) and one.startswith(ahead) for one in unit.spelled):
            self._states.add((at, index))
