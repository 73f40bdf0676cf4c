from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keyswap.identity.sessions import Sessions
from keyswap.store.sqlite import SqliteStore


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def opened(path: Path, clock: Clock) -> Iterator[Callable[[], Sessions]]:
    """Opens the same sessions again, as another process does."""
    stores: list[SqliteStore] = []

    def open_again() -> Sessions:
        stores.append(SqliteStore(path))
        return Sessions(stores[-1], clock=clock)

    yield open_again
    for store in stores:
        store.close()


@pytest.fixture
def sessions(opened: Callable[[], Sessions]) -> Sessions:
    return opened()
