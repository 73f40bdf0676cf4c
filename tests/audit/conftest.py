"""A real log in a directory of its own, with a clock that the test moves."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from keyswap.audit.names import parts
from keyswap.audit.verify import Report, verify
from keyswap.audit.writer import AuditWriter
from keyswap.errors import AuditError


class Clock:
    """Unix seconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.now = 1_763_728_245.123456

    def __call__(self) -> float:
        return self.now


class Log:
    """A log named `audit.jsonl`, its writers and its verdict."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "audit.jsonl"
        self.head = directory / "audit.jsonl.head"
        self.clock = Clock()
        self.writers: list[AuditWriter] = []

    def open(self, **settings: object) -> AuditWriter:
        settings = {"clock": self.clock, "node": "node-1"} | settings
        writer = AuditWriter(self.path, state_dir=self.directory, **settings)  # type: ignore[arg-type]
        self.writers.append(writer)
        return writer

    def filled(self, records: int = 6, **settings: object) -> list[Path]:
        """Write records (a checkpoint and a rotation among them where asked), close, and name the files."""
        writer = self.open(**settings)
        for number in range(records):
            writer.write("request", id=f"r{number}", host="api.demo.example", path="/v1/items")
            self.clock.now += 0.01
        writer.close()
        return self.files()

    def files(self) -> list[Path]:
        return list(parts(self.path))

    def crash(self, writer: AuditWriter) -> None:
        """What kill -9 does: descriptors are closed, nothing is written."""
        writer._timer.cancel()
        writer._file.close()
        os.close(writer._lock)
        writer._closed = True
        writer._group.close()

    def verify(self) -> Report:
        return verify(self.path, state_dir=self.directory)

    def kinds(self) -> list[tuple[str, str, int, int]]:
        return [(flaw.kind, flaw.file, flaw.line, flaw.seq) for flaw in self.verify().flaws]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path)
    yield log
    for writer in log.writers:
        with suppress(AuditError):
            writer.close()
