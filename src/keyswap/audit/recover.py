"""Where a log that was left continues: at a start, and after its file could not be written.

1. Bytes after the last whole line, and lines with NUL bytes (a power loss leaves both), move to `NAME.torn-<time>`.
2. The last record must hash to what it states; so must each one after the record the head names, and they must follow
   that record. If not, the log was changed while nobody wrote it: AuditError, a person has to look.
3. A log that ends before its head lost records. It continues from the head, so that `verify` shows the gap for ever.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from keyswap.audit.chain import GENESIS, Line, Link, read_line
from keyswap.audit.file import LogFile
from keyswap.audit.names import failed, head_path, parts, torn_path
from keyswap.audit.record import MAX_LINE
from keyswap.errors import AuditError

_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about the end of the chain without reading it."""

    link: Link
    exact: bool
    """Nothing follows `link`: the last stop was in good order, or this process wrote it."""
    size: int | None = None
    """Bytes of NAME that this process wrote itself; what follows them is not part of the chain."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A log ready to be continued."""

    file: LogFile
    link: Link
    notes: tuple[str, ...]
    """What was found, for the `started` record."""


def recover(path: Path, known: Known | None, ts: str) -> Recovered:
    """Open the log at `path` and find what the next record continues. `known` is None where there is no head.

    Changes nothing but a torn tail. AuditError where the log cannot be continued.
    """
    with ExitStack() as undo:
        file = LogFile(path)
        undo.callback(file.close)
        try:
            notes = _drop_torn(file, known, ts)
            last = _last(file)
            link, told = _agree(file, last, known)
        except OSError as error:
            raise failed("recover", path, error, "free disk space or look at the rights of the directory") from None
        undo.pop_all()
    return Recovered(file, link, (*notes, *told))


def _drop_torn(file: LogFile, known: Known | None, ts: str) -> list[str]:
    whole = _whole(file)
    if known is not None and known.size is not None:
        whole = min(whole, known.size)
    torn = file.size - whole
    if not torn:
        return []
    target = torn_path(file.path, ts)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as copy:
        for start in range(whole, file.size, _BLOCK):
            copy.write(file.read(start, min(_BLOCK, file.size - start)))
        copy.flush()
        os.fsync(copy.fileno())
    file.cut(whole)
    return [f"{torn} bytes of a torn line were moved to {target.name}"]


def _whole(file: LogFile) -> int:
    end = _line_start(file, file.size)
    for start, line in _lines_back(file, end):
        if b"\0" not in line:
            break
        end = start
    return end


def _last(file: LogFile) -> Line | None:
    """The last record of the chain, in NAME or in the youngest rotated file that has one."""
    for path in reversed(parts(file.path)):
        part = file if path == file.path else LogFile(path)
        try:
            for _, line in _lines_back(part, part.size):
                return _sound(line, path)
        finally:
            if part is not file:
                part.close()
    return None


def _agree(file: LogFile, last: Line | None, known: Known | None) -> tuple[Link, list[str]]:
    end = last.link if last else GENESIS
    if known is None:
        what = f"{head_path(file.path).name} is missing: whether the log lost its end cannot be told"
        return end, ([what] if last else [])
    missing = known.link.seq - end.seq
    if missing > 0:
        return known.link, [f"{missing} records up to {known.link.seq} are missing at the end of the log"]
    if missing < 0 and known.exact:
        raise _changed(file.path, f"{-missing} records were added after record {known.link.seq}, where it was closed")
    if missing == 0 and end != known.link:
        raise _changed(file.path, f"record {end.seq} is not the one its head states")
    if missing == 0:
        return end, []
    _follow_back(file, known.link)
    return end, [f"{-missing} records after {known.link.seq} had not been signed yet"]


def _follow_back(file: LogFile, link: Link) -> None:
    """Each record of NAME after `link` must be sound and lead to the next; their first may stand in a rotated file."""
    later: Line | None = None
    for _, text in _lines_back(file, file.size):
        line = _sound(text, file.path)
        if later is not None and not later.continues(line.link):
            raise _changed(file.path, f"record {later.seq} does not continue record {line.seq}")
        if line.continues(link):
            return
        if line.seq <= link.seq:
            raise _changed(file.path, f"record {link.seq} is not the one its head states")
        later = line


def _sound(text: bytes, path: Path) -> Line:
    line = read_line(text)
    if line is None or not line.sound:
        raise _changed(path, "its last records are not as they were written")
    return line


def _changed(path: Path, what: str) -> AuditError:
    todo = f"run `keyswap audit verify`; to go on, move {path.name} and its rotated files away, keep {path.name}.head"
    return AuditError(f"{path} was changed while no keyswap wrote it: {what}", todo)


def _lines_back(file: LogFile, end: int) -> Iterator[tuple[int, bytes]]:
    """Start and text of each line before `end` (a line end), the last one first. AuditError for an endless line."""
    while end > 0:
        start = _line_start(file, end - 1)
        if end - start > MAX_LINE:
            raise _changed(file.path, "it holds a line that is longer than any record")
        yield start, file.read(start, end - start)
        end = start


def _line_start(file: LogFile, before: int) -> int:
    """The offset after the last line end before the offset `before`."""
    while before > 0:
        start = max(0, before - _BLOCK)
        found = file.read(start, before - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        before = start
    return 0
