"""Where a log that was left continues."""

import json
import os

import pytest

from keyswap.audit.chain import GENESIS, Link, append
from keyswap.audit.checkpoint import write_head
from keyswap.audit.record import MAX_LINE
from keyswap.audit.signer import Signer
from keyswap.errors import AuditError

from .conftest import Log


def reopened(log: Log) -> list[str]:
    """The notes of the next start, after which one more record is written and everything is closed."""
    writer = log.open()
    writer.write("started", notes=writer.notes)
    writer.close()
    return list(writer.notes)


def test_S34_a_clean_stop_leaves_nothing_to_tell(log: Log) -> None:
    log.filled()
    assert reopened(log) == []
    assert log.verify().ok
    assert log.verify().records == 9


def test_S34_after_kill_9_the_chain_goes_on(log: Log) -> None:
    writer = log.open()
    for _ in range(5):
        writer.write("request")
    log.crash(writer)
    assert log.verify().ok
    assert reopened(log) == ["5 records after 0 had not been signed yet"]
    assert log.verify().ok


def test_S34_a_torn_last_line_is_moved_away_and_told(log: Log) -> None:
    writer = log.open()
    writer.write("request")
    log.crash(writer)
    with log.path.open("ab") as file:
        file.write(b'{"v":1,"seq":2,"ev')
    assert log.verify().ok
    assert "the last line is torn (18 bytes)" in log.verify().notes[0]
    assert reopened(log)[0] == "18 bytes of a torn line were moved to audit.jsonl.torn-20251121T123045.123456Z"
    torn = log.directory / "audit.jsonl.torn-20251121T123045.123456Z"
    assert torn.read_bytes() == b'{"v":1,"seq":2,"ev'
    assert torn.stat().st_mode & 0o777 == 0o600
    assert log.verify().ok
    assert "torn" in log.path.read_text()


@pytest.mark.parametrize("tail", [b"\0" * 200_000, b'{"v":1,\0\0\0\0"}\n', b"\0" * 5000 + b"\n{", b"\0\n\0\n\0\n"])
def test_S34_what_a_power_loss_leaves_is_a_torn_line_too(log: Log, tail: bytes) -> None:
    writer = log.open()
    writer.write("request")
    log.crash(writer)
    with log.path.open("ab") as file:
        file.write(tail)
    assert reopened(log)[0].startswith(f"{len(tail)} bytes of a torn line")
    assert log.verify().ok


def test_S34_a_file_that_is_torn_from_its_first_byte_continues_the_rotated_one(log: Log) -> None:
    writer = log.open(rotate=1)
    writer.write("request")
    writer._rotate()
    log.crash(writer)
    log.path.write_bytes(b"\0\0\0")
    assert log.path.stat().st_size == 3
    reopened(log)
    assert log.verify().ok
    assert log.verify().chains[0].last.seq == 4


def test_S34_a_crash_within_a_rotation_is_repaired(log: Log) -> None:
    writer = log.open()
    writer.write("request")
    log.crash(writer)
    log.path.rename(log.directory / "audit.jsonl.20251121T123045Z-1")
    assert log.verify().ok
    reopened(log)
    assert log.verify().ok
    assert log.verify().chains[0].files == ("audit.jsonl.20251121T123045Z-1", "audit.jsonl")


def test_S45_a_log_that_lost_its_end_shows_the_gap_for_ever(log: Log) -> None:
    log.filled(5)
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:3]))
    assert reopened(log) == ["3 records up to 6 are missing at the end of the log"]
    assert log.kinds() == [("removed", "audit.jsonl", 4, 4)]
    assert "records 4 to 6 are missing before this line" in log.verify().flaws[0].what
    assert reopened(log) == []
    assert log.kinds() == [("removed", "audit.jsonl", 4, 4)]


def test_S45_a_crash_right_after_a_gap_is_no_obstacle(log: Log) -> None:
    log.filled(5)
    log.path.write_bytes(b"".join(log.path.read_bytes().splitlines(keepends=True)[:3]))
    writer = log.open()
    writer.write("request")
    writer.write("request")
    log.crash(writer)
    assert reopened(log) == ["2 records after 6 had not been signed yet"]
    assert log.kinds() == [("removed", "audit.jsonl", 4, 4)]


def test_S45_a_log_that_was_removed_shows_the_gap_for_ever(log: Log) -> None:
    log.filled(5)
    log.path.unlink()
    reopened(log)
    assert log.kinds() == [("removed", "audit.jsonl", 1, 1)]


def test_S45_a_missing_head_is_told(log: Log) -> None:
    log.filled(5)
    log.head.unlink()
    assert reopened(log) == ["audit.jsonl.head is missing: whether the log lost its end cannot be told"]
    assert log.verify().ok


