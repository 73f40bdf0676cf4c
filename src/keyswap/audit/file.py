"""One open log file: whole lines are appended to it, or nothing is."""

import fcntl
import os
import stat
from pathlib import Path

from keyswap.audit.names import failed, lock_path
from keyswap.errors import AuditError

_FULL = "free disk space or repair the disk; releases are refused until then"


class LogFile:
    """An append-only file that remembers how long it is, so that half a line can be taken back."""

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        """Open or make the file, 0600; `fresh`: it must not exist. AuditError where it is not safe to write to."""
        self.path, self._name = path, str(path)
        self.torn = False
        """The file may end in half a line: nothing may be appended before it was recovered."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            self._fd = os.open(path, flags | (os.O_EXCL if fresh else 0), 0o600)
        except OSError as error:
            raise failed("open", path, error, "the directory must exist and be ours; the log must be no link") from None
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            self.close()
            raise AuditError(f"{path} is no regular file that only its owner can write", f"chmod 600 {path}")
        self._identity = (status.st_dev, status.st_ino)
        self.size = status.st_size
        """Bytes up to the end of the last whole line."""

    def intact(self) -> bool:
        """Whether NAME is still this file and still ends where we left it (nobody moved, cut or wrote it)."""
        try:
            status = os.stat(self._name, follow_symlinks=False)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity and status.st_size == self.size

    def append(self, line: bytes) -> None:
        """Write `line` in one call. AuditError, and no byte of it in the file, where that fails (S33).

        If the bytes of a failed write cannot be taken back, `torn` is set.
        """
        try:
            written = os.write(self._fd, line)
        except OSError as error:
            self._take_back()
            raise failed("write to", self.path, error, _FULL) from None
        if written != len(line):
            self._take_back()
            raise AuditError(f"only part of a record could be written to {self.path}", _FULL)
        self.size += written

    def read(self, start: int, length: int) -> bytes:
        """At most `length` bytes from `start`."""
        return os.pread(self._fd, length, start)

    def cut(self, size: int) -> None:
        """Drop everything after the first `size` bytes. OSError where that fails."""
        os.ftruncate(self._fd, size)
        self.size = size

    def sync(self) -> None:
        """Wait until the file's bytes survive a power loss; blocks. AuditError where that fails."""
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise failed("sync", self.path, error, _FULL) from None

    def duplicate(self) -> int:
        """Another descriptor of this file, for a thread that syncs it while a rotation closes ours."""
        return os.dup(self._fd)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._fd, self.size)
        except OSError:
            self.torn = True


def lock(path: Path) -> int:
    """A descriptor that holds the log at `path` for this process until it is closed, or the process ends.

    AuditError where another process holds it: two writers would tear the chain apart. The lock has a file of its own,
    since the log itself is renamed at each rotation.
    """
    try:
        descriptor = os.open(lock_path(path), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise failed("open", lock_path(path), error, "the directory must exist and be writable") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise AuditError(
            f"another process writes {path}", "stop it, or give this one a state directory or audit path of its own"
        ) from None
    return descriptor
