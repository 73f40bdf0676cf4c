"""Sessions in one SQLite file, for several processes."""

import multiprocessing
import os
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from keyswap.errors import StoreError
from keyswap.exchange import SessionId
from keyswap.store.interface import SessionExists, SessionRow
from keyswap.store.sqlite import SqliteStore


def row(name: str = "a", **changes: object) -> SessionRow:
    fresh = SessionRow(
        id=SessionId(name),
        token_hash=f"hash of {name} {changes}".encode(),
        profile="default",
        seed=os.urandom(16),
        created_at=100.0,
        expires_at=200.0,
    )
    return replace(fresh, **changes)  # type: ignore[arg-type]


def test_an_empty_store_holds_nothing(store: SqliteStore) -> None:
    assert store.all() == ()
    assert store.get_by_hash(b"hash") is None
    assert store.update_revoked(SessionId("a"), 0.0) == store.update_revoked_run("r", 0.0) == 0
    assert store.extend(SessionId("a"), 300.0, 0.0) == store.delete_ended(1e12) == 0


def test_what_went_in_comes_out(store: SqliteStore) -> None:
    full = row(tenant="täm", run_id="r-1", labels={"agent": "x y", "é": "\"'"}, revoked_at=150.5)
    store.insert(full)
    store.insert(row("b"))
    assert store.all()[0] == full == store.get_by_hash(full.token_hash)
    assert [one.id for one in store.all()] == ["a", "b"]


def test_what_went_in_is_there_after_a_restart(store: SqliteStore, path: Path) -> None:
    store.insert(one := row())
    store.close()
    with closing(SqliteStore(path)) as again:
        assert again.all() == (one,)


def test_the_id_of_a_living_session_is_taken(store: SqliteStore) -> None:
    store.insert(row())
    with pytest.raises(SessionExists, match="already called a"):
        store.insert(row(token_hash=b"other", created_at=199.0))
    assert len(store.all()) == 1


@pytest.mark.parametrize("ended", [{"revoked_at": 120.0}, {"expires_at": 150.0}])
def test_the_id_of_an_ended_session_is_free_and_its_row_stays(store: SqliteStore, ended: dict[str, float]) -> None:
    store.insert(row(**ended))
    store.insert(row(token_hash=b"other", created_at=150.0))
    assert [one.id for one in store.all()] == ["a", "a"]


def test_revoking_ends_a_living_session_once(store: SqliteStore) -> None:
    store.insert(row())
    store.insert(row("b"))
    assert [store.update_revoked(SessionId("a"), 150.0), store.update_revoked(SessionId("a"), 160.0)] == [1, 0]
    assert [one.revoked_at for one in store.all()] == [150.0, None]
    assert store.all()[0].ended_at == 150.0


def test_an_expired_session_is_not_revoked_as_well(store: SqliteStore) -> None:
    store.insert(row())
    assert store.update_revoked(SessionId("a"), 200.0) == 0


def test_revoking_a_run_ends_all_its_living_sessions(store: SqliteStore) -> None:
    for name, run in [("a", "r"), ("b", "r"), ("c", "s")]:
        store.insert(row(name, run_id=run))
    store.update_revoked(SessionId("a"), 110.0)
    assert store.update_revoked_run("r", 120.0) == 1
    assert [one.revoked_at for one in store.all()] == [110.0, 120.0, None]


def test_extending_never_shortens(store: SqliteStore) -> None:
    store.insert(row())
    assert store.extend(SessionId("a"), 300.0, 199.0) == 1
    assert store.extend(SessionId("a"), 250.0, 199.0) == 1
    assert store.all()[0].expires_at == 300.0


def test_extending_brings_nothing_back(store: SqliteStore) -> None:
    store.insert(row())
    store.insert(row("b"))
    store.update_revoked(SessionId("b"), 150.0)
    assert store.extend(SessionId("a"), 300.0, 200.0) == store.extend(SessionId("b"), 300.0, 160.0) == 0


def test_only_what_ended_before_is_deleted(store: SqliteStore) -> None:
    store.insert(row("expired", expires_at=120.0))
    store.insert(row("revoked", revoked_at=119.0, expires_at=500.0))
    store.insert(row("revoked after its end", revoked_at=130.0, expires_at=119.0))
    store.insert(row("living", expires_at=500.0))
    assert store.delete_ended(120.0) == 2
    assert [one.id for one in store.all()] == ["expired", "living"]


