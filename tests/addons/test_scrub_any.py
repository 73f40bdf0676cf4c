"""Any cut of any body: what is scrubbed, and that nothing else is changed (S26)."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from addons.test_scrub import ask, masked
from support.call import Call
from support.house import House
from support.provider import Provider


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with Provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_S26_any_cut_of_any_body_is_scrubbed_and_nothing_else_is_changed(
    data: st.DataObject, standing: Provider, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Keys and words in any order, in any pieces: the words arrive as they are, the keys do not."""
    parts = data.draw(st.lists(st.sampled_from([b"KEY", b"words ", b"de", b"\n"]), min_size=1, max_size=8))
    cuts = data.draw(st.lists(st.integers(1, 60), min_size=1, max_size=8))
    bodies: list[bytes] = []

    async def reply(call: Call) -> None:
        body = b"".join(parts).replace(b"KEY", call.request.keys[0])
        await call.start(200)
        at = 0
        for cut in (*cuts, len(body)):
            await call.send(body[at : at + cut])
            at += cut
        await call.end()

    async def run() -> None:
        async with House(tmp_path_factory.mktemp("house"), standing) as house:
            session = house.mint()
            answer = await ask(house, session, "/reply")
            assert answer.complete
            bodies.append(answer.body)
            wanted = b"".join(parts).replace(b"KEY", masked(session, len(house.key)))
            assert answer.body == wanted

    standing.route("/reply", reply)
    asyncio.run(run())
    assert bodies
