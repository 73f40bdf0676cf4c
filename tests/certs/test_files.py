"""Files are written whole or not at all, and read only where nobody else could have touched them (S41)."""

import os
import stat
from pathlib import Path

import pytest

from keyswap.certs import files
from keyswap.errors import CertificateError


def test_a_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    files.make_directory(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_S41_the_directory_of_a_clone_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "README.md").touch()
    (tmp_path / ".gitignore").touch()
    files.make_directory(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_directory_that_serves_something_else_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "somebody's.txt").touch()
    with pytest.raises(CertificateError, match="open to other users"):
        files.make_directory(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_file_in_the_place_of_a_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "certs").touch()
    with pytest.raises(CertificateError, match=r"cannot make .*certs"):
        files.make_directory(tmp_path / "certs")
    assert not files.exists(tmp_path / "certs" / "ca.pem")


def test_a_write_replaces_the_file_in_one_step_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    files.write(path, b"one", files.PUBLIC, new=True)
    with pytest.raises(CertificateError, match="nothing was changed"):
        files.write(path, b"two", files.PUBLIC, new=True)
    assert path.read_bytes() == b"one"
    files.write(path, b"three", files.PRIVATE)
    assert path.read_bytes() == b"three"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["ca.pem"]


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").mkdir()
    with pytest.raises(CertificateError, match="cannot write"):
        files.write(tmp_path / "ca.pem", b"one", files.PUBLIC)
    assert os.listdir(tmp_path) == ["ca.pem"]
    with pytest.raises(CertificateError, match="cannot write"):
        files.write(tmp_path / "missing" / "ca.pem", b"one", files.PUBLIC)


def test_only_a_regular_file_of_a_sane_size_is_read(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="not a regular file"):
        files.read(Path("/dev/null"), private=False)
    with pytest.raises(CertificateError, match="cannot read"):
        files.read(tmp_path / "missing", private=False)
    path = tmp_path / "large"
    path.write_bytes(b"x" * (files.LARGEST + 1))
    path.chmod(0o600)
    with pytest.raises(CertificateError, match="larger than"):
        files.read(path, private=True)


def test_S41_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    if os.geteuid() == 0:
        os.chown(path, 4242, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 4243)
    with pytest.raises(CertificateError, match="belongs to another user"):
        files.read(path, private=True)


def test_what_cannot_be_known_is_not_taken_for_missing(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="cannot read"):
        files.exists(tmp_path / ("x" * 300))
