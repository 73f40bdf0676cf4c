"""The audit for people."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from keyswap.audit.show import Filter, describe, follow, read
from keyswap.errors import AuditError

from .conftest import Log


def ids(records: Iterator[Any]) -> list[str]:
    return [record["id"] for record in records if "id" in record]


@pytest.fixture
def filled(log: Log) -> Log:
    writer = log.open()
    for number, (session, host, event) in enumerate(
        [("a", "x.example.com", "request"), ("b", "x.example.com", "refused"), ("a", "y.example.com", "response")]
    ):
        log.clock.now += 1
        writer.write(event, id=f"r{number}", session={"id": session}, host=host)
    writer.write("started")
    writer.close()
    return log


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), ["r0", "r1", "r2"]),
        (Filter(session="a"), ["r0", "r2"]),
        (Filter(host="x.example.com"), ["r0", "r1"]),
        (Filter(event="refused"), ["r1"]),
        (Filter(id="r2"), ["r2"]),
        (Filter(session="a", host="x.example.com"), ["r0"]),
        (Filter(session="c"), []),
    ],
)
def test_S46_the_records_that_match_are_read(filled: Log, wanted: Filter, found: list[str]) -> None:
    assert ids(read(filled.path, wanted)) == found


def test_records_since_a_time_are_read(filled: Log) -> None:
    assert ids(read(filled.path, Filter(since=filled.clock.now - 1))) == ["r1", "r2"]
    assert ids(read(filled.path, Filter(since=filled.clock.now + 1))) == []


def test_workers_and_rotated_files_are_read_by_time(log: Log) -> None:
    writers = [log.open(worker=worker, rotate=400) for worker in (0, 1, 2)]
    for number in range(12):
        log.clock.now += 0.5
        writers[number % 3].write("request", id=f"r{number}")
    assert len(log.files()) > 1
    assert ids(read(str(log.path))) == [f"r{number}" for number in range(12)]


def test_a_line_that_is_no_record_is_passed_over(filled: Log) -> None:
    text = filled.path.read_bytes().splitlines(keepends=True)
    text[1:2] = [b"junk\n", b"[1]\n", b"[" * 100_000 + b"\n"]
    filled.path.write_bytes(b"".join(text))
    assert ids(read(filled.path)) == ["r0", "r2"]
    assert list(read(filled.directory / "none")) == []


class Steps:
    """Runs one thing at each pause of a tail, and ends it after the last."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)

    def __call__(self) -> None:
        if not self.steps:
            raise StopFollowing
        self.steps.pop(0)()


class StopFollowing(Exception):
    pass


def followed(log: Log, *steps: Any, wanted: Filter | None = None) -> list[str]:
    records = follow(log.path, wanted or Filter(), pause=Steps(*steps))
    found: list[str] = []
    with suppress(StopFollowing):
        found.extend(record["id"] for record in records if "id" in record)
    return found


def test_a_tail_shows_what_comes_and_not_what_was_there(filled: Log) -> None:
    writer = filled.open()
    assert followed(
        filled,
        lambda: writer.write("request", id="new"),
        lambda: None,
        lambda: (writer.write("refused", id="n2"), writer.write("request", id="n3")),
        wanted=Filter(event="request"),
    ) == ["new", "n3"]


def test_a_tail_survives_rotations(log: Log) -> None:
    writer = log.open()

    def many() -> None:
        for number in range(6):
            writer.write("request", id=f"m{number}")
            if number % 2:
                writer._rotate()

    assert followed(log, lambda: writer.write("request", id="a"), many, lambda: writer.write("request", id="z")) == [
        "a", "m0", "m1", "m2", "m3", "m4", "m5", "z",
    ]  # fmt: skip


def test_a_tail_waits_for_a_log_and_sees_workers_that_start_later(log: Log) -> None:
    opened: list[Any] = []

    def start(worker: int) -> None:
        opened.append(log.open(worker=worker))
        opened[-1].write("request", id=f"w{worker}")

    assert followed(log, lambda: start(0), lambda: start(1), lambda: opened[1].write("request", id="w1b")) == [
        "w0",
        "w1",
        "w1b",
    ]


