"""The audit for people: records that match, as they come, and each as one line of text.

Nothing is verified here: a line that is no record is passed over, `verify` tells about it.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from heapq import merge
from pathlib import Path
from typing import Any, BinaryIO

from keyswap.audit.names import failed, parts, worker_path, workers
from keyswap.audit.reading import lines, open_parts
from keyswap.audit.record import MAX_LINE, timestamp

Record = Mapping[str, Any]
_POLL = 0.2
"""Seconds between two looks at a log that is followed."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records are shown; what is None is not asked."""

    session: str | None = None
    host: str | None = None
    event: str | None = None
    id: str | None = None
    """Of a request: its start and its end have the same."""
    since: float | None = None
    """Unix seconds."""

    def matches(self, record: Record) -> bool:
        """Whether a record has all that is asked for."""
        session = record.get("session")
        return (
            self.session in (None, session.get("id") if isinstance(session, dict) else "")
            and self.host in (None, record.get("host", ""))
            and self.event in (None, record.get("event", ""))
            and self.id in (None, record.get("id", ""))
            and (self.since is None or str(record.get("ts")) >= timestamp(self.since))
        )


_ALL = Filter()


def read(path: str | Path, wanted: Filter = _ALL) -> Iterator[Record]:
    """The records of a log, its rotated files and its workers, by time. AuditError where one cannot be read."""
    base = Path(path)
    chains = (_chain(worker_path(base, number)) for number in (0, *workers(base)))
    return filter(wanted.matches, merge(*chains, key=lambda record: str(record.get("ts"))))


def follow(
    path: str | Path, wanted: Filter = _ALL, *, pause: Callable[[], None] = lambda: time.sleep(_POLL)
) -> Iterator[Record]:
    """Records as they are written from now on, over rotations and for workers that start later; never ends.

    `pause` is called between two looks and may raise to end it.
    """
    base = Path(path)
    with ExitStack() as stack:
        tails: dict[int, _Tail] = {}
        at_end = True
        while True:
            for number in (0, *workers(base)):
                if number not in tails:
                    tails[number] = _Tail(worker_path(base, number), at_end=at_end)
                    stack.callback(tails[number].close)
                yield from filter(wanted.matches, tails[number].poll())
            at_end = False
            pause()


def describe(record: Record) -> str:
    """One line of text for a person: time, event, what was asked, what came of it. No control characters.

    Text of a client is in it: a terminal shows it harmlessly, a markup language needs its own escaping.
    """
    words = [
        str(record.get("ts", ""))[:23].replace("T", " "),
        str(record.get("event", "")),
        _of(record, "session", "id"),
        str(record.get("method", "")),
        _address(record),
        *_outcome(record),
        *_details(record),
        str(record.get("id", "")),
    ]
    return " ".join(_printable(word) for word in words if word)


def _address(record: Record) -> str:
    host, scheme, port = str(record.get("host", "")), record.get("scheme"), record.get("port")
    if not host:
        return ""
    shown = f"[{host}]" if ":" in host else host
    usual = {"https": 443, "http": 80}.get(str(scheme))
    keys = record.get("query_keys") or ()
    query = "?" + "&".join(map(str, keys)) if keys else ""
    start = f"{scheme}://" if scheme else ""
    return f"{start}{shown}{'' if port in (None, usual) else f':{port}'}{record.get('path', '')}{query}"


def _outcome(record: Record) -> list[str]:
    swaps = record.get("swaps") or ()
    return [
        _of(record, "decision", "code") or _of(record, "decision", "result"),
        _of(record, "decision", "reason") if _of(record, "decision", "code") else "",
        *(f"swapped {swap.get('credential')} v{swap.get('version')} in {swap.get('place')}" for swap in swaps),
        _of(record, "upstream", "status"),
        _of(record, "upstream", "error"),
    ]


def _details(record: Record) -> list[str]:
    total, notes = _of(record, "ms", "total"), record.get("notes") or ()
    return [
        f"{total} ms" if total else "",
        f"scrubbed {record['scrubbed']}" if record.get("scrubbed") else "",
        "; ".join(map(str, notes)),
    ]


def _of(record: Record, name: str, key: str) -> str:
    inner = record.get(name)
    value = inner.get(key) if isinstance(inner, dict) else None
    return "" if value is None else str(value)


def _printable(text: str) -> str:
    # A record may hold any character that a client sent, escape sequences and right-to-left marks among them.
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _chain(path: Path) -> Iterator[Record]:
    with ExitStack() as stack:
        for _, handle in open_parts(path, stack):
            yield from filter(None, map(_record, lines(handle)))


def _record(text: bytes) -> Record | None:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


class _Tail:
    """Reads what is added to one chain."""

    def __init__(self, path: Path, *, at_end: bool) -> None:
        """`at_end`: what is there already is not read."""
        self._path = path
        self._handle = self._open(path)
        if self._handle is not None:
            self._handle.seek(0, os.SEEK_END if at_end else os.SEEK_SET)

    def poll(self) -> Iterator[Record]:
        """What was added since the last time."""
        yield from self._rest()
        if self._handle is not None and self._is(self._path):
            return
        # The old file may have grown between the last look and its rotation.
        yield from self._rest()
        while newer := self._newer():
            handle = self._open(newer[0])
            if handle is not None and self._newer() == newer:
                self.close()
                self._handle = handle
                yield from self._rest()
            elif handle is not None:
                # NAME was rotated before it was opened: this is a later file than the one listed.
                handle.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._handle is not None:
            self._handle.close()

    def _newer(self) -> tuple[Path, ...]:
        names = parts(self._path)
        here = next((at for at, path in enumerate(names) if self._is(path)), None)
        if here is not None:
            return names[here + 1 :]
        return names if self._handle is None else names[-1:]

    def _is(self, path: Path) -> bool:
        # The inode cannot be given to another file while this one is open.
        try:
            return self._handle is not None and os.path.samestat(os.fstat(self._handle.fileno()), os.stat(path))
        except FileNotFoundError:
            return False

    def _rest(self) -> Iterator[Record]:
        while self._handle is not None:
            start = self._handle.tell()
            text = self._handle.readline(MAX_LINE)
            if not text.endswith(b"\n") and len(text) < MAX_LINE:
                self._handle.seek(start)
                return
            record = _record(text)
            if record is not None:
                yield record

    @staticmethod
    def _open(path: Path) -> BinaryIO | None:
        try:
            return path.open("rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise failed("read", path, error, "look at its rights") from None
