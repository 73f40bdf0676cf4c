"""The state directory and its key."""

import hashlib
import hmac
import multiprocessing
import os
import stat
import traceback
from pathlib import Path

import pytest

from keyswap.errors import StoreError
from keyswap.store.state import State


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "state"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_S42_a_new_state_is_its_owners_alone(home: Path) -> None:
    before = os.umask(0)
    try:
        state = State.open(home)
    finally:
        os.umask(before)
    assert state.path == home
    assert [mode(home), mode(home / "key")] == [0o700, 0o600]
    assert [file.name for file in home.iterdir()] == ["key"]
    assert len((home / "key").read_bytes()) == 32


def test_the_key_stays(home: Path) -> None:
    assert State.open(home).subkey("a") == State.open(str(home), create=False).subkey("a")


def test_every_label_has_a_key_of_its_own(home: Path) -> None:
    state = State.open(home)
    keys = {state.subkey(label) for label in ("a", "b", "", "keyswap a")} | {(home / "key").read_bytes()}
    assert len(keys) == 5
    assert {len(key) for key in keys} == {32}


def test_a_subkey_is_one_block_of_HKDF_expand(home: Path) -> None:
    """RFC 5869, section 2.3: T(1) = HMAC(PRK, info || 0x01)."""
    state = State.open(home)
    expected = hmac.new((home / "key").read_bytes(), b"keyswap audit\x01", hashlib.sha256).digest()
    assert state.subkey("audit") == expected


def test_a_missing_state_is_made_only_when_asked_to(home: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        State.open(home, create=False)
    assert not home.exists()


def test_a_missing_key_is_made_only_when_asked_to(home: Path) -> None:
    home.mkdir(parents=True, mode=0o700)
    with pytest.raises(StoreError, match="key does not exist"):
        State.open(home, create=False)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("rights", [0o750, 0o705, 0o701, 0o770])
def test_S42_a_directory_open_to_others_is_refused(home: Path, rights: int) -> None:
    State.open(home)
    home.chmod(rights)
    with pytest.raises(StoreError, match=r"open to others.*chmod 700"):
        State.open(home)


@pytest.mark.parametrize("rights", [0o640, 0o604])
def test_S42_a_key_open_to_others_is_refused(home: Path, rights: int) -> None:
    State.open(home)
    (home / "key").chmod(rights)
    with pytest.raises(StoreError, match=r"open to others.*chmod 600"):
        State.open(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_S42_a_directory_of_another_user_is_refused(home: Path) -> None:
    State.open(home)
    os.chown(home, 54321, -1)
    with pytest.raises(StoreError, match="belongs to user 54321"):
        State.open(home)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_S42_a_damaged_key_is_refused_and_not_shown(home: Path, size: int) -> None:
    State.open(home)
    (home / "key").write_bytes(b"K" * size)
    with pytest.raises(StoreError, match="damaged") as caught:
        State.open(home)
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "KKKK" not in shown


def test_S42_a_state_prints_without_its_key(home: Path) -> None:
    state = State.open(home)
    assert repr(state) == str(state) == f"State('{home}')"


def test_a_file_in_the_way_is_told(home: Path) -> None:
    home.parent.mkdir()
    home.touch()
    with pytest.raises(StoreError, match="cannot be made \\(FileExistsError\\)"):
        State.open(home)


def test_a_directory_in_place_of_the_key_is_told(home: Path) -> None:
    home.mkdir(parents=True, mode=0o700)
    (home / "key").mkdir(mode=0o700)
    with pytest.raises(StoreError, match="cannot be read \\(IsADirectoryError\\)"):
        State.open(home)


def test_a_file_system_without_links_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*paths: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(StoreError, match=r"PermissionError.*hard links"):
        State.open(home)
    assert list(home.iterdir()) == []


def test_whoever_is_second_takes_the_first_ones_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def slow_link(draft: Path, key: Path) -> None:
        monkeypatch.undo()
        State.open(home)
        link(draft, key)

    monkeypatch.setattr(os, "link", slow_link)
    assert State.open(home).subkey("a") == State.open(home).subkey("a")
    assert [file.name for file in home.iterdir()] == ["key"]


def _open(home: Path, start: object, found: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    found.put(State.open(home).subkey("a"))  # type: ignore[attr-defined]


def test_processes_that_begin_at_once_agree_on_one_key(home: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, found = context.Barrier(4), context.Queue()
    children = [context.Process(target=_open, args=(home, start, found)) for _ in range(4)]
    for child in children:
        child.start()
    keys = {found.get() for _ in children}
    for child in children:
        child.join()
    assert len(keys) == 1
