"""What was changed is found, at its line, and nothing else is."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from keyswap.audit import reading
from keyswap.audit import verify as module
from keyswap.audit.chain import Link, append, read_line
from keyswap.audit.checkpoint import write_head
from keyswap.audit.record import MAX_LINE
from keyswap.audit.signer import PUB, Signer
from keyswap.audit.verify import verify
from keyswap.errors import AuditError

from .conftest import Log

Lines = list[bytes]


def change(path: Path, how: Callable[[Lines], object]) -> None:
    """Let `how` change the list of lines of a file in place."""
    lines = path.read_bytes().splitlines(keepends=True)
    how(lines)
    path.write_bytes(b"".join(lines))


def edit(lines: Lines, at: int) -> None:
    lines[at] = lines[at].replace(b"node-1", b"node-2")


def swap(lines: Lines, one: int, other: int) -> None:
    lines[one], lines[other] = lines[other], lines[one]


def rehash(lines: Lines, start: int, stop: int) -> None:
    """Change record `start` and compute its hash, and those after it up to `stop`, anew."""
    before = read_line(lines[start - 1]) if start else None
    link = before.link if before else Link(0, "0" * 64)
    for at in range(start, stop):
        record = {name: value for name, value in json.loads(lines[at]).items() if name not in ("hash", "prev", "seq")}
        if at == start:
            record["node"] = "node-2"
        link, lines[at] = append(link, record)


def forged(lines: Lines, at: int, count: int = 1) -> None:
    """Put records of one's own before line `at`, chained to the one before it."""
    before = read_line(lines[at - 1])
    assert before is not None
    link = before.link
    for number in range(count):
        link, line = append(link, {"event": "request", "id": "forged"})
        lines.insert(at + number, line)


