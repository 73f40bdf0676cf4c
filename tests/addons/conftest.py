"""A provider for each test of the flow."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from support.house import House
from support.provider import Provider


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    with Provider(tmp_path / "provider") as running:
        yield running


@pytest.fixture
async def house(tmp_path: Path, provider: Provider) -> AsyncIterator[House]:
    async with House(tmp_path, provider) as running:
        yield running
