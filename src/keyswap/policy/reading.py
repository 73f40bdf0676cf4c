"""Reading a file that this process trusts: the policy, and what it names."""

import os
import stat

from keyswap.files import rights_problem


class Unreadable(Exception):
    """A file cannot be read, or not be trusted. `what` is a clause that follows the file's name."""

    def __init__(self, what: str, todo: str, *, missing: bool = False) -> None:
        super().__init__(what, todo)
        self.what = what
        self.todo = todo
        self.missing = missing


def read_trusted(path: str, limit: int) -> bytes:
    """The bytes of a regular file that nobody but its owner can change (S43), at most `limit` of them.

    Raises Unreadable.
    """
    try:
        file = open(path, "rb", opener=_opener)  # noqa: SIM115  # closed below, after errors of opening are told apart
    except FileNotFoundError:
        raise Unreadable("does not exist", "check the path", missing=True) from None
    except (OSError, ValueError) as error:
        raise Unreadable(f"cannot be opened ({type(error).__name__})", "check the path and its rights") from None
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise Unreadable("is not a regular file", "name a file")
        problem = rights_problem(path)
        if problem is not None:
            raise Unreadable(f"is not safe from others: {problem}", "chmod go-w what is named there")
        try:
            raw = file.read(limit + 1)
        except OSError as error:
            raise Unreadable(f"cannot be read ({type(error).__name__})", "check the disk") from None
    if len(raw) > limit:
        raise Unreadable(f"is larger than {limit} bytes", "name a smaller file")
    return raw


def _opener(path: str, flags: int) -> int:
    # Without O_NONBLOCK, opening a named pipe would wait for its writer.
    return os.open(path, flags | os.O_NONBLOCK)
