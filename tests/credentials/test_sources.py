"""The family of sources, and the words for one that cannot be used."""

import os
from pathlib import Path

import pytest

from credentials.shown import everything
from keyswap.credentials import read_token, source_for
from keyswap.credentials.env import EnvSource
from keyswap.credentials.file import MOST_BYTES, SETTLE, FileSource
from keyswap.credentials.interface import Absent, Stamp
from keyswap.errors import CredentialError


class Environ(dict[str, str]):
    """Prints without its values."""

    def __repr__(self) -> str:
        return "environ"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("sk-12345678\n")
    path.chmod(0o600)
    return path


def test_a_reference_names_its_source(key: Path) -> None:
    env, file = source_for("env:KEY", environ={"KEY": "sk-1"}), source_for(f"file:{key}")
    assert [env.name, file.name] == ["env:KEY", f"file:{key}"]
    assert [env.read(), file.read()] == [b"sk-1", b"sk-12345678\n"]


def test_a_variable_is_looked_up_in_this_process_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYSWAP_TEST_KEY", "sk-2")
    assert source_for("env:KEYSWAP_TEST_KEY").read() == b"sk-2"


@pytest.mark.parametrize(
    "reference",
    ["", "hunter2", "hunter2:x", "env:", "env:hunter2=", "env:2hunter2", "env:hunter2\n", "ENV:A", "file:",
     "file:hunter2", "file:./hunter2", "file:~/hunter2", "file:/hunter2\0", "file://hunter2\0", "vault:hunter2"],
)  # fmt: skip
def test_S42_a_reference_without_meaning_is_refused_and_not_quoted(reference: str) -> None:
    """Somebody may have written the key itself where its source belongs."""
    with pytest.raises(CredentialError) as caught:
        source_for(reference, environ={})
    assert "hunter2" not in str(caught.value)


def test_S31_a_variable_that_is_not_set_is_absent() -> None:
    with pytest.raises(Absent, match="KEY is not set"):
        source_for("env:KEY", environ={"OTHER": "hunter2"}).read()


def test_a_variable_is_read_once() -> None:
    environ = {"KEY": "old"}
    source = source_for("env:KEY", environ=environ)
    environ["KEY"] = "new"
    assert source.read() == b"old"
    assert source.stamp() == source.stamp() == Stamp()


def test_a_variable_that_is_not_text_keeps_its_bytes() -> None:
    assert source_for("env:KEY", environ={"KEY": os.fsdecode(b"\xff\x80")}).read() == b"\xff\x80"


def test_S42_a_source_prints_without_its_value() -> None:
    source = EnvSource("KEY", {"KEY": "hunter2"})
    assert repr(source) == "EnvSource('KEY')"
    assert repr(FileSource("/key")) == "FileSource('/key')"


def test_sources_are_equal_when_they_read_the_same() -> None:
    assert EnvSource("A", {"A": "1"}) == EnvSource("A", {"A": "1", "B": "2"})
    assert EnvSource("A", {"A": "1"}) != EnvSource("A", {"A": "2"})
    assert EnvSource("A", {"A": "1"}) != EnvSource("A", {})
    assert EnvSource("A", {"A": "1"}) != EnvSource("B", {"B": "1"})
    assert FileSource("/a") == FileSource("/a") != FileSource("/b")
    assert FileSource("/a") != EnvSource("A", {})
    assert len({FileSource("/a"), FileSource("/a")}) == 1


def test_S43_a_file_that_others_write_is_refused(key: Path) -> None:
    key.chmod(0o606)
    with pytest.raises(CredentialError, match="writable by others") as caught:
        FileSource(str(key)).read()
    assert not isinstance(caught.value, Absent)


def test_S43_a_file_in_a_directory_that_others_write_is_refused(key: Path) -> None:
    key.parent.chmod(0o777)
    with pytest.raises(CredentialError, match="writable by others"):
        FileSource(str(key)).read()


@pytest.mark.parametrize("name", ["missing", "key/below"])
def test_S31_a_file_that_does_not_exist_is_absent(key: Path, name: str) -> None:
    source = FileSource(str(key.parent / name))
    for look in (source.stamp, source.read):
        with pytest.raises(Absent, match="does not exist"):
            look()


def test_a_file_that_vanishes_while_it_is_looked_at_is_absent(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyswap.credentials.file.rights_problem", lambda path: key.unlink())
    with pytest.raises(Absent, match="does not exist"):
        FileSource(str(key)).read()


def test_a_path_that_cannot_be_followed_is_told(tmp_path: Path) -> None:
    (tmp_path / "ring").symlink_to("ring")
    with pytest.raises(CredentialError, match="cannot be read \\(OSError\\)"):
        FileSource(str(tmp_path / "ring")).stamp()


def test_a_pipe_in_place_of_a_file_stops_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key", 0o600)
    with pytest.raises(CredentialError, match="not a regular file"):
        FileSource(str(tmp_path / "key")).read()


def test_a_directory_is_not_a_key(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="not a regular file"):
        FileSource(str(tmp_path)).read()


def test_a_file_has_a_largest_size(key: Path) -> None:
    key.write_bytes(b"k" * MOST_BYTES)
    assert len(FileSource(str(key)).read()) == MOST_BYTES
    key.write_bytes(b"hunter2" + b"k" * MOST_BYTES)
    with pytest.raises(CredentialError, match="larger than 65536 bytes") as caught:
        FileSource(str(key)).read()
    assert "hunter2" not in everything(caught.value)


def test_a_file_settles_a_moment_after_its_last_write(key: Path) -> None:
    written = key.stat().st_ctime
    ages = [0.0, SETTLE / 2, SETTLE * 2, 3600.0, -10.0]
    settled = [FileSource(str(key), wall=lambda age=age: written + age).stamp().settled for age in ages]  # type: ignore[misc]
    assert settled == [False, False, True, True, True]


def test_every_way_to_change_a_file_changes_its_stamp(key: Path) -> None:
    source = FileSource(str(key))
    stamps = [source.stamp()]
    times = key.stat()

    def note() -> None:
        stamps.append(source.stamp())

    key.write_text("longer than before\n")
    note()
    key.write_text("LONGER THAN BEFORE\n")
    os.utime(key, ns=(times.st_atime_ns, times.st_mtime_ns))
    note()
    key.chmod(0o644)
    note()
    other = key.with_name("other")
    other.write_text("LONGER THAN BEFORE\n")
    other.replace(key)
    note()
    key.rename(other)
    key.symlink_to(other)
    note()
    assert len(set(stamps)) == len(stamps)


def test_a_token_is_read_like_a_key(key: Path) -> None:
    assert read_token(f"file:{key}") == "sk-12345678"
    assert read_token("env:TOKEN", environ={"TOKEN": "abc"}) == "abc"
    with pytest.raises(Absent):
        read_token("env:TOKEN", environ={"TOKEN": ""})


def test_S42_a_token_that_is_not_ASCII_is_refused_and_not_shown() -> None:
    environ = Environ({"TOKEN": "hunter2ü"})
    with pytest.raises(CredentialError, match="env:TOKEN is not ASCII") as caught:
        read_token("env:TOKEN", environ=environ)
    assert "hunter2" not in everything(caught.value)
