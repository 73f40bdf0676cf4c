"""The one writer of a log."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keyswap.audit import writer as module
from keyswap.audit.checkpoint import read_head
from keyswap.audit.timer import INTERVAL
from keyswap.errors import AuditError
from keyswap.secret import Secret

from .conftest import Log


def lines(log: Log) -> list[dict[str, object]]:
    return [json.loads(line) for path in log.files() for line in path.read_text().splitlines()]


def head_seq(log: Log) -> int:
    head = read_head(log.path)
    assert head is not None
    return head.link.seq


def test_S45_a_record_is_one_line_that_says_who_when_and_what(log: Log) -> None:
    writer = log.open(worker=0)
    assert writer.write("request", id="r1", session={"id": "ci"}, host="api.demo.example") == 1
    assert writer.write("response", id="r1") == 2
    first, second = lines(log)
    assert {name: value for name, value in first.items() if name != "hash"} == {
        "v": 1, "seq": 1, "ts": "2025-11-21T12:30:45.123456Z", "node": "node-1", "worker": 0, "event": "request",
        "id": "r1", "session": {"id": "ci"}, "host": "api.demo.example", "prev": "0" * 64,
    }  # fmt: skip
    assert second["prev"] == first["hash"]


def test_S33_when_write_returns_the_line_is_in_the_file(log: Log) -> None:
    writer = log.open()
    writer.write("request", id="r1")
    assert log.path.read_bytes().endswith(b'"}\n')
    assert log.path.stat().st_mode & 0o777 == 0o600
    assert log.head.stat().st_mode & 0o777 == 0o600


def test_a_worker_writes_a_log_of_its_own(log: Log) -> None:
    writer = log.open(worker=3)
    writer.write("request")
    assert writer.path == log.directory / "audit.jsonl.3.jsonl"
    assert json.loads(writer.path.read_text())["worker"] == 3
    assert not log.path.exists()


@pytest.mark.parametrize("name", ["seq", "prev", "hash", "v", "ts", "node", "worker", "checkpoint", "colour"])
def test_S45_a_caller_cannot_state_what_the_chain_states(log: Log, name: str) -> None:
    writer = log.open()
    with pytest.raises(AuditError, match=f"knows no field {name}"):
        writer.write("request", **{name: 1})
    assert writer.write("request") == 1


@pytest.mark.parametrize("event", ["checkpoint", "lunch", ""])
def test_a_caller_cannot_make_up_an_event(log: Log, event: str) -> None:
    with pytest.raises(AuditError, match="knows no such event"):
        log.open().write(event)


def test_S47_a_secret_that_got_into_a_field_is_refused_and_the_chain_goes_on(log: Log) -> None:
    writer = log.open()
    with pytest.raises(AuditError, match="id holds Secret"):
        writer.write("request", id=Secret(b"sk-real"))
    assert writer.problem is not None
    writer.write("request")
    assert writer.problem is None
    writer.close()
    assert log.verify().ok
    assert b"sk-real" not in log.path.read_bytes()


def test_S47_the_masker_is_asked_about_every_line(log: Log) -> None:
    writer = log.open(masker=lambda body: body.replace(b"sk-real", b"*******"))
    writer.write("request", path="/v1/sk-real/x")
    writer.close()
    assert lines(log)[0]["path"] == "/v1/*******/x"
    assert log.verify().ok


def test_S34_a_second_process_on_the_same_log_is_refused(log: Log) -> None:
    log.open()
    with pytest.raises(AuditError, match="another process writes"):
        log.open()
    log.open(worker=1)


# Checkpoints, rotation, head


def test_S45_a_checkpoint_follows_a_thousand_records(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHECKPOINT_RECORDS", 10)
    log.filled(25)
    assert [line["seq"] for line in lines(log) if line["event"] == "checkpoint"] == [11, 22, 28]
    assert log.verify().ok
    assert log.verify().chains[0].signed == 28


@pytest.mark.parametrize("seconds", [60.0, -60.0])
def test_S45_a_checkpoint_follows_a_minute_with_traffic(log: Log, seconds: float) -> None:
    writer = log.open()
    writer.write("request")
    log.clock.now += seconds
    writer.write("request")
    assert [line["event"] for line in lines(log)] == ["request", "checkpoint", "request"]
    log.clock.now += seconds
    writer.write("request")
    writer.close()
    writer.close()
    assert [line["event"] for line in lines(log)][3:] == ["checkpoint", "request", "checkpoint"]


def test_S45_no_checkpoint_signs_nothing(log: Log) -> None:
    log.open().close()
    assert lines(log) == []
    assert log.verify().ok
    log.filled(1)
    log.open().close()
    assert [line["event"] for line in lines(log)] == ["request", "checkpoint"]


def test_S45_a_rotated_file_ends_in_a_checkpoint_and_the_chain_goes_on(log: Log) -> None:
    files = log.filled(30, rotate=2000)
    assert len(files) > 3
    for path in files[:-1]:
        last = json.loads(path.read_text().splitlines()[-1])
        assert last["event"] == "checkpoint"
        assert path.name.endswith(f"Z-{last['seq']}")
        assert 2000 <= path.stat().st_size < 4000
        assert path.stat().st_mode & 0o777 == 0o600
    assert [line["seq"] for line in lines(log)] == list(range(1, len(lines(log)) + 1))
    assert log.verify().ok


def test_S45_a_rotation_survives_a_restart(log: Log) -> None:
    for _ in range(5):
        log.filled(3, rotate=600)
    assert log.verify().ok
    assert log.verify().records == len(lines(log))


def test_S45_a_rotation_that_fails_refuses_until_it_works(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = log.open(rotate=500)
    for _ in range(3):
        writer.write("request")
    rename = os.rename
    monkeypatch.setattr(os, "rename", lambda old, new: rename(old, new) if str(new).endswith("head") else _broken(28))
    for _ in range(3):
        with pytest.raises(AuditError, match=r"cannot rotate .* \(ENOSPC\)"):
            writer.write("request")
    monkeypatch.undo()
    assert writer.write("request") == 5
    writer.close()
    assert log.verify().ok
    assert [line["event"] for line in lines(log)].count("checkpoint") == 2


def test_S45_a_rotation_that_breaks_half_way_is_repaired(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = log.open(rotate=500)
    for _ in range(3):
        writer.write("request")

    def no_file(path: Path, *, fresh: bool = False) -> object:
        raise AuditError("cannot open")

    monkeypatch.setattr(module, "LogFile", no_file)
    with pytest.raises(AuditError):
        writer.write("request")
    assert not log.path.exists()
    monkeypatch.undo()
    assert writer.write("request") == 5
    writer.close()
    assert log.verify().ok
    assert len(log.files()) == 2


async def test_S45_the_head_follows_within_its_interval(log: Log) -> None:
    writer = log.open()
    writer.write("request")
    writer.write("request")
    assert head_seq(log) == 0
    await asyncio.sleep(INTERVAL * 2)
    assert head_seq(log) == 2
    assert log.verify().notes == ()


def test_S45_the_head_follows_without_a_loop_too(log: Log) -> None:
    writer = log.open()
    writer.write("request")
    log.clock.now += INTERVAL + 0.01
    writer.write("request")
    assert head_seq(log) == 2


def test_S45_the_head_of_a_machine_follows_without_a_loop_too(log: Log) -> None:
    writer = log.open(durability="machine")
    writer.write("request")
    log.clock.now += INTERVAL + 0.01
    writer.write("request")
    assert head_seq(log) == 2
    log.clock.now += INTERVAL + 0.01
    writer.write("request")


async def test_S45_a_head_that_cannot_be_replaced_refuses_the_next_record(log: Log) -> None:
    writer = log.open()
    (log.directory / "audit.jsonl.head.tmp").mkdir()
    writer.write("request")
    await asyncio.sleep(INTERVAL * 2)
    for _ in range(2):
        with pytest.raises(AuditError, match=r"cannot replace .*audit\.jsonl\.head"):
            writer.write("request")
    (log.directory / "audit.jsonl.head.tmp").rmdir()
    writer.write("request")
    assert head_seq(log) == 1


def test_S45_an_end_that_cannot_be_signed_is_told_and_let_go(log: Log) -> None:
    writer = log.open()
    writer.write("request")
    (log.directory / "audit.jsonl.head.tmp").mkdir()
    with pytest.raises(AuditError, match="cannot replace"):
        writer.close()
    (log.directory / "audit.jsonl.head.tmp").rmdir()
    log.filled(1)
    assert log.verify().ok


def test_a_closed_log_takes_no_record(log: Log) -> None:
    writer = log.open()
    writer.close()
    with pytest.raises(AuditError, match="is closed"):
        writer.write("request")


# What breaks


def _broken(number: int) -> None:
    raise OSError(number, "")


def test_S33_a_full_disk_refuses_and_leaves_no_byte_and_ends_when_there_is_room() -> None:
    """A real limit, in a process of its own: the kernel writes a part first, then nothing."""
    code = """
