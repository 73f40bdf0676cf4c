"""The keyring, on real files: S22, S25, S31, S42, S47."""

import hashlib
import hmac
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from credentials.conftest import Clock
from credentials.shown import everything
from keyswap.credentials import source_for
from keyswap.credentials.cache import CredentialErrors, Keyring
from keyswap.credentials.file import FileSource
from keyswap.credentials.interface import Source, Stamp
from keyswap.errors import CredentialError
from keyswap.exchange import CredentialName

NAME = CredentialName("openai")
OTHER = CredentialName("github")
OLD, NEW = b"sk-old-12345678", b"sk-new-12345678"


class Wall(Clock):
    """Long after every write, unless the test says otherwise."""

    def __init__(self) -> None:
        self.now = time.time() + 3600


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "key"
    path.parent.mkdir(mode=0o700)
    path.write_bytes(OLD)
    path.chmod(0o600)
    return path


@pytest.fixture
def keyring(key: Path, clock: Clock, wall: Wall) -> Keyring:
    return Keyring({NAME: FileSource(str(key), wall)}, fingerprint_key=b"k" * 32, clock=clock)


def env(**values: str) -> dict[CredentialName, Source]:
    return {CredentialName(name): source_for("env:KEY", environ={"KEY": value}) for name, value in values.items()}


def released(keyring: Keyring) -> tuple[bytes, int]:
    value = keyring.current(NAME)
    return value.secret.reveal(), value.version


def recent(keyring: Keyring) -> list[bytes]:
    return [secret.reveal() for secret in keyring.recent(NAME)]


def test_an_empty_keyring_has_nothing_to_give(clock: Clock) -> None:
    keyring = Keyring({}, fingerprint_key=b"", clock=clock)
    keyring.check()
    assert keyring.recent(NAME) == keyring.warnings == ()
    with pytest.raises(CredentialError, match="no credential is called openai"):
        keyring.current(NAME)


def test_a_value_comes_with_version_and_fingerprint(keyring: Keyring) -> None:
    keyring.check()
    assert released(keyring) == (OLD, 1)
    expected = hmac.new(b"k" * 32, b"openai\0" + OLD, hashlib.sha256).hexdigest()[:16]
    assert keyring.current(NAME).fingerprint == expected


def test_S47_a_fingerprint_depends_on_key_name_and_value(clock: Clock) -> None:
    def fingerprint(key: bytes, name: str, value: str) -> str:
        return Keyring(env(**{name: value}), fingerprint_key=key, clock=clock).current(CredentialName(name)).fingerprint

    assert (
        len({fingerprint(*case) for case in [(b"k", "a", "v"), (b"l", "a", "v"), (b"k", "b", "v"), (b"k", "a", "w")]})
        == 4
    )
    assert fingerprint(b"k", "a", "v") == fingerprint(b"k", "a", "v")


def test_S42_nothing_about_a_keyring_prints_a_value(keyring: Keyring) -> None:
    value = keyring.current(NAME)
    assert "sk-old" not in f"{keyring!r} {value!r} {value} {keyring.recent(NAME)!r} {keyring.warnings}"


# Rotation


def by_rename(key: Path, value: bytes) -> None:
    draft = key.with_name("draft")
    draft.write_bytes(value)
    draft.chmod(0o600)
    draft.replace(key)


def in_place(key: Path, value: bytes) -> None:
    key.write_bytes(value)


def by_delete(key: Path, value: bytes) -> None:
    key.unlink()
    key.write_bytes(value)
    key.chmod(0o600)


def by_link(key: Path, value: bytes) -> None:
    folder = key.parent / f"..{time.monotonic_ns()}"
    folder.mkdir(mode=0o700)
    (folder / "key").write_bytes(value)
    (folder / "key").chmod(0o600)
    draft = key.parent / "..draft"
    draft.symlink_to(folder.name)
    draft.replace(key.parent / "..data")
    if not key.is_symlink():
        key.unlink()
        key.symlink_to("..data/key")


WAYS = [by_rename, in_place, by_delete, by_link]


