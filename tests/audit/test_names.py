"""The files of an audit."""

from pathlib import Path

import pytest

from keyswap.audit.names import failed, parts, rotated_path, torn_path, worker_path, workers
from keyswap.errors import AuditError

TS = "2025-11-21T12:30:45.123456Z"


def test_the_names_of_one_log(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    assert worker_path(path, 0) == path
    assert worker_path(path, 2).name == "audit.jsonl.2.jsonl"
    assert rotated_path(path, TS, 99).name == "audit.jsonl.20251121T123045Z-99"
    assert torn_path(path, TS).name == "audit.jsonl.torn-20251121T123045.123456Z"


def test_the_parts_of_a_chain_stand_in_the_order_of_their_records(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    # A clock that was set back between two rotations does not disturb the order.
    names = ["audit.jsonl.20251121T123045Z-9", "audit.jsonl.20241121T123045Z-10", "audit.jsonl"]
    others = [
        "audit.jsonl.head", "audit.jsonl.lock", "audit.jsonl.1.jsonl", "audit.jsonl.torn-20251121T123045.1Z",
        "audit.jsonl.1.jsonl.20251121T123045Z-3", "audit.jsonl.20251121T123045Z-9.gz", "other.20251121T123045Z-1",
        "xaudit.jsonl.20251121T123045Z-1",
    ]  # fmt: skip
    for name in (*names, *others):
        (tmp_path / name).touch()
    assert [part.name for part in parts(path)] == names
    path.unlink()
    assert [part.name for part in parts(path)] == names[:2]


def test_workers_are_known_by_any_file_of_theirs(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for name in (".2.jsonl", ".3.jsonl.head", ".11.jsonl.20251121T123045Z-3", ".5.jsonl.lock", ".0.jsonl", ".jsonl"):
        (tmp_path / f"audit.jsonl{name}").touch()
    assert workers(path) == (2, 3, 11)


def test_a_directory_that_is_missing_holds_nothing_and_one_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    assert parts(tmp_path / "none" / "audit.jsonl") == ()
    (tmp_path / "file").touch()
    with pytest.raises(AuditError, match="ENOTDIR"):
        parts(tmp_path / "file" / "audit.jsonl")


def test_an_error_names_the_file_and_the_errno_and_nothing_else() -> None:
    error = failed("open", Path("/x"), OSError(28, "words of another"), "do this")
    assert str(error) == "cannot open /x (ENOSPC): do this"
    assert str(failed("open", Path("/x"), OSError("odd"), "")) == "cannot open /x (no errno)"