import resource, sys, tempfile, json
from pathlib import Path
from keyswap.audit.writer import AuditWriter
from keyswap.audit.verify import verify
from keyswap.errors import AuditError
directory = Path(tempfile.mkdtemp())
writer = AuditWriter(directory / "audit.jsonl", state_dir=directory, node="n", clock=lambda: 1e9)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
written = refused = 0
for _ in range(40):
    try:
        writer.write("request", id="r")
        written += 1
    except AuditError as error:
        refused += 1
        words = str(error)
    text = (directory / "audit.jsonl").read_bytes()
    assert text.endswith(b"}\\n") and len(text.splitlines()) == written, text[-300:]
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
seq = writer.write("request", id="r")
writer.close()
report = verify(directory / "audit.jsonl", state_dir=directory)
print(json.dumps([written, refused, words, seq, report.ok, report.records]))
import shutil; shutil.rmtree(directory)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert told.returncode == 0, told.stderr
    written, refused, words, seq, fine, records = json.loads(told.stdout)
    assert written > 3
    assert refused > 10
    assert "only part of a record could be written" in words
    assert "free disk space" in words
    assert (seq, fine, records) == (written + 1, True, written + 2)


def test_S33_a_tail_that_cannot_be_taken_back_refuses_until_it_can(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = log.open()
    writer.write("request")
    write = os.write
    monkeypatch.setattr(os, "ftruncate", lambda *_: _broken(5))
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
    with pytest.raises(AuditError, match="only part"):
        writer.write("request")
    monkeypatch.setattr(os, "write", write)
    for _ in range(3):
        log.clock.now += 0.001
        with pytest.raises(AuditError, match=r"cannot recover .* \(EIO\)"):
            writer.write("request")
        assert writer.problem is not None
    monkeypatch.undo()
    log.clock.now += 0.001
    assert writer.write("request") == 2
    writer.close()
    assert log.verify().ok
    assert lines(log)[1]["notes"] == ["10 bytes of a torn line were moved to audit.jsonl.torn-20251121T123045.127456Z"]


def test_S33_a_write_that_failed_after_its_last_byte_is_not_kept(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = log.open()
    writer.write("request", id="a")
    write = os.write

    def late(fd: int, data: bytes) -> int:
        write(fd, data)
        raise OSError(5, "")

    monkeypatch.setattr(os, "ftruncate", lambda *_: _broken(5))
    monkeypatch.setattr(os, "write", late)
    with pytest.raises(AuditError, match="EIO"):
        writer.write("request", id="refused")
    monkeypatch.undo()
    assert writer.write("request", id="b", notes=["mine"]) == 2
    writer.close()
    assert log.verify().ok
    assert [line.get("id") for line in lines(log)] == ["a", "b", None]
    assert lines(log)[1]["notes"][1] == "mine"  # type: ignore[index]


@pytest.mark.parametrize("how", ["moved", "removed", "copied"])
def test_S33_a_log_that_is_taken_away_loses_no_later_record(log: Log, how: str) -> None:
    """What logrotate does: without a look, records would go into a file nobody reads."""
    writer = log.open()
    writer.write("request", id="a")
    if how == "moved":
        log.path.rename(log.directory / "old")
    elif how == "removed":
        log.path.unlink()
    else:
        os.truncate(log.path, 0)
    assert writer.write("request", id="b") == 2
    assert writer.write("request", id="c") == 3
    writer.close()
    assert [line.get("id") for line in lines(log)] == ["b", "c", None]
    assert lines(log)[0]["notes"] == ["1 records up to 1 are missing at the end of the log"]
    assert log.kinds() == [("removed", "audit.jsonl", 1, 1)]


def test_S33_bytes_that_somebody_else_wrote_are_moved_out_of_the_chain(log: Log) -> None:
    writer = log.open()
    writer.write("request", id="a")
    with log.path.open("ab") as file:
        file.write(b'{"forged":true}\n')
    writer.write("request", id="b")
    writer.close()
    assert log.verify().ok
    torn = next(log.directory.glob("*torn*"))
    assert torn.read_bytes() == b'{"forged":true}\n'


def test_S33_a_log_whose_content_was_replaced_is_refused(log: Log) -> None:
    writer = log.open()
    writer.write("request", id="a")
    text = log.path.read_bytes()
    log.path.unlink()
    log.path.write_bytes(text.replace(b'"a"', b'"b"'))
    for _ in range(2):
        with pytest.raises(AuditError, match="was changed while no keyswap wrote it"):
            writer.write("request")
    log.path.write_bytes(text)
    log.path.chmod(0o600)
    assert writer.write("request") == 2
    writer.close()
    assert log.verify().ok


def test_S34_close_repairs_what_it_can(log: Log) -> None:
    writer = log.open()
    writer.write("request", id="a")
    with log.path.open("ab") as file:
        file.write(b"torn")
    writer.close()
    assert log.verify().ok
    assert log.verify().notes == ()


# Durability


async def test_S33_process_waits_for_nothing(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fdatasync", lambda _: _broken(5))
    writer = log.open()
    await writer.durable(writer.write("request"))


async def test_S33_machine_waits_for_the_sync_of_its_line(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fdatasync

    def count(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)
        real(fd)

    writer = log.open(durability="machine")
    monkeypatch.setattr(os, "fdatasync", count)
    seqs = [writer.write("request", id=f"r{n}") for n in range(20)]
    size = log.path.stat().st_size
    await asyncio.gather(*(writer.durable(seq) for seq in seqs))
    assert synced == [size]
    writer.close()
    await writer.durable(seqs[-1])
    assert log.verify().ok


async def test_S33_a_sync_that_fails_refuses_the_release_and_begins_a_new_file(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = log.open(durability="machine")
    seq = writer.write("request", id="a")
    monkeypatch.setattr(os, "fdatasync", lambda _: _broken(5))
    with pytest.raises(AuditError, match="cannot be synced"):
        await writer.durable(seq)
    assert writer.problem is not None
    for _ in range(2):
        with pytest.raises(AuditError, match=r"cannot sync .* \(EIO\)"):
            writer.write("request")
    monkeypatch.undo()
    seq = writer.write("request", id="b")
    await writer.durable(seq)
    assert len(log.files()) == 2
    writer.close()
    assert log.verify().ok


async def test_S33_a_new_file_whose_name_cannot_be_synced_is_not_used(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = log.open(durability="machine", rotate=100)
    writer.write("request")
    monkeypatch.setattr(module, "sync_directory", lambda _: _broken(5))
    for _ in range(3):
        with pytest.raises(AuditError, match=r"cannot sync the directory of .* \(EIO\)"):
            writer.write("request")
    monkeypatch.undo()
    await writer.durable(writer.write("request"))
    writer.close()
    assert log.verify().ok
    assert len(log.files()) == 2


async def test_S45_the_head_of_a_machine_never_states_what_is_not_synced(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = log.open(durability="machine")
    real, slow = os.fdatasync, time.sleep

    def late(fd: int) -> None:
        slow(0.15)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", late)
    writer.write("request")
    await asyncio.sleep(INTERVAL * 1.5)
    assert head_seq(log) == 0
    writer.write("request")
    for _ in range(100):
        await asyncio.sleep(0.02)
        if head_seq(log) == 2:
            break
    assert head_seq(log) == 2
    assert writer._saving is not None
    await writer._saving
    writer.write("request")
    await asyncio.sleep(INTERVAL * 1.5)
    assert not writer._saving.done()
    writer.close()
    assert log.verify().ok


async def test_S45_a_head_that_a_machine_cannot_replace_refuses_the_next_record(log: Log) -> None:
    writer = log.open(durability="machine")
    (log.directory / "audit.jsonl.head.tmp").mkdir()
    writer.write("request")
    await asyncio.sleep(INTERVAL * 2)
    with pytest.raises(AuditError, match="cannot replace"):
        writer.write("request")
    (log.directory / "audit.jsonl.head.tmp").rmdir()
    writer.write("request")


async def test_S45_a_head_that_comes_late_does_not_replace_a_later_one(log: Log) -> None:
    writer = log.open(durability="machine")
    writer.write("request")
    early = writer._link
    writer.write("request")
    writer._save_head()
    writer._write_head(early, False)
    assert head_seq(log) == 2


async def test_S45_traffic_while_the_head_is_saved_is_in_the_next_one(log: Log) -> None:
    writer = log.open(durability="machine")
    for _ in range(40):
        writer.write("request")
        await asyncio.sleep(0.01)
    assert head_seq(log) > 10
    await asyncio.sleep(INTERVAL * 3)
    assert head_seq(log) == 40


# kill -9


@pytest.mark.parametrize("durability", ["process", "machine"])
def test_S34_kill_9_under_load_leaves_a_log_that_verifies(log: Log, durability: str) -> None:
    code = """
import asyncio, sys
from pathlib import Path
from keyswap.audit.writer import AuditWriter
async def main():
    directory = Path(sys.argv[1])
    writer = AuditWriter(directory / "audit.jsonl", state_dir=directory, node="n", durability=sys.argv[2], rotate=20000)
    while True:
        seq = writer.write("request", id="r", host="api.demo.example")
        await writer.durable(seq)
        print(seq, flush=True)
        await asyncio.sleep(0)
asyncio.run(main())
"""
    told = 0
    for delay in (0.25, 0.4):
        load = subprocess.Popen(
            [sys.executable, "-c", code, str(log.directory), durability], stdout=subprocess.PIPE, text=True
        )
        assert load.stdout is not None
        assert load.stdout.readline()
        time.sleep(delay)
        load.kill()
        last = load.communicate()[0].splitlines()[-1]
        report = log.verify()
        assert report.ok, report.flaws
        assert report.chains[0].last.seq >= int(last) > told
        told = int(last)
    log.filled(1)
    assert log.verify().ok