@pytest.mark.parametrize("rotate", WAYS)
def test_a_rotated_file_is_a_new_version(keyring: Keyring, key: Path, clock: Clock, rotate) -> None:  # type: ignore[no-untyped-def]
    assert released(keyring) == (OLD, 1)
    rotate(key, NEW)
    clock.forward(0.06)
    assert released(keyring) == (NEW, 2)
    rotate(key, b"sk-third-1234")
    clock.forward(0.06)
    assert released(keyring) == (b"sk-third-1234", 3)
    assert recent(keyring) == [b"sk-third-1234", OLD, NEW]


def test_a_file_is_looked_at_every_50_ms_and_no_oftener(keyring: Keyring, key: Path, clock: Clock) -> None:
    in_place(key, NEW)
    clock.forward(0.049)
    assert released(keyring) == (OLD, 1)
    clock.forward(0.002)
    assert released(keyring) == (NEW, 2)


def test_an_untouched_file_is_not_read_again(keyring: Keyring, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileSource, "read", lambda self: NEW)
    clock.forward(3600)
    assert released(keyring) == (OLD, 1)


def test_the_same_value_written_again_is_no_new_version(keyring: Keyring, key: Path, clock: Clock) -> None:
    by_rename(key, OLD + b"\n")
    clock.forward(1)
    assert released(keyring) == (OLD, 1)


def test_S22_a_half_written_value_is_never_released(keyring: Keyring, key: Path, clock: Clock, wall: Wall) -> None:
    in_place(key, b"sk-ne")
    wall.now = key.stat().st_ctime + 0.01
    clock.forward(0.06)
    assert released(keyring) == (OLD, 1)
    in_place(key, NEW)
    wall.now = key.stat().st_ctime + 0.2
    clock.forward(0.06)
    assert released(keyring) == (NEW, 2)


def test_a_file_that_was_fresh_at_the_start_is_read_once_more(key: Path, clock: Clock, wall: Wall) -> None:
    """Two writes in one tick of the kernel's clock may look the same from outside."""
    wall.now = key.stat().st_ctime
    keyring = Keyring({NAME: FileSource(str(key), wall)}, fingerprint_key=b"", clock=clock)
    keyring.check()
    before = key.stat()
    in_place(key, NEW)
    os.utime(key, ns=(before.st_atime_ns, before.st_mtime_ns))
    wall.forward(3600)
    clock.forward(0.06)
    assert released(keyring) == (NEW, 2)


class Restless(FileSource):
    """A file that grows while it is read, the first two times."""

    rest = 2

    def read(self) -> bytes:
        value = super().read()
        self.rest -= 1
        if self.rest >= 0:
            with open(self.name.removeprefix("file:"), "ab") as file:
                file.write(b"+")
        return value


def test_S22_a_value_that_changed_while_it_was_read_is_not_taken(key: Path, clock: Clock, wall: Wall) -> None:
    keyring = Keyring({NAME: Restless(str(key), wall)}, fingerprint_key=b"", clock=clock)
    with pytest.raises(CredentialError, match="changed while it was read"):
        keyring.current(NAME)
    clock.forward(0.06)
    with pytest.raises(CredentialError):
        keyring.current(NAME)
    clock.forward(0.06)
    assert released(keyring) == (OLD + b"++", 1)


def test_S22_an_emptied_file_is_bridged_for_a_second_and_no_longer(keyring: Keyring, key: Path, clock: Clock) -> None:
    in_place(key, b"")
    clock.forward(0.06)
    assert released(keyring) == (OLD, 1)
    clock.forward(0.9)
    assert released(keyring) == (OLD, 1)
    clock.forward(0.11)
    with pytest.raises(CredentialError, match="openai has no usable value: the value is empty"):
        keyring.current(NAME)
    in_place(key, OLD)
    clock.forward(0.06)
    assert released(keyring) == (OLD, 1)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda key: key.unlink(), "does not exist"),
        (lambda key: key.write_bytes(b"sk-new\nsk-other"), "a line break"),
        (lambda key: key.chmod(0o666), "writable by others"),
        (lambda key: key.write_bytes(b"k" * 70000), "larger than"),
    ],
)
def test_S22_a_spoiled_source_gives_nothing_after_a_second(  # type: ignore[no-untyped-def]
    keyring: Keyring, key: Path, clock: Clock, spoil, words: str
) -> None:
    spoil(key)
    clock.forward(0.06)
    assert released(keyring) == (OLD, 1)
    clock.forward(1.0)
    with pytest.raises(CredentialError, match=words) as caught:
        keyring.current(NAME)
    assert "sk-" not in everything(caught.value)