# In each log: records 1 to 6 are requests, 7 is the checkpoint of the clean stop.
CHANGES: list[tuple[str, Callable[[Lines], object], list[tuple[str, int, int]]]] = [
    ("nothing", lambda lines: None, []),
    ("edit the first", lambda lines: edit(lines, 0), [("edited", 1, 1)]),
    ("edit one", lambda lines: edit(lines, 2), [("edited", 3, 3)]),
    ("edit the last", lambda lines: edit(lines, 6), [("edited", 7, 7)]),
    ("edit two", lambda lines: (edit(lines, 2), edit(lines, 3)), [("edited", 3, 3), ("edited", 4, 4)]),
    ("edit the last two", lambda lines: (edit(lines, 5), edit(lines, 6)), [("edited", 6, 6), ("edited", 7, 7)]),
    ("make one unreadable", lambda lines: lines.__setitem__(2, b"?\n"), [("edited", 3, 3)]),
    ("make one huge", lambda lines: lines.__setitem__(2, b"?" * MAX_LINE * 3 + b"\n"), [("edited", 3, 3)]),
    ("edit a seq", lambda ls: ls.__setitem__(2, ls[2].replace(b'"seq":3', b'"seq":9')), [("edited", 3, 3)]),
    ("remove the first", lambda lines: lines.pop(0), [("removed", 1, 1)]),
    ("remove one", lambda lines: lines.pop(2), [("removed", 3, 3)]),
    ("remove two", lambda lines: (lines.pop(2), lines.pop(2)), [("removed", 3, 3)]),
    ("remove two apart", lambda lines: (lines.pop(4), lines.pop(2)), [("removed", 3, 3), ("removed", 4, 5)]),
    ("remove and edit", lambda lines: (lines.pop(2), edit(lines, 2)), [("removed", 4, 3), ("edited", 3, 4)]),
    ("edit and remove", lambda lines: (edit(lines, 2), lines.pop(3)), [("edited", 3, 3), ("removed", 4, 4)]),
    ("cut one", lambda lines: lines.pop(), [("cut", 6, 7)]),
    ("cut four", lambda lines: lines.__delitem__(slice(3, None)), [("cut", 3, 4)]),
    ("cut all", lambda lines: lines.clear(), [("cut", 0, 1)]),
    ("swap neighbours", lambda lines: swap(lines, 2, 3), [("reordered", 3, 4)]),
    ("swap the first two", lambda lines: swap(lines, 0, 1), [("reordered", 1, 2)]),
    ("swap the last two", lambda lines: swap(lines, 5, 6), [("reordered", 6, 7)]),
    ("swap distant ones", lambda lines: swap(lines, 1, 4), [("reordered", n, s) for n, s in [(5, 2), (3, 3), (4, 4)]]),
    ("move one back", lambda lines: lines.insert(1, lines.pop(4)), [("reordered", 2, 5)]),
    ("move one on", lambda lines: lines.insert(4, lines.pop(1)), [("reordered", 5, 2)]),
    ("move one to the end", lambda lines: lines.append(lines.pop(1)), [("reordered", 7, 2)]),
    ("move the last to the front", lambda lines: lines.insert(0, lines.pop()), [("reordered", 1, 7)]),
    ("add junk", lambda lines: lines.insert(3, b"junk\n"), [("inserted", 4, 4)]),
    ("add junk in front", lambda lines: lines.insert(0, b"junk\n"), [("inserted", 1, 1)]),
    ("add junk at the end", lambda lines: lines.append(b"junk\n"), [("inserted", 8, 8)]),
    ("add an empty line", lambda lines: lines.insert(3, b"\n"), [("inserted", 4, 4)]),
    (
        "add junk twice",
        lambda ls: (ls.insert(3, b"a\n"), ls.insert(3, b"b\n")),
        [("inserted", 4, 4), ("inserted", 5, 4)],
    ),
    ("add junk, edit", lambda ls: (edit(ls, 3), ls.insert(3, b"a\n")), [("inserted", 4, 4), ("edited", 5, 4)]),
    ("edit, add junk", lambda ls: (edit(ls, 3), ls.insert(4, b"a\n")), [("edited", 4, 4), ("inserted", 5, 4)]),
    ("copy back", lambda lines: lines.insert(1, lines[4]), [("inserted", 2, 5)]),
    ("copy the one after the next", lambda lines: lines.insert(2, lines[3]), [("inserted", 3, 4)]),
    ("copy on", lambda lines: lines.insert(5, lines[1]), [("inserted", 6, 2)]),
    ("copy to the front", lambda lines: lines.insert(0, lines[3]), [("inserted", 1, 4)]),
    ("copy to the end", lambda lines: lines.append(lines[3]), [("inserted", 8, 4)]),
    ("copy the checkpoint back", lambda lines: lines.insert(2, lines[6]), [("inserted", 3, 7)]),
    ("forge one", lambda lines: forged(lines, 3), [("inserted", 4, 4)]),
    ("forge three", lambda ls: forged(ls, 3, 3), [("inserted", 4, 4), ("inserted", 5, 5), ("inserted", 6, 6)]),
    ("forge and copy", lambda ls: (forged(ls, 3), ls.insert(5, ls[0])), [("inserted", 4, 4), ("inserted", 6, 1)]),
    ("forge at the end", lambda lines: forged(lines, 7), [("inserted", 8, 8)]),
    ("forge two at the end", lambda lines: forged(lines, 7, 2), [("inserted", 8, 8)]),
    ("edit one and hash it anew", lambda lines: rehash(lines, 2, 3), [("edited", 3, 3)]),
    ("edit the first and hash it anew", lambda lines: rehash(lines, 0, 1), [("edited", 1, 1)]),
    ("hash half anew", lambda lines: rehash(lines, 1, 4), [("edited", 4, 4)]),
    ("hash all anew", lambda lines: rehash(lines, 0, 7), [("rewritten", 7, 1)]),
    ("hash the rest anew", lambda lines: rehash(lines, 3, 7), [("rewritten", 7, 1)]),
    ("the same without the checkpoint", lambda ls: (rehash(ls, 3, 6), ls.pop()), [("cut", 6, 7)]),
]


