"""Who else can change, or read, a file that this process has to trust.

Two questions about a path, answered in words or with None. Nothing is opened and nothing is changed.
"""

import errno
import grp
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

_MOST_LINKS = 40
"""As many links on the way as Linux follows (path_resolution(7))."""
_ACCESS_LIST = "system.posix_acl_access"


def rights_problem(path: str | Path) -> str | None:
    """Why the policy, key or directory at `path` cannot be trusted to say what its owner wrote, or None (S43).

    Asked of the file itself and of every directory that holds it or a link on the way to it: it must not be writable
    by others, nor by a group that is not its owner's own. A directory with the sticky bit may be (Kubernetes mounts
    secrets so): nobody replaces another one's files there. Links are followed as long as the file stays in the mount
    in which it is named (Kubernetes' `..data`). A path that cannot be looked at is a problem as well. Never raises.
    """
    try:
        way = _walk(str(Path(path).absolute()))
        if way.leaves_mount:
            return f"{path} is a link that leads out of its own mount"
        return next(filter(None, map(_writable, (*way.directories, way.end))), None)
    except OSError as error:
        return f"{path} {_reason(error)}"
    except ValueError:
        return f"{str(path)!r} is not a path"


def private_problem(path: str | Path, *, uid: int | None = None) -> str | None:
    """Why the file or directory at `path` is not this user's alone, or None. Never raises.

    It must belong to `uid` (this process's own by default) and give group and others no right at all.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        return f"{path} {_reason(error)}"
    if status.st_uid != (os.geteuid() if uid is None else uid):
        return f"{path} belongs to user {status.st_uid}"
    if stat.S_IMODE(status.st_mode) & 0o077:
        return f"{path} is open to others (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


@dataclass(frozen=True, slots=True)
class _Way:
    end: str
    """The path without any link in it."""
    directories: tuple[str, ...]
    """What holds the end, or a link passed on the way; in the order of the way."""
    leaves_mount: bool
    """The path names a link, and what it leads to stands in another mount."""


def _walk(path: str) -> _Way:
    here, rest, links = "/", _parts(path), 0
    directories: list[str] = []
    while rest:
        name = rest.pop()
        ahead = os.path.dirname(here) if name == ".." else os.path.join(here, name)
        is_link = stat.S_ISLNK(os.lstat(ahead).st_mode)
        if is_link or not rest:
            directories.append(here)
        if not is_link:
            here = ahead
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, "a ring of links")
        target = os.readlink(ahead)
        here = "/" if target.startswith("/") else here
        rest.extend(_parts(target))
    named = os.path.dirname(path) if os.path.islink(path) else here
    return _Way(here, tuple(dict.fromkeys(directories)), os.stat(named).st_dev != os.stat(here).st_dev)


def _parts(path: str) -> list[str]:
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _writable(path: str) -> str | None:
    status = os.stat(path)
    sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    who = "" if sticky else writers(status)
    if not who and not sticky and status.st_mode & stat.S_IWGRP and _has_access_list(path):
        who = "an access list"
    return f"{path} is writable by {who}" if who else None


def writers(status: os.stat_result) -> str:
    """Who besides its owner may write, in words, or an empty text.

    A group is its owner's own when it bears the owner's name (or, for a user without a name, the owner's number) and
    has no other member.
    """
    if status.st_mode & stat.S_IWOTH:
        return "others"
    if status.st_mode & stat.S_IWGRP and not _own_group(status.st_uid, status.st_gid):
        return f"group {status.st_gid}"
    return ""


def _own_group(uid: int, gid: int) -> bool:
    try:
        owner = pwd.getpwuid(uid)
        group = grp.getgrgid(gid)
    except KeyError:
        return uid == gid
    return owner.pw_gid == gid and group.gr_name == owner.pw_name and set(group.gr_mem) <= {owner.pw_name}


def _has_access_list(path: str) -> bool:
    # Where an access list stands, the group bits are its mask: they say that somebody may write, not who.
    try:
        return bool(os.getxattr(path, _ACCESS_LIST))
    except (OSError, AttributeError):
        return False


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "does not exist"
    return f"cannot be looked at ({type(error).__name__})"
