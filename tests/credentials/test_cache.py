"""The keyring, on real files: S22, S25, S31, S42, S47."""

import hashlib
import hmac
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from credentials.conftest import Clock, Wall
from credentials.keys import NAME, NEW, OLD, env, in_place, recent, released
from credentials.shown import everything
from keyswap.credentials.cache import Keyring
from keyswap.credentials.file import FileSource
from keyswap.credentials.interface import Stamp
from keyswap.errors import CredentialError
from keyswap.exchange import CredentialName


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


class Quick:
    """A file that is written twice in one tick of the kernel's clock: from outside it looks the same."""

    name = "file:/quick"
    settled = False
    value = OLD

    def stamp(self) -> Stamp:
        return Stamp((1,), self.settled)

    def read(self) -> bytes:
        return self.value


def test_a_file_that_was_fresh_at_the_start_is_read_once_more(clock: Clock) -> None:
    source = Quick()
    keyring = Keyring({NAME: source}, fingerprint_key=b"", clock=clock)
    keyring.check()
    assert released(keyring) == (OLD, 1)
    source.value, source.settled = NEW, True
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