def test_S45_a_log_whose_last_record_was_edited_is_not_continued(log: Log) -> None:
    log.filled(5)
    before = log.path.read_bytes()
    log.path.write_bytes(before.replace(b'"event":"checkpoint"', b'"event":"checkpoinT"'))
    with pytest.raises(AuditError, match="was changed while no keyswap wrote it: its last records are not as they"):
        log.open()
    log.path.write_bytes(before)
    assert reopened(log) == []


def test_S45_records_added_after_a_clean_stop_are_not_continued(log: Log) -> None:
    log.filled(5)
    writer = log.open()
    head = log.head.read_bytes()
    writer.write("request")
    writer.close()
    log.head.write_bytes(head)
    assert reopened(log)  # the head was open: a crash looks like this
    closed = log.head.read_bytes()
    writer = log.open()
    writer.write("request")
    writer.close()
    log.head.write_bytes(closed)
    with pytest.raises(AuditError, match=r"2 records were added after record 10, where it was closed: run `keyswap au"):
        log.open()


def test_S45_a_last_record_that_is_not_the_one_the_head_states_is_not_continued(log: Log) -> None:
    log.filled(1)
    write_head(log.path, Signer.open(log.directory), Link(2, "f" * 64), "t", closed=True, durable=False)
    with pytest.raises(AuditError, match="record 2 is not the one its head states"):
        log.open()


@pytest.mark.parametrize("edited", [0, 1])
def test_S45_records_after_the_head_must_lead_to_each_other(log: Log, edited: int) -> None:
    writer = log.open()
    for _ in range(3):
        writer.write("request")
    log.crash(writer)
    lines = log.path.read_bytes().splitlines(keepends=True)
    if edited:
        del lines[1]
    else:
        lines[1] = lines[1].replace(b"request", b"refused")
    log.path.write_bytes(b"".join(lines))
    with pytest.raises(AuditError, match=r"does not continue record 1|not as they were written"):
        log.open()


def test_S45_a_chain_that_was_hashed_anew_after_the_head_does_not_fit_it(log: Log) -> None:
    writer = log.open()
    writer.write("request")
    writer._save_head()
    writer.write("request")
    log.crash(writer)
    link, first = append(GENESIS, {"event": "request", "id": "forged"})
    _, second = append(link, {"event": "request"})
    log.path.write_bytes(first + second)
    with pytest.raises(AuditError, match="record 1 is not the one its head states"):
        log.open()


def test_S45_a_head_in_an_earlier_file_is_no_obstacle(log: Log) -> None:
    writer = log.open()
    writer.write("request")
    writer._rotate()
    writer.write("request")
    writer.write("request")
    log.crash(writer)
    assert reopened(log) == ["4 records after 0 had not been signed yet"]
    assert log.verify().ok


def test_S45_a_head_of_another_key_is_refused(log: Log) -> None:
    log.filled(1)
    for name in ("audit.key", "audit.pub"):
        (log.directory / name).unlink()
    with pytest.raises(AuditError, match="was not signed with this state directory's key"):
        log.open()


def test_a_line_without_end_does_not_fill_the_memory(log: Log) -> None:
    log.filled(1)
    with log.path.open("ab") as file:
        file.write(b"x" * (MAX_LINE + 10) + b"\n")
    with pytest.raises(AuditError, match="longer than any record"):
        log.open()


def test_a_torn_line_that_cannot_be_moved_keeps_the_log_closed(log: Log) -> None:
    log.filled(1)
    with log.path.open("ab") as file:
        file.write(b"torn")
    (log.directory / "audit.jsonl.torn-20251121T123045.133456Z").touch()
    with pytest.raises(AuditError, match=r"cannot recover .* \(EEXIST\)"):
        log.open()
    assert log.path.read_bytes().endswith(b"torn")
    log.clock.now += 1
    reopened(log)
    assert log.verify().ok


def test_a_start_that_fails_lets_go_of_the_lock(log: Log) -> None:
    log.filled(1)
    log.head.rename(log.directory / "kept")
    log.head.mkdir()
    open_files = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(AuditError, match="EISDIR"):
            log.open()
    assert len(os.listdir("/proc/self/fd")) == open_files
    log.head.rmdir()
    (log.directory / "kept").rename(log.head)
    assert reopened(log) == []


def test_a_start_that_cannot_write_its_head_fails(log: Log) -> None:
    log.filled(1)
    (log.directory / "audit.jsonl.head.tmp").mkdir()
    open_files = len(os.listdir("/proc/self/fd"))
    with pytest.raises(AuditError, match=r"cannot replace .*head \(EISDIR\)"):
        log.open()
    assert len(os.listdir("/proc/self/fd")) == open_files


def test_a_start_opens_the_head(log: Log) -> None:
    log.filled(1)
    assert json.loads(log.head.read_text())["closed"] is True
    writer = log.open()
    assert json.loads(log.head.read_text())["closed"] is False
    writer.close()
