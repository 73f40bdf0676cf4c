"""The gate is positive: without every step's word nothing leaves, even when nothing has failed (S30)."""

import pytest

from addons.shared import News, shared_house
from addons.test_strict import attempt
from keyswap.addons.release import Release
from support.house import House

pytestmark = pytest.mark.asyncio(loop_scope="module")
house = shared_house()


@pytest.mark.parametrize("step", ["Identify", "Guard", "Route", "Swap"])
async def test_S30_a_step_that_is_missing_releases_nothing(house: House, step: str) -> None:
    """The gate is positive: what no step has agreed to is refused, even when nothing has failed."""
    session = house.mint()
    [addon] = [one for one in house.running.attached.chain.addons if type(one).__name__ == step]
    manager = house.running.attached.manager
    news = News(house)
    try:
        for hook in ("http_connect", "requestheaders"):
            if hasattr(addon, hook):
                setattr(addon, hook, None)
        manager._table = {}
        seen = await attempt(house, session)
    finally:
        for hook in ("http_connect", "requestheaders"):
            vars(addon).pop(hook, None)
        manager._table = {}
    assert house.provider.connections == []
    assert b"200 OK" not in seen
    assert news.records("refused")


async def test_S30_without_the_gate_nothing_is_dialled_either(house: House) -> None:
    """Without Release the placeholder is still in the head, and the dial guard has its permit; the rest must hold."""
    session = house.mint()
    [release] = [one for one in house.running.attached.chain.addons if isinstance(one, Release)]
    manager = house.running.attached.manager
    news = News(house)
    try:
        release.requestheaders = None  # type: ignore[method-assign,assignment]
        manager._table = {}
        seen = await attempt(house, session)
    finally:
        del release.requestheaders
        manager._table = {}
    assert house.key not in seen
    assert house.provider.recorder.holding(house.key) == []
    assert house.provider.connections == []
    assert news.records("request") == []
