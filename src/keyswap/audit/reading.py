"""Reading a log that may be in use."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from keyswap.audit.names import failed, parts
from keyswap.audit.record import MAX_LINE
from keyswap.errors import AuditError

_ATTEMPTS = 10


def open_parts(path: Path, stack: ExitStack) -> list[tuple[Path, BinaryIO]]:
    """All files of a chain in order, as they were at one moment, however its writer rotates meanwhile.

    `stack` closes them. AuditError where one cannot be read.
    """
    for _ in range(_ATTEMPTS):
        names = parts(path)
        try:
            files: list[tuple[Path, BinaryIO]] = [(name, stack.enter_context(name.open("rb"))) for name in names]
        except FileNotFoundError:
            continue
        except OSError as error:
            raise failed("read", path, error, "look at its rights") from None
        if parts(path) == names:
            return files
    raise AuditError(f"the files of {path} change faster than they can be listed", "try again")


def lines(handle: BinaryIO) -> Iterator[bytes]:
    """The lines from where the file stands, each with its end; of one longer than any record the first part only."""
    while text := handle.readline(MAX_LINE + 1):
        rest = text
        while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
            rest = handle.readline(MAX_LINE + 1)
        yield text
