"""Watching a policy: every good edit goes live within a second, a bad one changes nothing and is told (S31).

The folders are watched, not the files: an editor replaces a file by renaming another over it, Kubernetes swaps a
symlink above it, a deployment deletes and writes anew. Each makes a new file of the same name, which a watch on the
old one never hears of. File systems that send no events at all, or lose them, are looked at twice a second.

An edit is read once the files have held still for a moment, so that a half-written policy, which may be a valid one
without its last lines, is not taken for the new one; a file that vanishes is given longer to come back.
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path

from watchfiles import awatch

from keyswap.errors import Error
from keyswap.policy.model import Policy
from keyswap.policy.problems import PolicyErrors, Problem

POLL = 0.5
"""Seconds between two looks where no event comes."""
STILL = 0.08
"""Seconds that the files must hold still; an editor's truncate and write are closer together."""
PATIENCE = 0.4
"""Seconds after which an edit is read although the files never hold still, or stay away."""

Look = tuple[tuple[str, object], ...]


class Watcher:
    """Calls `on_loaded` with each new policy, and `on_rejected` with the reasons where an edit cannot be used.

    `load` runs in a thread, so that reading and compiling hold up no request; the callbacks run in the loop. It may
    raise any `Error`; what else it raises counts as a rejection too, told by its type alone. `current` is the policy
    that is live already: an edit between its loading and `run` is not missed.
    """

    def __init__(
        self,
        path: str | Path,
        load: Callable[[], Policy],
        on_loaded: Callable[[Policy], None],
        on_rejected: Callable[[Error], None],
        *,
        current: Policy | None = None,
    ) -> None:
        self._path = os.path.abspath(path)
        self._load = load
        self._on_loaded = on_loaded
        self._on_rejected = on_rejected
        self._live = current.sha256 if current else None
        self._files = _with(self._path, current.files if current else ())
        self._tried: str | None = None
        self._stir = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled."""
        events = asyncio.create_task(self._listen())
        seen: Look | None = None
        try:
            while True:
                now = await asyncio.to_thread(_look, self._files)
                if now != seen:
                    seen = await self._settled(now)
                    await self._try()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stir.wait(), POLL)
                self._stir.clear()
        finally:
            events.cancel()
            await asyncio.gather(events, return_exceptions=True)

    async def _settled(self, now: Look) -> Look:
        """The look at which the files hold still and are all there, or the last one once patience is over."""
        until = asyncio.get_running_loop().time() + PATIENCE
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(STILL)
            before, now = now, await asyncio.to_thread(_look, self._files)
            if now == before and all(state is not None for _, state in now):
                break
        return now

    async def _try(self) -> None:
        """Load, if anything is new, and tell what came of it."""
        first = self._tried is None
        try:
            policy = await self._loaded()
            if policy is not None and not (first and policy.sha256 == self._live):
                self._on_loaded(policy)
        except Error as error:
            self._on_rejected(error)
        except Exception as error:  # the last good policy stays, whatever went wrong
            self._on_rejected(self._unexpected(error))

    async def _loaded(self) -> Policy | None:
        """The policy as it is now; None where nothing changed since the last attempt. Raises what `load` raises."""
        while True:
            files = self._files
            # The digest is taken first: what is written after it makes the next one differ from it.
            digest = await asyncio.to_thread(_digest, files)
            if digest == self._tried:
                return None
            self._tried = digest
            try:
                policy = await asyncio.to_thread(self._load)
            except PolicyErrors as error:
                self._files = _with(self._path, (*files, *error.files))
                if self._files == files:
                    raise
            else:
                self._files = _with(self._path, policy.files)
                if self._files == files:
                    return policy
            # Other files belong to it now: read again, so that the digest covers what was read.

    def _unexpected(self, error: Exception) -> PolicyErrors:
        what = f"the policy could not be judged ({type(error).__name__})"
        return PolicyErrors([Problem(self._path, 1, 1, what, "the last good policy stays; undo the last edit")])

    async def _listen(self) -> None:
        """Turn events of the folders into a look; without events (or where they fail) the poll remains."""
        while True:
            folders = _folders(self._files)
            with contextlib.suppress(OSError, RuntimeError):
                async with aclosing(_events(folders)) as events:
                    async for _ in events:
                        self._stir.set()
                        if _folders(self._files) != folders:
                            break
            await asyncio.sleep(STILL)


def _events(folders: Mapping[str, int]) -> AsyncGenerator[object, None]:
    return awatch(
        *folders,
        watch_filter=None,
        debounce=50,
        step=20,
        recursive=False,
        rust_timeout=1000,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )


def _with(path: str, files: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((path, *files)))


def _look(files: Iterable[str]) -> Look:
    return tuple((path, _state(path)) for path in files)


def _state(path: str) -> object:
    """What changes when a file is edited, replaced, or given other rights; None where there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size, status.st_dev


def _digest(files: Iterable[str]) -> str:
    """One hash over contents and rights of the files: a `touch` is no edit."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.encode("utf-8", "surrogateescape") + b"\0")
        try:
            status = os.stat(path)
            digest.update(repr((status.st_mode, status.st_uid, status.st_gid)).encode())
            digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
        except (OSError, ValueError):
            digest.update(b"missing")
    return digest.hexdigest()


def _folders(files: Iterable[str]) -> dict[str, int]:
    """The existing folders that hold the files, and what their links lead to, with their inodes: a folder that is
    made anew is another one.
    """
    held = (folder for path in files for folder in (os.path.dirname(path), os.path.dirname(os.path.realpath(path))))
    found = {}
    for folder in held:
        with contextlib.suppress(OSError, ValueError):
            found[folder] = os.stat(folder).st_ino
    return found
