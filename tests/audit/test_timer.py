"""When the head is due."""

import asyncio

from keyswap.audit.timer import INTERVAL, HeadTimer


async def test_S45_on_a_loop_it_fires_once_an_interval() -> None:
    fired: list[float] = []
    loop = asyncio.get_running_loop()
    timer = HeadTimer(lambda: fired.append(loop.time()))
    start = loop.time()
    for _ in range(20):
        timer.touch(1000.0)
    assert fired == []
    await asyncio.sleep(INTERVAL * 1.5)
    assert len(fired) == 1
    assert fired[0] - start >= INTERVAL * 0.9
    await asyncio.sleep(INTERVAL * 1.5)
    assert len(fired) == 1
    timer.touch(1000.0)
    await asyncio.sleep(INTERVAL * 1.5)
    assert len(fired) == 2


async def test_S45_a_loop_that_stands_still_does_not_hold_it_up() -> None:
    fired: list[int] = []
    timer = HeadTimer(lambda: fired.append(1))
    timer.touch(1000.0)
    timer.touch(1000.9)
    assert not fired
    timer.touch(1001.0)
    assert fired
    await asyncio.sleep(INTERVAL * 1.5)
    assert len(fired) == 1


def test_S45_without_a_loop_it_fires_at_the_first_touch_after_an_interval() -> None:
    fired: list[int] = []
    timer = HeadTimer(lambda: fired.append(1))
    timer.touch(1000.0)
    timer.touch(1000.05)
    assert not fired
    timer.touch(1000.11)
    assert len(fired) == 1
    timer.touch(1000.15)
    timer.touch(900.0)  # the clock was set back
    assert len(fired) == 2


async def test_what_was_cancelled_does_not_fire() -> None:
    fired: list[int] = []
    timer = HeadTimer(lambda: fired.append(1))
    timer.cancel()
    timer.touch(1000.0)
    timer.cancel()
    await asyncio.sleep(INTERVAL * 1.5)
    assert not fired
