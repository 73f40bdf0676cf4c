"""One policy file while it is compiled: where things stand, and what is wrong with them."""

import os
from collections.abc import Iterable

from keyswap.exchange import Rule
from keyswap.policy.problems import Problem, names_nothing
from keyswap.policy.text.flow import flow
from keyswap.policy.text.marks import Mark, Trouble
from keyswap.policy.text.nodes import Broken, Loc, Node

# What a cited rule never shows: references lead to secrets, and fixed placeholders open doors.
_HIDDEN = frozenset({"source", "value"})


class Page:
    """Collects problems and warnings by place, and cites entries as rules."""

    def __init__(self, file: str, root: Node) -> None:
        self.file = file
        """As problems name it; absolute."""
        self.root = root
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def path(self, written: str) -> str:
        """The absolute path of a file named in the policy; a relative one stands beside the policy."""
        return os.path.normpath(os.path.join(os.path.dirname(self.file), written))

    def wrong(self, loc: Loc, what: str, todo: str, *, key: bool = False) -> None:
        """This policy does not load, because of what stands at `loc` (or of its key)."""
        node, _ = self.root.at(loc)
        self.problems.append(self._problem((node.key or node.mark) if key else node.mark, what, todo))

    def unwise(self, loc: Loc, what: str, todo: str) -> None:
        """It loads, but its author should know."""
        self.warnings.append(self._problem(self.root.at(loc)[0].mark, what, todo))

    def trouble(self, troubles: Iterable[Trouble]) -> None:
        """Problems with the form of the file."""
        self.problems.extend(self._problem(trouble.mark, trouble.what, trouble.todo) for trouble in troubles)

    def broken(self, loc: Loc) -> bool:
        """Whether what stands at `loc` could not be read, so that its problem has been told already."""
        node, itself = self.root.at(loc)
        return itself and isinstance(node.value, Broken)

    def names(self, section: str) -> tuple[str, ...]:
        """All names a section defines, those with problems too, but none that looks like a real key."""
        node, itself = self.root.at((section,))
        names = node.value if itself and isinstance(node.value, dict) else ()
        return tuple(name for name in names if not names_nothing(name))

    def line(self, section: str) -> int:
        """The line of a section's key; 0 where the page has no such section."""
        node, itself = self.root.at((section,))
        return (node.key or node.mark).line if itself else 0

    def rule(self, loc: Loc) -> Rule:
        """The entry at `loc`, to be cited; a named one with its name."""
        node, _ = self.root.at(loc)
        text = flow(_shown(node.plain()))
        if isinstance(loc[-1], str):
            text = flow({loc[-1]: _shown(node.plain())})[1:-1]
        return Rule(os.path.basename(self.file), (node.key or node.mark).line, text)

    def _problem(self, mark: Mark, what: str, todo: str) -> Problem:
        return Problem(self.file, mark.line, mark.column, what, todo)


def _shown(value: object, key: str = "") -> object:
    if isinstance(value, dict):
        return {name: _shown(item, name) for name, item in value.items()}
    return "***" if key in _HIDDEN else value