def test_S22_a_file_written_without_end_gives_nothing_after_a_second(
    keyring: Keyring, key: Path, clock: Clock, wall: Wall
) -> None:
    in_place(key, NEW)
    wall.now = key.stat().st_ctime
    clock.forward(0.06)
    assert released(keyring) == (OLD, 1)
    clock.forward(1.0)
    with pytest.raises(CredentialError, match="is being written"):
        keyring.current(NAME)


@pytest.mark.parametrize("rotate", WAYS)
def test_S22_no_request_is_dropped_and_no_half_value_released_while_keys_rotate(key: Path, rotate) -> None:  # type: ignore[no-untyped-def]
    """On the real clock, with a writer at work; every value is one that was written whole."""
    keyring = Keyring({NAME: FileSource(str(key))}, fingerprint_key=b"", clock=time.monotonic)
    values = [b"sk-" + str(number).encode() * (number + 8) for number in range(6)]
    done = threading.Event()

    def write() -> None:
        for value in values:
            rotate(key, value)
            time.sleep(0.13)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = {keyring.current(NAME).secret.reveal() for _ in until(done)}
    writer.join()
    time.sleep(0.15)
    assert seen <= {OLD, *values}
    assert len(seen) > 2
    assert keyring.current(NAME).secret.reveal() == values[-1]


def until(done: threading.Event) -> Iterator[None]:
    while not done.is_set():
        yield
        time.sleep(0.001)


# Start and reload


def test_S31_all_problems_are_told_at_once(tmp_path: Path, clock: Clock) -> None:
    sources = {
        CredentialName("a"): source_for("env:MISSING", environ={}),
        CredentialName("b"): source_for("env:EMPTY", environ={"EMPTY": ""}),
        CredentialName("c"): source_for(f"file:{tmp_path}/missing"),
        CredentialName("d"): source_for("env:BAD", environ={"BAD": "hunter2\nx"}),
        CredentialName("e"): source_for("env:GOOD", environ={"GOOD": "sk-12345678"}),
    }
    with pytest.raises(CredentialErrors) as caught:
        Keyring(sources, fingerprint_key=b"", clock=clock).check()
    assert [problem.credential for problem in caught.value.problems] == ["a", "b", "c", "d"]
    assert str(caught.value).splitlines() == [
        "credential a (env:MISSING): the variable MISSING is not set: set MISSING where keyswap is started",
        "credential b (env:EMPTY): the value is empty: store the key there",
        f"credential c (file:{tmp_path}/missing): {tmp_path}/missing does not exist: write the key there",
        "credential d (env:BAD): the value holds a line break: store the key alone, on one line",
    ]
    assert "hunter2" not in everything(caught.value)


def test_a_problem_without_advice_prints_without_a_colon_at_its_end(clock: Clock) -> None:
    class Broken:
        name = "broken:"

        def stamp(self) -> Stamp:
            raise CredentialError("it is broken")

        def read(self) -> bytes:
            return b""

    with pytest.raises(CredentialErrors, match=r"^credential openai \(broken:\): it is broken$"):
        Keyring({NAME: Broken()}, fingerprint_key=b"", clock=clock).check()


def test_S31_an_optional_credential_may_be_absent_and_is_refused_when_asked_for(clock: Clock) -> None:
    sources: dict[CredentialName, Source] = {NAME: source_for("env:KEY", environ={})}
    keyring = Keyring(sources, fingerprint_key=b"", clock=clock)
    keyring.check(optional={NAME})
    assert keyring.recent(NAME) == ()
    with pytest.raises(CredentialError, match="KEY is not set"):
        keyring.current(NAME)


