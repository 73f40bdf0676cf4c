"""The files of an audit, for a log called NAME:

NAME                      the records being written; the chain of worker 0
NAME.<UTC time>-<seq>     a rotated file, and the seq of its last record
NAME.head                 the signed end of the chain
NAME.lock                 held by the process that writes
NAME.torn-<UTC time>      what a crash left of a last line
NAME.<n>.jsonl            the log of worker n > 0, with the same files beside it
"""

import errno
import os
import re
from pathlib import Path

from keyswap.errors import AuditError

_ROTATED = re.compile(r"\.\d{8}T\d{6}Z-(\d+)")
_WORKER = re.compile(r"\.([1-9]\d*)\.jsonl(?:\.head|\.\d{8}T\d{6}Z-\d+)?")


def worker_path(path: Path, worker: int) -> Path:
    """The log of one worker."""
    return path.with_name(f"{path.name}.{worker}.jsonl") if worker else path


def head_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.head")


def lock_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def rotated_path(path: Path, ts: str, seq: int) -> Path:
    """`ts` as in a record; `seq` of the last record in the file."""
    return path.with_name(f"{path.name}.{_compact(ts)[:15]}Z-{seq}")


def torn_path(path: Path, ts: str) -> Path:
    return path.with_name(f"{path.name}.torn-{_compact(ts)}")


def parts(path: Path) -> tuple[Path, ...]:
    """The files of one chain in the order of their records: the rotated ones, then NAME. Only what exists."""
    numbered: list[tuple[int, str]] = []
    for name in _listing(path):
        match = _ROTATED.fullmatch(name, len(path.name)) if name.startswith(path.name) else None
        if match:
            numbered.append((int(match[1]), name))
    rotated = tuple(path.with_name(name) for _, name in sorted(numbered))
    return (*rotated, path) if path.exists() else rotated


def workers(path: Path) -> tuple[int, ...]:
    """The numbers of the workers beside 0 that left a log, a rotated file or a head, in order."""
    names = (name[len(path.name) :] for name in _listing(path) if name.startswith(path.name))
    return tuple(sorted({int(match[1]) for match in map(_WORKER.fullmatch, names) if match}))


def failed(did: str, path: Path, error: OSError, todo: str) -> AuditError:
    """An OSError in words of our own: the file, and the name of the errno (`ENOSPC`)."""
    return AuditError(f"cannot {did} {path} ({errno.errorcode.get(error.errno or 0, 'no errno')})", todo)


def _compact(ts: str) -> str:
    return ts.replace("-", "").replace(":", "")


def _listing(path: Path) -> list[str]:
    try:
        return os.listdir(path.parent)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise failed("list", path.parent, error, "look at its rights") from None
