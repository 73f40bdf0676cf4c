"""One fdatasync for all who wait."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyswap.audit.sync import GroupSync
from keyswap.errors import AuditError


class Disk:
    """A file whose syncs are counted, may be held up, and may fail."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fd = os.open(path, os.O_CREAT | os.O_WRONLY)
        self.seq = self.syncs = self.failures = 0
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False
        self.group = GroupSync(lambda: (self.seq, os.dup(self.fd)), self._failed)
        monkeypatch.setattr(os, "fdatasync", self._sync)

    def _sync(self, fd: int) -> None:
        self.gate.wait(10)
        self.syncs += 1
        if self.broken:
            raise OSError(5, "")

    def _failed(self) -> None:
        self.failures += 1


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(tmp_path / "log", monkeypatch)
    yield disk
    disk.gate.set()
    disk.group.close()
    os.close(disk.fd)


async def test_S33_those_who_wait_share_one_sync(disk: Disk) -> None:
    disk.seq = 5
    await asyncio.gather(*(disk.group.wait(seq) for seq in (1, 2, 3, 4, 5)))
    assert disk.syncs == 1
    await disk.group.wait(5)
    assert disk.syncs == 1


async def test_S33_whoever_comes_while_one_runs_waits_for_the_next(disk: Disk) -> None:
    disk.seq = 1
    disk.gate.clear()
    first = asyncio.ensure_future(disk.group.wait(1))
    await asyncio.sleep(0.05)
    disk.seq = 3
    later = [asyncio.ensure_future(disk.group.wait(seq)) for seq in (2, 3)]
    await asyncio.sleep(0.05)
    assert not first.done()
    disk.gate.set()
    await first
    await asyncio.gather(*later)
    assert disk.syncs == 2


async def test_S33_a_sync_that_fails_refuses_all_who_waited(disk: Disk) -> None:
    disk.seq, disk.broken = 2, True
    told = await asyncio.gather(disk.group.wait(1), disk.group.wait(2), return_exceptions=True)
    assert [type(error) for error in told] == [AuditError, AuditError]
    assert disk.failures == 1
    disk.broken = False
    await disk.group.wait(2)


async def test_one_who_leaves_takes_nobody_with_him(disk: Disk) -> None:
    disk.seq = 2
    disk.gate.clear()
    leaving = asyncio.ensure_future(disk.group.wait(1))
    staying = asyncio.ensure_future(disk.group.wait(2))
    await asyncio.sleep(0.02)
    leaving.cancel()
    await asyncio.sleep(0.02)
    disk.gate.set()
    await staying
    assert leaving.cancelled()
    assert disk.syncs == 1


async def test_the_loop_goes_on_while_the_disk_is_slow(disk: Disk) -> None:
    disk.seq = 1
    disk.gate.clear()
    waiting = asyncio.ensure_future(disk.group.wait(1))
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not waiting.done()
    disk.gate.set()
    await waiting


async def test_no_descriptor_is_left_open(disk: Disk) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for disk.seq in range(1, 20):
        disk.broken = disk.seq % 2 == 0
        await asyncio.gather(disk.group.wait(disk.seq), return_exceptions=True)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_S33_after_close_nobody_is_told_that_a_record_is_safe(disk: Disk) -> None:
    disk.seq = 1
    disk.group.close()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(AuditError, match="cannot be synced"):
        await disk.group.wait(1)
    assert len(os.listdir("/proc/self/fd")) == before