def test_S43_an_optional_file_that_others_write_is_still_a_start_error(key: Path, keyring: Keyring) -> None:
    key.chmod(0o666)
    keyring.replace({NAME: FileSource(str(key))})
    sources: dict[CredentialName, Source] = {OTHER: FileSource(str(key))}
    with pytest.raises(CredentialErrors, match="writable by others"):
        keyring.replace(sources, optional={OTHER})


def test_an_optional_file_is_found_when_it_appears(key: Path, clock: Clock, wall: Wall) -> None:
    key.unlink()
    keyring = Keyring({NAME: FileSource(str(key), wall)}, fingerprint_key=b"", clock=clock)
    keyring.check({NAME})
    by_rename_into = key.with_name("draft")
    by_rename_into.write_bytes(NEW)
    by_rename_into.chmod(0o600)
    by_rename_into.replace(key)
    clock.forward(0.06)
    assert released(keyring) == (NEW, 1)


def test_the_check_looks_again(keyring: Keyring, key: Path, clock: Clock) -> None:
    in_place(key, NEW)
    keyring.check()
    assert released(keyring) == (NEW, 2)


def test_S25_warnings_name_credential_and_source(clock: Clock) -> None:
    keyring = Keyring(env(openai="Bearer sk-1"), fingerprint_key=b"", clock=clock)
    assert len(keyring.warnings) == 2
    assert all(line.startswith("credential openai (env:KEY): the value ") for line in keyring.warnings)
    assert "sk-1" not in str(keyring.warnings)


def test_a_reload_keeps_the_version_of_a_value_that_stays(keyring: Keyring, key: Path, clock: Clock) -> None:
    before = keyring.current(NAME)
    keyring.replace({NAME: FileSource(str(key))}, optional=())
    assert keyring.current(NAME) is before
    keyring.replace(env(openai=OLD.decode()), optional=())
    assert keyring.current(NAME) is before


def test_a_reload_counts_on_from_the_old_version(keyring: Keyring) -> None:
    keyring.current(NAME)
    keyring.replace(env(openai="sk-env-12345678"))
    assert released(keyring) == (b"sk-env-12345678", 2)
    assert recent(keyring) == [b"sk-env-12345678", OLD]


def test_S26_a_removed_credential_is_still_searched_for_and_never_released(keyring: Keyring, clock: Clock) -> None:
    keyring.current(NAME)
    keyring.replace({})
    with pytest.raises(CredentialError):
        keyring.current(NAME)
    assert recent(keyring) == [OLD]
    clock.forward(24 * 3600)
    assert recent(keyring) == []


def test_S31_a_reload_with_a_problem_changes_nothing(keyring: Keyring, clock: Clock) -> None:
    keyring.current(NAME)
    sources = {**env(openai="sk-env-12345678"), OTHER: source_for("env:MISSING", environ={})}
    with pytest.raises(CredentialErrors, match="credential github"):
        keyring.replace(sources, optional={NAME})
    assert released(keyring) == (OLD, 1)
    assert recent(keyring) == [OLD]
    keyring.replace(sources, optional={OTHER})
    assert released(keyring) == (b"sk-env-12345678", 2)


def test_a_reload_in_the_middle_of_a_rotation_goes_through(
    keyring: Keyring, key: Path, clock: Clock, wall: Wall
) -> None:
    in_place(key, b"")
    clock.forward(0.06)
    keyring.replace({NAME: FileSource(str(key), wall)}, optional=())
    assert released(keyring) == (OLD, 1)
    in_place(key, NEW)
    clock.forward(0.06)
    assert released(keyring) == (NEW, 2)


def test_a_new_source_without_a_value_does_not_fall_back_on_the_old_one(keyring: Keyring) -> None:
    keyring.current(NAME)
    keyring.replace({NAME: source_for("env:MISSING", environ={})})
    with pytest.raises(CredentialError, match="MISSING is not set"):
        keyring.current(NAME)
    assert recent(keyring) == [OLD]
