"""Places in a file, and what is wrong there."""

from typing import NamedTuple


class Mark(NamedTuple):
    """A place in a file, counted from 1; the column in characters."""

    line: int
    column: int


class Trouble(Exception):
    """Something at one place has no safe meaning. It becomes a `Problem` once the file's name is known."""

    def __init__(self, mark: Mark, what: str, todo: str) -> None:
        super().__init__(what, todo)
        self.mark = mark
        self.what = what
        self.todo = todo