@pytest.mark.parametrize(("how", "found"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_S45_a_change_is_found_at_its_line_and_nothing_else(
    log: Log, how: Callable[[Lines], object], found: list[tuple[str, int, int]]
) -> None:
    log.filled(6)
    change(log.path, how)
    kinds = [(kind, line, seq) for kind, file, line, seq in log.kinds() if file == "audit.jsonl"]
    assert sorted(kinds) == sorted(found)
    assert log.verify().ok == (not found)
    assert len(log.kinds()) == len(found)


def test_S45_the_words_name_file_line_kind_and_record(log: Log) -> None:
    log.filled(6)
    change(log.path, lambda lines: edit(lines, 2))
    assert str(log.verify().flaws[0]) == "audit.jsonl:3: edited: record 3 does not hash to what it states"


def test_S45_a_change_across_a_rotation_is_found_in_its_file(log: Log) -> None:
    files = log.filled(20, rotate=1500)
    change(files[1], lambda lines: edit(lines, 1))
    first = len(files[0].read_bytes().splitlines())
    assert log.kinds() == [("edited", files[1].name, 2, first + 2)]


@pytest.mark.parametrize("which", [0, 1, -1])
def test_S45_a_missing_file_is_found(log: Log, which: int) -> None:
    files = log.filled(20, rotate=1500)
    records = [json.loads(line)["seq"] for line in files[which].read_bytes().splitlines()]
    files[which].unlink()
    if which == -1:
        number = len(files[-2].read_bytes().splitlines())
        assert log.kinds() == [("cut", files[-2].name, number, records[0])]
    else:
        assert log.kinds() == [("removed", files[which + 1].name, 1, records[0])]
        assert f"records {records[0]} to {records[-1]} are missing" in log.verify().flaws[0].what


def test_S45_a_rotated_file_that_lost_a_line_end_is_found(log: Log) -> None:
    files = log.filled(20, rotate=1500)
    files[0].write_bytes(files[0].read_bytes()[:-20])
    number = len(files[0].read_bytes().splitlines())
    assert log.kinds() == [("edited", files[0].name, number, number)]


@pytest.mark.parametrize("content", [None, b"", b"junk"])
def test_S45_a_missing_head_is_found(log: Log, content: bytes | None) -> None:
    log.filled(6)
    log.head.unlink()
    if content is not None:
        log.head.write_bytes(content)
    assert log.kinds() == [("head", "audit.jsonl.head", 0, 0)]


def test_S45_a_head_that_was_changed_is_found(log: Log) -> None:
    log.filled(6)
    log.head.write_text(log.head.read_text().replace('"seq": 7', '"seq": 6'))
    assert log.kinds() == [("signature", "audit.jsonl.head", 0, 6)]


def test_S45_another_key_is_found_at_every_signature(log: Log) -> None:
    log.filled(6)
    other = log.directory / "other"
    other.mkdir()
    Signer.open(other)
    (log.directory / PUB).write_bytes((other / PUB).read_bytes())
    assert log.kinds() == [("signature", "audit.jsonl", 7, 7), ("signature", "audit.jsonl.head", 0, 7)]


def test_S45_a_checkpoint_without_signature_is_found(log: Log) -> None:
    log.filled(6)

    def forge(lines: Lines) -> None:
        forged(lines, 6)
        last = read_line(lines[5])
        assert last is not None
        lines[6:] = [append(last.link, {"event": "checkpoint"})[1]]

    change(log.path, forge)
    assert log.kinds() == [("signature", "audit.jsonl", 7, 7)]


def test_S45_a_forged_line_far_ahead_takes_its_flaws_with_it(log: Log) -> None:
    log.filled(6)
    _, line = append(Link(10**12, "f" * 64), {"event": "checkpoint", "checkpoint": {"key": "k", "sig": "s"}})
    change(log.path, lambda lines: lines.insert(3, line))
    assert log.kinds() == [("inserted", "audit.jsonl", 4, 10**12 + 1)]


def test_S45_a_rewritten_chain_is_told_once_from_the_last_good_signature(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyswap.audit.writer._CHECKPOINT_RECORDS", 5)
    log.filled(22)
    change(log.path, lambda lines: rehash(lines, 8, len(lines)))
    assert log.kinds() == [("rewritten", "audit.jsonl", 12, 6)]
    assert log.verify().chains[0].signed == 5


def test_S45_a_chain_that_was_hashed_anew_after_its_last_checkpoint_is_found_by_the_head(log: Log) -> None:
    writer = log.open()
    for _ in range(6):
        writer.write("request")
    writer._save_head()
    log.crash(writer)
    change(log.path, lambda lines: rehash(lines, 2, 6))
    assert log.kinds() == [("rewritten", "audit.jsonl", 6, 1)]
    assert log.verify().chains[0].signed == 0


def test_S45_the_chain_of_one_log_does_not_pass_for_another(log: Log) -> None:
    log.filled(3)
    log.filled(3, worker=1)
    worker = log.directory / "audit.jsonl.1.jsonl"
    for suffix in ("", ".head"):
        one, other = Path(f"{log.path}{suffix}"), Path(f"{worker}{suffix}")
        kept = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(kept)
    assert log.verify().chains[0].flaws
    assert log.verify().chains[1].flaws


def test_S45_an_edited_line_after_a_crash_is_found_behind_the_head_too(log: Log) -> None:
    writer = log.open()
    for _ in range(4):
        writer.write("request")
    writer._save_head()
    writer.write("request")
    log.crash(writer)
    change(log.path, lambda lines: edit(lines, 4))
    assert log.kinds() == [("edited", "audit.jsonl", 5, 5)]
    log.head.unlink()
    assert ("edited", "audit.jsonl", 5, 5) in log.kinds()


def test_more_flaws_than_anybody_reads_are_counted(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyswap.audit.walk._FLAWS", 3)
    log.filled(6)
    change(log.path, lambda lines: [edit(lines, at) for at in range(7)])
    chain = log.verify().chains[0]
    assert (len(chain.flaws), chain.untold) == (3, 4)


def test_S45_workers_are_one_report(log: Log) -> None:
    log.filled(3)
    for worker in (1, 2):
        log.filled(4, worker=worker, rotate=500)
    report = log.verify()
    assert report.ok
    assert [chain.file for chain in report.chains] == ["audit.jsonl", "audit.jsonl.1.jsonl", "audit.jsonl.2.jsonl"]
    assert report.records == sum(chain.records for chain in report.chains) == 4 + 2 * report.chains[1].records
    assert report.key == Signer.open(log.directory).key_id
    change(log.directory / "audit.jsonl.1.jsonl", lambda lines: edit(lines, 0))
    assert [flaw.file for flaw in log.verify().flaws] == ["audit.jsonl.1.jsonl"]


def test_S45_a_worker_whose_whole_log_is_gone_is_found(log: Log) -> None:
    log.filled(3)
    for worker in (1, 2):
        log.filled(1, worker=worker)
    for path in log.directory.glob("audit.jsonl.1.jsonl*"):
        path.unlink()
    assert log.kinds() == [("head", "audit.jsonl.1.jsonl.head", 0, 0)]


def test_S45_a_log_in_use_verifies(log: Log) -> None:
    writer = log.open(rotate=800)
    for number in range(30):
        writer.write("request")
        report = log.verify()
        assert report.ok
        assert report.chains[0].last.seq > number
    assert report.notes
    assert report.notes[0].startswith("audit.jsonl: ")
    assert "are not signed yet" in report.notes[0]
    log.clock.now += 1
    writer.write("request")
    assert log.verify().notes == ()


def test_S45_a_rotation_while_the_files_are_listed_changes_nothing(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = log.open()
    writer.write("request")
    real, calls = reading.parts, []

    def rotating(path: Path) -> tuple[Path, ...]:
        names = real(path)
        if len(calls) < 3:
            calls.append(names)
            writer.write("request")
            writer._rotate()
        return names

    monkeypatch.setattr(reading, "parts", rotating)
    assert log.verify().ok
    assert log.verify().records == 7


def test_files_that_never_stand_still_are_told(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.filled(1)
    monkeypatch.setattr(reading, "parts", lambda path: (path.with_name("gone"),))
    with pytest.raises(AuditError, match="change faster than they can be listed"):
        log.verify()


def test_what_cannot_be_read_is_told(log: Log) -> None:
    with pytest.raises(AuditError, match=r"cannot read .*audit\.pub \(ENOENT\)"):
        log.verify()
    Signer.open(log.directory)
    with pytest.raises(AuditError, match="there is no audit at"):
        log.verify()
    log.path.mkdir()
    with pytest.raises(AuditError, match=r"cannot read .* \(EISDIR\)"):
        log.verify()


def test_an_empty_log_verifies(log: Log) -> None:
    log.open().close()
    report = verify(str(log.path), state_dir=str(log.directory))
    assert report.ok
    assert report.records == 0


def test_S45_a_head_of_no_record_and_a_log_that_is_gone_is_empty(log: Log) -> None:
    write_head(log.path, Signer.open(log.directory), Link(0, "0" * 64), "t", closed=True, durable=False)
    assert log.verify().ok


def test_S45_the_recipe_of_the_docstring_gives_the_hash_and_the_signature(log: Log) -> None:
    """With sed in place of jq, which is not everywhere."""
    assert module.__doc__ is not None
    log.filled(6)
    block = module.__doc__.replace("sed -n 2p", "sed -n 7p")
    recipe = "\n".join(line[4:] for line in block.splitlines() if line.startswith("    "))
    recipe = recipe.replace("jq -r .prev", 'sed -E \'s/.*"prev":"([^"]*)".*/\\1/\'')
    recipe = recipe.replace("jq -r .checkpoint.sig", 'sed -E \'s/.*"sig":"([^"]*)".*/\\1/\'')
    told = subprocess.run(
        ["bash", "-euc", f"seq=7\n{recipe}"], cwd=log.directory, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr + recipe
    assert told.stdout.split()[0] == json.loads(log.path.read_bytes().splitlines()[6])["hash"]
    assert "Verified Successfully" in told.stdout
