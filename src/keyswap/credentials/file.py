"""A value from a file, which may be replaced at any time.

A key rotates in one of three ways: a new file is renamed over the old one, a symlink is pointed elsewhere (Kubernetes'
`..data`), or the file is emptied and written in place. Only the last can be caught half done. So a file that was
touched a moment ago is told to be unsettled, and whoever has an earlier value waits for it to settle.
"""

import os
import stat
import time
from collections.abc import Callable

from keyswap.credentials.interface import Absent, Stamp
from keyswap.errors import CredentialError
from keyswap.files import rights_problem

MOST_BYTES = 64 * 1024
"""More than any key; a larger file is a mistake."""
SETTLE = 0.05
"""Seconds after the last write until a file counts as settled. More than a tick of the kernel's clock (10 ms at most),
below which two writes bear the same time."""


class FileSource:
    """The file at `path`, absolute. `wall` tells Unix seconds, to compare with the file's own times."""

    __slots__ = ("_path", "_wall")

    def __init__(self, path: str, wall: Callable[[], float] = time.time) -> None:
        if not os.path.isabs(path) or "\0" in path:
            # Not quoted: somebody may have written the key itself here.
            raise CredentialError("what follows file: is not an absolute path", "write file:/absolute/path")
        self._path = path
        self._wall = wall

    @property
    def name(self) -> str:
        return f"file:{self._path}"

    def __repr__(self) -> str:
        return f"FileSource({self._path!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileSource) and self._path == other._path

    def __hash__(self) -> int:
        return hash(self._path)

    def stamp(self) -> Stamp:
        """Where the path leads and when that file was last changed; a rename or a chmod changes it, too."""
        try:
            status = os.stat(self._path)
        except OSError as error:
            raise self._unreadable(error) from None
        age = self._wall() - max(status.st_mtime, status.st_ctime)
        marks = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        return Stamp(marks, settled=not 0 <= age < SETTLE)

    def read(self) -> bytes:
        """The whole file, if only its owner can have written it (S43)."""
        self.stamp()
        problem = rights_problem(self._path)
        if problem:
            raise CredentialError(problem, "let only the file's owner write the file and its directory")
        try:
            value = _content(self._path)
        except OSError as error:
            raise self._unreadable(error) from None
        if value is None:
            raise CredentialError(f"{self._path} is not a regular file", "name a file that holds the key")
        if len(value) <= MOST_BYTES:
            return value
        del value  # not for a traceback that shows locals
        raise CredentialError(f"{self._path} is larger than {MOST_BYTES} bytes", "name a file that holds the key alone")

    def _unreadable(self, error: OSError) -> CredentialError:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return Absent(f"{self._path} does not exist", "write the key there")
        return CredentialError(f"{self._path} cannot be read ({type(error).__name__})", "let this process read it")


def _content(path: str) -> bytes | None:
    # O_NONBLOCK: a named pipe in the file's place must not stop us.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MOST_BYTES + 1)
    finally:
        os.close(descriptor)
