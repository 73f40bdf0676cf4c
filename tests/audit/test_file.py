"""Whole lines are appended, or nothing is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keyswap.audit.file import LogFile, lock
from keyswap.errors import AuditError


def test_a_new_file_is_for_its_owner_only(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "log")
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    file.close()
    file.close()


def test_lines_are_appended(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "log")
    file.append(b"one\n")
    file.append(b"two\n")
    assert (tmp_path / "log").read_bytes() == file.read(0, 100) == b"one\ntwo\n"
    assert file.size == 8
    assert file.intact()
    file.close()


def test_what_is_no_file_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "open").touch()
    (tmp_path / "open").chmod(0o666)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "open", "pipe", "none/log", "."):
        with pytest.raises(AuditError):
            LogFile(tmp_path / name)
    with pytest.raises(AuditError):
        LogFile(Path("/dev/full"))
    assert not (tmp_path / "elsewhere").exists()


def test_a_fresh_file_must_not_exist(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    with pytest.raises(AuditError, match="EEXIST"):
        LogFile(tmp_path / "log", fresh=True)


@pytest.mark.parametrize("how", ["moved", "removed", "cut", "grown", "replaced", "linked"])
def test_a_file_that_somebody_touched_is_not_intact(tmp_path: Path, how: str) -> None:
    path = tmp_path / "log"
    file = LogFile(path)
    file.append(b"one\n")
    if how == "moved":
        path.rename(tmp_path / "other")
    elif how == "removed":
        path.unlink()
    elif how == "cut":
        os.truncate(path, 1)
    elif how == "grown":
        path.write_bytes(b"one\ntwo\n")
    elif how == "replaced":
        (tmp_path / "copy").write_bytes(b"two\n")
        (tmp_path / "copy").rename(path)
    else:
        path.rename(tmp_path / "other")
        path.symlink_to(tmp_path / "other")
    assert not file.intact()
    file.close()


def test_S33_a_failed_write_leaves_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = LogFile(tmp_path / "log")
    file.append(b"one\n")
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:2]))
    with pytest.raises(AuditError, match="only part of a record"):
        file.append(b"two\n")

    def broken(fd: int, data: bytes) -> int:
        write(fd, data)
        raise OSError(5, "")

    monkeypatch.setattr(os, "write", broken)
    with pytest.raises(AuditError, match=r"cannot write to .*log \(EIO\)"):
        file.append(b"two\n")
    monkeypatch.undo()
    assert (tmp_path / "log").read_bytes() == b"one\n"
    assert not file.torn
    file.append(b"three\n")
    assert (tmp_path / "log").read_bytes() == b"one\nthree\n"
    file.close()


def test_S33_bytes_that_cannot_be_taken_back_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = LogFile(tmp_path / "log")
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:2]))
    monkeypatch.setattr(os, "ftruncate", _broken)
    with pytest.raises(AuditError):
        file.append(b"two\n")
    assert file.torn
    file.close()


def test_a_sync_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = LogFile(tmp_path / "log")
    file.sync()
    monkeypatch.setattr(os, "fdatasync", _broken)
    with pytest.raises(AuditError, match=r"cannot sync .*log \(EIO\)"):
        file.sync()
    file.close()


def test_S34_one_process_holds_a_log_until_it_ends(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from keyswap.audit.file import lock; lock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"  # noqa: E501
    path = tmp_path / "log"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(AuditError, match=r"another process writes .*log: stop it, or"):
        lock(path)
    other.kill()
    other.communicate()
    os.close(lock(path))


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="ENOENT"):
        lock(tmp_path / "none" / "log")


def _broken(*_: object) -> None:
    raise OSError(5, "Input/output error")
