"""The state directory: private to one user, with the one key everything else is derived from."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from keyswap.errors import StoreError
from keyswap.files import private_problem

KEY_FILE = "key"
KEY_BYTES = 32

PLACEHOLDERS = "placeholders"
"""The label of the key that placeholders are derived with."""
FINGERPRINTS = "fingerprints"
"""The label of the key that fingerprints of secrets are made with."""


class State:
    """The state directory at `path`, opened. Prints without its key."""

    __slots__ = ("_key", "path")

    def __init__(self, path: Path, key: bytes) -> None:
        self.path = path
        self._key = key

    @classmethod
    def open(cls, path: str | Path, create: bool = True) -> "State":
        """Open the state directory; `create` makes what is missing of it (directory 0700, key 0600).

        Raises StoreError if it is missing, belongs to another user, or gives anybody else any right.
        """
        directory = Path(path).absolute()
        if create:
            _make_directory(directory)
        _refuse(directory, f"make it this user's own and chmod 700 {directory}, or name another with --state-dir")
        if create and not (directory / KEY_FILE).exists():
            _make_key(directory)
        return cls(directory, _read_key(directory / KEY_FILE))

    def subkey(self, label: str) -> bytes:
        """32 bytes that belong to `label` alone; the same in every process on this state.

        HKDF-Expand (RFC 5869, section 2.3), one block; the key is uniformly random, so there is nothing to extract.
        """
        return hmac.digest(self._key, b"keyswap " + label.encode() + b"\x01", hashlib.sha256)

    def __repr__(self) -> str:
        return f"State({str(self.path)!r})"


def _refuse(path: Path, todo: str) -> None:
    problem = private_problem(path)
    if problem:
        raise StoreError(problem, todo)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be made ({type(error).__name__})", "name another with --state-dir") from None


def _make_key(directory: Path) -> None:
    # Written whole under another name and then linked: two processes that start at once agree on whichever link was
    # first, and none of them ever reads half a key.
    draft = directory / f".key-{secrets.token_hex(8)}"
    try:
        _write_synced(draft, secrets.token_bytes(KEY_BYTES))
        try:
            os.link(draft, directory / KEY_FILE)
        except FileExistsError:
            return
        finally:
            draft.unlink()
        _sync_directory(directory)
    except OSError as error:
        what = f"no key can be made in {directory} ({type(error).__name__})"
        raise StoreError(what, "see that the disk has room and its file system knows hard links") from None


def _write_synced(path: Path, value: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(value)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read_key(path: Path) -> bytes:
    _refuse(path, f"make it this user's own and chmod 600 {path}")
    try:
        with path.open("rb") as file:
            key = file.read(KEY_BYTES + 1)
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({type(error).__name__})") from None
    if len(key) == KEY_BYTES:
        return key
    del key
    raise StoreError(f"{path} is damaged", "restore it; a new one changes every placeholder of a standing session")
