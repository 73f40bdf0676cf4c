"""What is signed: the end of a chain, as a `checkpoint` record in the file and as the head beside it.

A statement is lines of ASCII, one fact a line, so that `printf` can make one:

    keyswap-audit-checkpoint-v1            keyswap-audit-head-v1
    NAME (of the log, without directory)   NAME
    SEQ  (of the record before this one)   SEQ
    HASH (of the record before: `prev`)    HASH
                                           TS
                                           open | closed

An older log with its older head in place of the newer ones is not noticed by any signature: whoever must rule that out
keeps the last seq and hash that `verify` prints somewhere else.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from keyswap.audit.chain import Link
from keyswap.audit.names import failed, head_path
from keyswap.audit.signer import Signer, Verifier

_FULL = "free disk space or look at the rights of the directory; releases are refused until then"


@dataclass(frozen=True, slots=True)
class Head:
    """The end of one chain as its writer last stated it; at most about 100 ms old while records are written."""

    file: str
    link: Link
    ts: str
    closed: bool
    """The writer stopped here in good order: nothing may follow before the next start."""
    key: str
    sig: str

    def statement(self) -> bytes:
        """The bytes that are signed."""
        state = "closed" if self.closed else "open"
        return _statement("head", self.file, str(self.link.seq), self.link.hash, self.ts, state)

    def valid(self, verifier: Verifier, path: Path) -> bool:
        """Whether `verifier`'s key signed this for the log at `path`."""
        return self.file == path.name and self.key == verifier.key_id and verifier.valid(self.statement(), self.sig)


def checkpoint_statement(name: str, link: Link) -> bytes:
    """The bytes that the checkpoint after `link` signs, in the log of that file name."""
    return _statement("checkpoint", name, str(link.seq), link.hash)


def read_head(path: Path) -> Head | None:
    """The head of the log at `path`, its signature not yet looked at; None where there is none that can be read."""
    try:
        text = head_path(path).read_bytes()[:4096]
        stated = json.loads(text)
        link = Link(_as(int, stated["seq"]), _as(str, stated["hash"]))
        names = (_as(str, stated["file"]), _as(str, stated["ts"]), _as(str, stated["key"]), _as(str, stated["sig"]))
        return Head(names[0], link, names[1], _as(bool, stated["closed"]), names[2], names[3])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise failed("read", head_path(path), error, "look at its rights") from None
    except (ValueError, KeyError, TypeError):
        return None


def write_head(path: Path, signer: Signer, link: Link, ts: str, *, closed: bool, durable: bool) -> None:
    """Replace the head of the log at `path`; whole at every moment. AuditError where that fails.

    `durable` makes it survive a power loss. Blocks.
    """
    unsigned = Head(path.name, link, ts, closed, signer.key_id, "")
    stated = {
        "v": 1, "file": path.name, "seq": link.seq, "hash": link.hash, "ts": ts, "closed": closed,
        "key": signer.key_id, "sig": signer.sign(unsigned.statement()),
    }  # fmt: skip
    try:
        _replace(head_path(path), json.dumps(stated).encode() + b"\n", durable=durable)
    except OSError as error:
        raise failed("replace", head_path(path), error, _FULL) from None


def sync_directory(path: Path) -> None:
    """Make the names in `path`'s directory survive a power loss. OSError where that fails."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes, *, durable: bool) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    os.rename(temporary, path)
    if durable:
        sync_directory(path)


def _statement(kind: str, *facts: str) -> bytes:
    return "".join(f"{line}\n" for line in (f"keyswap-audit-{kind}-v1", *facts)).encode("utf-8", "backslashreplace")


def _as[T](kind: type[T], value: object) -> T:
    if type(value) is not kind:
        raise TypeError(kind.__name__)
    return value
