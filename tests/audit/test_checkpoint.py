"""The signed head."""

import errno
import json
import os
from pathlib import Path

import pytest

from keyswap.audit.chain import Link
from keyswap.audit.checkpoint import checkpoint_statement, read_head, write_head
from keyswap.audit.signer import Signer
from keyswap.errors import AuditError

LINK = Link(7, "ab" * 32)


@pytest.mark.parametrize("durable", [False, True])
def test_S45_a_head_reads_as_it_was_written(tmp_path: Path, durable: bool) -> None:
    signer = Signer.open(tmp_path)
    path = tmp_path / "audit.jsonl"
    write_head(path, signer, LINK, "2025-11-21T12:30:45.000000Z", closed=True, durable=durable)
    head = read_head(path)
    assert head is not None
    assert (head.file, head.link, head.closed, head.ts) == ("audit.jsonl", LINK, True, "2025-11-21T12:30:45.000000Z")
    assert head.valid(signer, path)
    assert (tmp_path / "audit.jsonl.head").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "audit.jsonl.head.tmp").exists()


@pytest.mark.parametrize(
    ("field", "value"), [("seq", 6), ("hash", "cd" * 32), ("ts", ""), ("closed", False), ("file", "b"), ("key", "")]
)
def test_S45_a_head_with_anything_changed_is_not_valid(tmp_path: Path, field: str, value: object) -> None:
    signer = Signer.open(tmp_path)
    path = tmp_path / "audit.jsonl"
    write_head(path, signer, LINK, "2025-11-21T12:30:45.000000Z", closed=True, durable=False)
    stated = json.loads((tmp_path / "audit.jsonl.head").read_text())
    (tmp_path / "audit.jsonl.head").write_text(json.dumps({**stated, field: value}))
    head = read_head(path)
    assert head is not None
    assert not head.valid(signer, path)


def test_S45_the_head_of_one_log_is_not_valid_for_another(tmp_path: Path) -> None:
    signer = Signer.open(tmp_path)
    write_head(tmp_path / "a", signer, LINK, "t", closed=False, durable=False)
    (tmp_path / "a.head").rename(tmp_path / "b.head")
    head = read_head(tmp_path / "b")
    assert head is not None
    assert not head.valid(signer, tmp_path / "b")


@pytest.mark.parametrize("content", [b"", b"junk", b"[]", b"{}", b'{"seq":"7"}', b"\xff", b"7", b'"head"'])
def test_a_head_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.head").write_bytes(content)
    assert read_head(tmp_path / "a") is None
    assert read_head(tmp_path / "b") is None


def test_a_head_with_a_field_of_another_type_is_none(tmp_path: Path) -> None:
    write_head(tmp_path / "a", Signer.open(tmp_path), LINK, "t", closed=False, durable=False)
    stated = json.loads((tmp_path / "a.head").read_text())
    (tmp_path / "a.head").write_text(json.dumps({**stated, "closed": 0}))
    assert read_head(tmp_path / "a") is None


def test_a_head_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.head").mkdir()
    with pytest.raises(AuditError, match=r"cannot read .*a\.head \(EISDIR\)"):
        read_head(tmp_path / "a")


def test_a_head_that_cannot_be_replaced_is_told_and_the_old_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = Signer.open(tmp_path)
    write_head(tmp_path / "a", signer, LINK, "t", closed=False, durable=False)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(AuditError, match=r"cannot replace .*a\.head \(ENOSPC\)"):
        write_head(tmp_path / "a", signer, Link(8, "cd" * 32), "t", closed=False, durable=False)
    head = read_head(tmp_path / "a")
    assert head is not None
    assert head.link == LINK


def test_the_statement_is_lines_that_printf_can_make() -> None:
    assert checkpoint_statement("audit.jsonl", Link(7, "ab")) == b"keyswap-audit-checkpoint-v1\naudit.jsonl\n7\nab\n"
