"""S33: with `durability: machine` nothing leaves before its line is on the disk."""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from addons.shared import News, shared_house
from keyswap.audit.verify import verify
from support.house import HOST, POLICY, House, Minted

pytestmark = pytest.mark.asyncio(loop_scope="module")
house = shared_house(POLICY + "audit: {{durability: machine}}\n")


def key(session: Minted) -> list[tuple[str, str]]:
    return [("X-Api-Key", session.placeholder("demo"))]


@contextmanager
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A disk that syncs when the event is set."""
    original, done = os.fdatasync, threading.Event()

    def fdatasync(descriptor: int) -> None:
        done.wait(10)
        original(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr("os.fdatasync", fdatasync)
        try:
            yield done
        finally:
            done.set()


async def test_S33_a_release_waits_for_the_disk(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    session, news = house.mint(), News(house)
    async with house.tunnel(HOST, session) as wire:
        with slow_disk(monkeypatch) as done:
            asking = asyncio.create_task(wire.request("GET", "/echo", HOST, key(session)))
            await asyncio.sleep(0.3)
            assert [record["swaps"][0]["credential"] for record in news.records("request")] == ["demo"]
            assert news.nothing_left, "written is not yet on the disk"
            done.set()
            assert (await asking).status == 200
    [received] = house.provider.requests
    assert received.header("x-api-key") == house.key


async def test_S33_a_refusal_waits_for_no_disk(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    session, news = house.mint(), News(house)
    with slow_disk(monkeypatch):
        async with asyncio.timeout(2), await house.wire() as wire:
            assert (await wire.connect_tunnel("unlisted.example.com:443", session.token)).status == 403
    assert news.refused("host_not_listed")


async def test_S33_where_the_disk_fails_it_is_refused_and_nothing_leaves(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    session, news = house.mint(), News(house)
    async with house.tunnel(HOST, session) as wire:
        with monkeypatch.context() as patched:
            patched.setattr("os.fdatasync", no_space)
            answer = await wire.request("GET", "/echo", HOST, key(session))
            assert (answer.status, json.loads(answer.body)["code"]) == (503, "audit_unavailable")
            assert news.nothing_left
        assert (await wire.request("GET", "/echo", HOST, key(session))).status == 200, "the disk is back"
    assert [request.header("x-api-key") for request in house.provider.requests] == [house.key]
    await asyncio.sleep(0.2)
    assert verify(house.state_dir / "audit.jsonl", state_dir=house.state_dir).ok


async def test_S46_a_client_that_leaves_while_the_disk_is_waited_for_has_both_its_records(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, news = house.mint(), News(house)
    with slow_disk(monkeypatch) as done:
        async with house.tunnel(HOST, session) as wire:
            fields = f"X-Api-Key: {session.placeholder('demo')}"
            await wire.send(f"GET /echo HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n\r\n".encode())
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.2)
        done.set()
        await asyncio.sleep(0.2)
    begun, ended = news.records("request", "response", "refused")
    assert (begun["event"], ended["event"]) == ("request", "response")
    assert begun["id"] == ended["id"]
    assert ended["upstream"]["error"]
    assert news.nothing_left
