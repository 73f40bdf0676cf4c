"""The files of an authority: written whole or not at all, read only where nobody else could have touched them (S41)."""

import os
import stat
import tempfile
from pathlib import Path

from keyswap.errors import CertificateError
from keyswap.files import rights_problem

PRIVATE = 0o600
PUBLIC = 0o644
DIRECTORY = 0o700
LARGEST = 1 << 20
"""Bytes. The bundle of all public roots is a quarter of this."""

# What a clone's certs/ holds before an authority is made in it.
_HARMLESS = frozenset({"README.md", ".gitignore"})


def make_directory(path: Path) -> None:
    """Make the directory, 0700. One that exists is closed to others, unless it plainly serves something else too."""
    try:
        path.mkdir(mode=DIRECTORY, parents=True, exist_ok=True)
        is_open = stat.S_IMODE(path.stat().st_mode) & 0o077
        if is_open and any(entry.name not in _HARMLESS for entry in path.iterdir()):
            raise CertificateError(
                f"{path} holds other files and is open to other users", f"chmod 700 {path}, or name an empty directory"
            )
        path.chmod(DIRECTORY)
    except OSError as error:
        raise _failed("make", path, error) from None


def exists(path: Path) -> bool:
    """Whether there is such a file; raises CertificateError where that cannot be known."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _failed("read", path, error) from None
    return True


def read(path: Path, *, private: bool) -> bytes:
    """The file's bytes, after its rights were checked. Raises CertificateError.

    A private file is its owner's alone; no file here, nor the directory it is in, may be written by others (S43).
    """
    try:
        with path.open("rb") as file:
            _check_rights(path, os.fstat(file.fileno()), private=private)
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise _failed("read", path, error) from None
    if len(data) > LARGEST:
        raise CertificateError(f"{path} is larger than {LARGEST} bytes")
    return data


def write(path: Path, data: bytes, mode: int, *, new: bool = False) -> None:
    """Put the file in place in one step; with `new`, only where there is none. Raises CertificateError."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _failed("write", path, error) from None
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _publish(temporary, path, new=new)
    except FileExistsError:
        raise CertificateError(f"{path} exists, and nothing was changed", "keyswap ca rotate replaces it") from None
    except OSError as error:
        raise _failed("write", path, error) from None
    finally:
        Path(temporary).unlink(missing_ok=True)


def _publish(temporary: str, path: Path, *, new: bool) -> None:
    if new:
        os.link(temporary, path)  # unlike a rename, it fails where the name is taken
    else:
        os.replace(temporary, path)


def _check_rights(path: Path, status: os.stat_result, *, private: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise CertificateError(f"{path} is not a regular file")
    problem = rights_problem(path)
    if problem is not None:
        raise CertificateError(problem, "chmod go-w it")
    if private and status.st_mode & 0o077:
        raise CertificateError(f"other users can read the key in {path}", f"chmod 600 {path}")
    me = os.geteuid()
    if me != 0 and status.st_uid not in (0, me):  # root may work on an admin's own checkout
        raise CertificateError(f"{path} belongs to another user", "chown it to the user that runs keyswap")


def _failed(verb: str, path: Path, error: OSError) -> CertificateError:
    return CertificateError(f"cannot {verb} {path}", os.strerror(error.errno or 0).lower())
