"""S43: who else can write, or read, a file that is trusted."""

import grp
import os
import pwd
import socket
import struct
from pathlib import Path

import pytest

from keyswap.files import private_problem, rights_problem, writers

STRANGE_GROUP = 54321


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    return folder


@pytest.fixture
def key(folder: Path) -> Path:
    return write(folder / "key")


def write(path: Path, mode: int = 0o600) -> Path:
    path.write_text("value")
    path.chmod(mode)
    return path


def status(mode: int, uid: int, gid: int) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, uid, gid, 5, 0, 0, 0))


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o644, 0o444])
def test_S43_a_file_only_its_owner_writes_is_trusted(folder: Path, mode: int) -> None:
    assert rights_problem(write(folder / "key", mode)) is None


def test_S43_a_folder_is_judged_like_a_file(folder: Path) -> None:
    assert rights_problem(folder) is None
    folder.chmod(0o777)
    assert rights_problem(folder) == f"{folder} is writable by others"


def test_S43_a_file_writable_by_others_is_refused(key: Path) -> None:
    key.chmod(0o602)
    assert rights_problem(str(key)) == f"{key} is writable by others"


def test_S43_a_file_in_a_folder_writable_by_others_is_refused(key: Path) -> None:
    key.parent.chmod(0o757)
    assert rights_problem(key) == f"{key.parent} is writable by others"


def test_S43_a_sticky_folder_may_be_writable_by_others(key: Path) -> None:
    """Kubernetes mounts secrets with mode 1777; nobody replaces another one's files there."""
    key.parent.chmod(0o1777)
    assert rights_problem(key) is None


def test_S43_a_sticky_bit_on_a_file_excuses_nothing(key: Path) -> None:
    key.chmod(0o1666)
    assert rights_problem(key) == f"{key} is writable by others"


def test_S43_a_group_is_its_owners_own_by_name_and_without_other_members() -> None:
    me = pwd.getpwuid(os.getuid())
    own = grp.getgrgid(me.pw_gid).gr_name == me.pw_name and set(grp.getgrgid(me.pw_gid).gr_mem) <= {me.pw_name}
    assert writers(status(0o660, me.pw_uid, me.pw_gid)) == ("" if own else f"group {me.pw_gid}")
    assert writers(status(0o660, me.pw_uid, STRANGE_GROUP)) == f"group {STRANGE_GROUP}"
    assert writers(status(0o640, me.pw_uid, STRANGE_GROUP)) == ""


def test_S43_a_group_shared_with_somebody_is_not_the_owners_own(monkeypatch: pytest.MonkeyPatch) -> None:
    me = pwd.getpwuid(os.getuid())
    members: list[str] = []
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group((me.pw_name, "x", gid, members)))
    assert writers(status(0o660, me.pw_uid, me.pw_gid)) == ""
    members.append("somebody")
    assert writers(status(0o660, me.pw_uid, me.pw_gid)) == f"group {me.pw_gid}"


def test_S43_an_owner_without_a_name_has_the_group_of_the_same_number() -> None:
    assert writers(status(0o660, STRANGE_GROUP, STRANGE_GROUP)) == ""
    assert writers(status(0o660, STRANGE_GROUP, STRANGE_GROUP + 1)) == f"group {STRANGE_GROUP + 1}"