def test_the_version_tells_own_writes_and_those_of_others(store: SqliteStore, path: Path) -> None:
    seen = [store.data_version()]
    store.insert(row())
    seen.append(store.data_version())
    with closing(SqliteStore(path)) as other:
        other.insert(row("b"))
        seen.append(store.data_version())
        other.update_revoked(SessionId("b"), 150.0)
        store.update_revoked(SessionId("a"), 150.0)
        seen.append(store.data_version())
    assert sorted(set(seen)) == seen


def test_the_version_stays_while_nothing_is_written(store: SqliteStore, path: Path) -> None:
    store.insert(row())
    before = store.data_version()
    with closing(SqliteStore(path)) as other:
        other.all()
        other.get_by_hash(b"hash")
        assert other.update_revoked(SessionId("nobody"), 150.0) == 0
    store.all()
    assert store.data_version() == before


def test_S42_the_files_are_their_owners_alone(store: SqliteStore, path: Path) -> None:
    store.insert(row())
    files = list(path.parent.iterdir())
    assert len(files) == 3  # the database, its log, its index
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_S42_a_file_open_to_others_is_refused(store: SqliteStore, path: Path) -> None:
    path.chmod(0o640)
    with pytest.raises(StoreError, match="open to others"):
        SqliteStore(path)


def test_S42_a_row_prints_without_hash_and_seed() -> None:
    one = row(token_hash=b"HASH", seed=b"SEED")
    assert "HASH" not in repr(one)
    assert "SEED" not in repr(one)


def test_a_store_prints_as_its_path(store: SqliteStore, path: Path) -> None:
    assert repr(store) == f"SqliteStore('{path}')"


def test_a_file_of_a_later_version_is_left_alone(store: SqliteStore, path: Path) -> None:
    store.close()
    with closing(sqlite3.connect(path, autocommit=True)) as raw:
        raw.execute("PRAGMA user_version = 2")
    with pytest.raises(StoreError, match="later keyswap"):
        SqliteStore(path)


def test_a_file_that_is_no_database_is_told_without_its_content(path: Path) -> None:
    path.write_text("hunter2 " * 1000)
    path.chmod(0o600)
    with pytest.raises(StoreError, match="SQLITE_NOTADB") as caught:
        SqliteStore(path)
    assert "hunter2" not in str(caught.value)


def test_a_row_that_cannot_be_read_is_told(store: SqliteStore) -> None:
    store.insert(row())
    store._database.execute("UPDATE sessions SET labels = '{'")
    with pytest.raises(StoreError, match="cannot be read"):
        store.all()


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be used \\(FileNotFoundError\\)"):
        SqliteStore(tmp_path / "missing" / "sessions.db")


def test_a_file_replaced_below_us_is_told(store: SqliteStore, path: Path) -> None:
    path.rename(path.with_suffix(".old"))
    with pytest.raises(StoreError, match="cannot be used"):
        store.data_version()
    path.touch()
    with pytest.raises(StoreError, match="was replaced"):
        store.data_version()


def test_a_writer_waits_for_another_one_and_then_gives_up(store: SqliteStore, path: Path) -> None:
    with closing(SqliteStore(path, busy=0.05)) as other:
        store._database.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="SQLITE_BUSY"):
            other.insert(row())
        assert other.all() == ()  # reading does not wait
        store._database.execute("ROLLBACK")
        other.insert(row())


def test_a_closed_store_says_so_and_may_be_closed_again(store: SqliteStore) -> None:
    store.close()
    store.close()
    with pytest.raises(StoreError, match="cannot be used"):
        store.all()


def test_a_file_that_is_being_made_for_too_long_is_told(path: Path) -> None:
    with closing(sqlite3.connect(path, autocommit=True)) as maker:
        path.chmod(0o600)
        maker.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="SQLITE_BUSY"):
            SqliteStore(path, busy=0.05)
        maker.execute("ROLLBACK")
        SqliteStore(path).close()


def _insert_many(path: Path, name: str, start: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    with closing(SqliteStore(path, busy=20.0)) as store:
        for number in range(10):
            store.insert(row(f"{name}-{number}"))


def test_processes_that_begin_at_once_make_one_store(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(4)
    children = [context.Process(target=_insert_many, args=(path, str(n), start)) for n in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0, 0]
    with closing(SqliteStore(path)) as store:
        assert len(store.all()) == 40
