"""Sessions in one SQLite file, for several processes on one machine.

Write-ahead logging lets the serving process read while a command writes. Every commit is synced: a revocation that a
power cut undid would bring a session back.
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from keyswap.errors import StoreError
from keyswap.exchange import SessionId
from keyswap.files import private_problem
from keyswap.store.interface import SessionExists, SessionRow

SCHEMA = 1
"""Stands in the file as `user_version`."""
_RETRY = 0.01
"""Seconds between two tries to get at a file that is being made."""

_CREATE = """
CREATE TABLE sessions (
  row INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  token_hash BLOB NOT NULL UNIQUE,
  profile TEXT NOT NULL,
  seed BLOB NOT NULL,
  created_at REAL NOT NULL,
  expires_at REAL NOT NULL,
  tenant TEXT NOT NULL,
  run_id TEXT NOT NULL,
  labels TEXT NOT NULL,
  revoked_at REAL
) STRICT
"""
_INDEX = "CREATE INDEX sessions_id ON sessions (id)"
_FIND_LIVING = "SELECT 1 FROM sessions WHERE id = :id AND revoked_at IS NULL AND expires_at > :now"
_INSERT = """
INSERT INTO sessions (id, token_hash, profile, seed, created_at, expires_at, tenant, run_id, labels, revoked_at)
VALUES (:id, :token_hash, :profile, :seed, :created_at, :expires_at, :tenant, :run_id, :labels, :revoked_at)
"""
_ALL = """
SELECT id, token_hash, profile, seed, created_at, expires_at, tenant, run_id, labels, revoked_at
FROM sessions ORDER BY row
"""
_BY_HASH = """
SELECT id, token_hash, profile, seed, created_at, expires_at, tenant, run_id, labels, revoked_at
FROM sessions WHERE token_hash = :hash
"""
_REVOKE = "UPDATE sessions SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL AND expires_at > :now"
_REVOKE_RUN = (
    "UPDATE sessions SET revoked_at = :now WHERE run_id = :run_id AND revoked_at IS NULL AND expires_at > :now"
)
_EXTEND = """
UPDATE sessions SET expires_at = max(expires_at, :expires_at)
WHERE id = :id AND revoked_at IS NULL AND expires_at > :now
"""
_DELETE_ENDED = "DELETE FROM sessions WHERE min(coalesce(revoked_at, expires_at), expires_at) < :before"


class SqliteStore:
    """The sessions in the SQLite file at `path`, which is made with mode 0600 where it is missing.

    `busy` is how long, in seconds, a call waits for another process's write. To be used by the thread that made it.
    Raises StoreError where the file is open to others, damaged, or of a later version.
    """

    def __init__(self, path: str | Path, *, busy: float = 2.0) -> None:
        self._path = str(path)
        with _translated(self._path):
            _make_private(self._path)
        problem = private_problem(self._path)
        if problem:
            raise StoreError(problem, f"chown it to this user and chmod 600 {self._path}")
        self._inode = os.stat(self._path).st_ino
        with _translated(self._path):
            self._database = sqlite3.connect(self._path, timeout=busy, autocommit=True)
        try:
            self._prepare(time.monotonic() + busy)
        except StoreError:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"SqliteStore({self._path!r})"

    def insert(self, row: SessionRow) -> None:
        values = {field.name: getattr(row, field.name) for field in fields(row)}
        with self._transaction() as run:
            if run(_FIND_LIVING, id=row.id, now=row.created_at).fetchall():
                raise SessionExists(f"a living session is already called {row.id}", "revoke it, or take another id")
            run(_INSERT, **{**values, "labels": json.dumps(dict(row.labels))})

    def get_by_hash(self, token_hash: bytes) -> SessionRow | None:
        with _translated(self._path):
            found = self._run(_BY_HASH, hash=token_hash).fetchall()
            return _row(*found[0]) if found else None

    def all(self) -> tuple[SessionRow, ...]:
        with _translated(self._path):
            return tuple(_row(*found) for found in self._run(_ALL))

    def update_revoked(self, session_id: SessionId, at: float) -> int:
        return self._change(_REVOKE, id=session_id, now=at)

    def update_revoked_run(self, run_id: str, at: float) -> int:
        return self._change(_REVOKE_RUN, run_id=run_id, now=at)

    def extend(self, session_id: SessionId, expires_at: float, now: float) -> int:
        return self._change(_EXTEND, id=session_id, expires_at=expires_at, now=now)

    def delete_ended(self, before: float) -> int:
        return self._change(_DELETE_ENDED, before=before)

    def data_version(self) -> int:
        """See the interface. One look costs a few microseconds.

        SQLite's own number tells the commits of others, `total_changes` ours; both only grow, so their sum differs
        whenever one of them does. A file that was replaced below us would never change again, so that is an error.
        """
        with _translated(self._path):
            if os.stat(self._path).st_ino != self._inode:
                raise StoreError(f"{self._path} was replaced while it was in use", "restart keyswap")
            ((version,),) = self._run("PRAGMA data_version").fetchall()
            return int(version) + self._database.total_changes

    def close(self) -> None:
        self._database.close()

    def _run(self, sql: str, **values: object) -> sqlite3.Cursor:
        # Rows are always fetched to the last: a half-read query would hold on to the moment at which it began.
        return self._database.execute(sql, values)

    def _change(self, sql: str, **values: object) -> int:
        with self._transaction() as run:
            return run(sql, **values).rowcount

    @contextmanager
    def _transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        with _translated(self._path):
            # IMMEDIATE: what is read inside still holds when it is written.
            self._run("BEGIN IMMEDIATE")
            try:
                yield self._run
                self._run("COMMIT")
            finally:
                if self._database.in_transaction:
                    self._run("ROLLBACK")

    def _prepare(self, deadline: float) -> None:
        with _translated(self._path):
            while not self._use_log(last_try=time.monotonic() >= deadline):
                time.sleep(_RETRY)
            self._run("PRAGMA synchronous = FULL")
        with self._transaction() as run:
            ((version,),) = run("PRAGMA user_version").fetchall()
            if version > SCHEMA:
                raise StoreError(
                    f"{self._path} was written by a later keyswap", "update keyswap, or move the file away"
                )
            if version < SCHEMA:
                run(_CREATE)
                run(_INDEX)
                run(f"PRAGMA user_version = {SCHEMA}")

    def _use_log(self, *, last_try: bool) -> bool:
        # Where processes make one file at once, this is the one statement that SQLite does not wait in.
        try:
            self._run("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            if last_try or error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            return False
        return True


def _make_private(path: str) -> None:
    # Made here and not by SQLite, so that it is never, not even for a moment, open to others. SQLite gives the files
    # beside it (-wal, -shm) the same mode.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return


def _row(session: str, token_hash: bytes, profile: str, seed: bytes, *rest: Any) -> SessionRow:
    created_at, expires_at, tenant, run_id, labels, revoked_at = rest
    return SessionRow(
        SessionId(session),
        token_hash,
        profile,
        seed,
        created_at,
        expires_at,
        tenant,
        run_id,
        json.loads(labels),
        revoked_at,
    )


@contextmanager
def _translated(path: str) -> Iterator[None]:
    """Turn SQLite's errors into ours, by their name: its texts may quote a value."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise StoreError(
            f"{path} cannot be used ({name})", "see that it is a keyswap database and the disk has room"
        ) from None
    except OSError as error:
        raise StoreError(f"{path} cannot be used ({type(error).__name__})", "see that the directory is there") from None
    except ValueError:
        raise StoreError(f"{path} holds a row that cannot be read", "move the file away and mint again") from None