def access_list(path: Path, *, writes: bool) -> None:
    """Give user 54321 a right of its own (acl(5); tag, rights, id for each entry)."""
    right = 6 if writes else 4
    entries = [(0x01, 6, -1), (0x02, right, STRANGE_GROUP), (0x04, 4, -1), (0x10, right, -1), (0x20, 0, -1)]
    raw = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(path, "system.posix_acl_access", raw)
    except OSError:
        pytest.skip("this file system knows no access lists")


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="access lists are read on Linux only")
def test_S43_an_access_list_that_lets_another_user_write_is_refused(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyswap.files._own_group", lambda uid, gid: True)
    access_list(key, writes=False)
    assert rights_problem(key) is None
    access_list(key, writes=True)
    assert rights_problem(key) == f"{key} is writable by an access list"


def test_S43_a_group_of_the_owners_own_may_write(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyswap.files._own_group", lambda uid, gid: True)
    key.chmod(0o660)
    assert rights_problem(key) is None


def test_S43_links_as_kubernetes_makes_them_are_followed(folder: Path) -> None:
    (folder / "..2025").mkdir()
    write(folder / "..2025" / "key", 0o644)
    (folder / "..data").symlink_to("..2025")
    (folder / "key").symlink_to("..data/key")
    assert rights_problem(folder / "key") is None


def test_S43_every_folder_a_link_passes_through_is_judged(folder: Path, tmp_path: Path) -> None:
    """A link in a folder that others write can be pointed elsewhere by them."""
    middle, end = tmp_path / "middle", tmp_path / "end"
    middle.mkdir()
    end.mkdir()
    write(end / "key")
    (middle / "link").symlink_to(end / "key")
    (folder / "key").symlink_to("../middle/./link")
    assert rights_problem(folder / "key") is None
    middle.chmod(0o777)
    assert rights_problem(folder / "key") == f"{middle} is writable by others"
    middle.chmod(0o755)
    end.chmod(0o777)
    assert rights_problem(folder / "key") == f"{end} is writable by others"


def test_S43_a_folder_that_is_reached_by_a_link_others_can_turn_is_refused(folder: Path, tmp_path: Path) -> None:
    shared, end = tmp_path / "shared", tmp_path / "end"
    shared.mkdir()
    end.mkdir()
    write(end / "key")
    (shared / "data").symlink_to(end)
    (folder / "key").symlink_to("../shared/data/key")
    for path in (folder / "key", shared / "data" / "key"):
        shared.chmod(0o755)
        assert rights_problem(path) is None
        shared.chmod(0o777)
        assert rights_problem(path) == f"{shared} is writable by others"


@pytest.mark.skipif(not Path("/proc/self/mounts").exists(), reason="needs a second mount that is always there")
def test_S43_a_link_out_of_its_mount_is_refused(folder: Path) -> None:
    (folder / "key").symlink_to("/proc/self/mounts")
    assert rights_problem(folder / "key") == f"{folder / 'key'} is a link that leads out of its own mount"


def test_S43_a_ring_of_links_is_refused(folder: Path) -> None:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    assert rights_problem(folder / "a") == f"{folder / 'a'} cannot be looked at (OSError)"


@pytest.mark.parametrize("name", ["missing", "key/below"])
def test_S43_what_does_not_exist_is_a_problem(key: Path, name: str) -> None:
    path = key.parent / name
    assert rights_problem(path) == private_problem(path) == f"{path} does not exist"


def test_S43_a_link_to_nothing_is_a_problem(folder: Path) -> None:
    (folder / "key").symlink_to("nothing")
    assert rights_problem(folder / "key") == f"{folder / 'key'} does not exist"


def test_S43_what_is_no_path_at_all_is_a_problem() -> None:
    assert rights_problem("/tmp/\0") == "'/tmp/\\x00' is not a path"


def test_S43_a_relative_path_is_read_from_the_working_directory(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(key.parent)
    assert rights_problem("key") is None
    key.chmod(0o666)
    assert rights_problem("key") == f"{key} is writable by others"


def test_S43_the_root_folder_can_be_asked() -> None:
    assert rights_problem("/") is None


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_S42_what_its_owner_alone_may_touch_is_private(key: Path, mode: int) -> None:
    key.chmod(mode)
    assert private_problem(key) is None


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o610, 0o602, 0o601])
def test_S42_any_right_of_anybody_else_is_a_problem(key: Path, mode: int) -> None:
    key.chmod(mode)
    assert private_problem(key) == f"{key} is open to others (mode {mode:04o})"


def test_S42_what_belongs_to_another_user_is_not_private(key: Path) -> None:
    assert private_problem(key, uid=os.getuid() + 1) == f"{key} belongs to user {os.getuid()}"
    assert private_problem(key, uid=os.getuid()) is None


def test_a_socket_can_be_asked_like_any_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        (folder / "s").chmod(0o600)
        assert rights_problem(folder / "s") is None