def test_a_tail_does_not_show_half_a_line(log: Log) -> None:
    writer = log.open()
    writer.write("request", id="a")
    writer.close()
    text = log.path.read_bytes().splitlines(keepends=True)

    def add(part: bytes) -> None:
        with log.path.open("ab") as file:
            file.write(part)

    assert followed(
        log, lambda: add(text[0][:30]), lambda: None, lambda: add(text[0][30:]), lambda: add(b"junk\n")
    ) == ["a"]


def test_a_tail_goes_on_after_its_file_was_removed(log: Log) -> None:
    writer = log.open()
    writer.write("request", id="a")
    assert followed(log, log.path.unlink, lambda: writer.write("request", id="b")) == ["b"]


def test_a_tail_lets_go_of_its_files(filled: Log) -> None:
    before = len(os.listdir("/proc/self/fd"))
    followed(filled)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_log_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(AuditError, match="EISDIR"):
        next(follow(tmp_path / "audit.jsonl"))


def test_a_tail_that_races_with_a_rotation_misses_nothing(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = log.open()
    writer.write("request", id="a")
    real = Path.open
    races: list[str] = []

    def race(path: Path, *args: Any, **rest: Any) -> Any:
        if "c" in races:
            races.clear()
            writer.write("request", id="d")
            writer._rotate()
            raise FileNotFoundError(2, "")
        if "b" in races:
            races[:] = ["c"]
            writer.write("request", id="c")
            writer._rotate()
        return real(path, *args, **rest)

    def rotate() -> None:
        writer.write("request", id="b")
        writer._rotate()
        races.append("b")

    monkeypatch.setattr(Path, "open", race)
    assert followed(log, rotate, lambda: writer.write("request", id="e")) == ["b", "c", "d", "e"]


REQUEST = {
    "ts": "2025-11-21T12:30:45.123456Z", "event": "request", "id": "r1", "session": {"id": "ci"}, "method": "GET",
    "scheme": "https", "host": "api.demo.example", "port": 443, "path": "/v1/items", "query_keys": ["page", "q"],
    "decision": {"result": "allow", "reason": "listed"},
    "swaps": [{"credential": "demo", "version": 2, "place": "header:authorization"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (
            REQUEST,
            "2025-11-21 12:30:45.123 request ci GET https://api.demo.example/v1/items?page&q allow "
            "swapped demo v2 in header:authorization r1",
        ),
        (
            {
                "event": "refused", "method": "CONNECT", "scheme": "https", "host": "2001:db8::1", "port": 8443,
                "decision": {"result": "refuse", "code": "port_not_listed", "reason": "8443 is not listed"},
            },
            "refused CONNECT https://[2001:db8::1]:8443 port_not_listed 8443 is not listed",
        ),
        (
            {"event": "response", "upstream": {"status": 200, "error": "reset"}, "ms": {"total": 12.5}, "scrubbed": 2},
            "response 200 reset 12.5 ms scrubbed 2",
        ),
        ({"event": "started", "notes": ["one", "two"]}, "started one; two"),
        ({}, ""),
    ],
)  # fmt: skip
def test_a_record_is_one_line_of_text(record: dict[str, object], text: str) -> None:
    assert describe(record) == text


def test_S42_no_character_of_a_client_moves_a_terminal() -> None:
    hostile = "\x1b[2Ja\r\nb\u202ec\u2028"
    shown = describe({**REQUEST, "path": hostile, "host": hostile, "id": hostile, "method": "G\x07"})
    assert shown.isprintable()
    assert "\\x1b[2Ja\\r\\nb\\u202ec\\u2028" in shown


def test_a_record_of_the_writer_is_described(filled: Log) -> None:
    shown = [describe(record) for record in read(filled.path)]
    assert shown[0] == "2025-11-21 12:30:46.123 request a x.example.com r0"
    assert json.loads(filled.path.read_text().splitlines()[0])["id"] == "r0"
