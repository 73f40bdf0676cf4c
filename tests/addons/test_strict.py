"""When something breaks: whatever raises, nothing goes upstream and nothing of the answer comes through (S30)."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from mitmproxy import hooks, http
from mitmproxy.test import tflow

from addons.logged import logged
from addons.shared import News, shared_house
from keyswap.addons import selftest
from keyswap.addons.engine import EngineError
from keyswap.addons.release import Release
from keyswap.addons.scrub import Scrub
from keyswap.addons.strict import StrictAddonManager
from keyswap.rewrite.stream import Stream
from support.house import HOST, House, Minted
from support.wire import Closed, Wire
from support.wire_h2 import StreamBroken, Wire2

pytestmark = pytest.mark.asyncio(loop_scope="module")
house = shared_house()

BEFORE = (
    "client_connected", "next_layer", "http_connect", "http_connected", "tls_clienthello", "tls_start_client",
    "tls_established_client", "requestheaders", "request", "server_connect", "server_connected", "tls_start_server",
    "tls_established_server",
)  # fmt: skip
"""Hooks that run before a byte of the request has left, in their order."""

AFTER = ("responseheaders", "response")

ENDING = ("client_disconnected", "server_disconnected", "server_connect_error", "tls_failed_server", "error")


class Broken(Exception):
    """What a failing hook raises; its text is what must not be told."""


class Raises:
    """An addon of ours whose one hook fails."""

    name = "raises"

    def __init__(self, hook: str, text: str) -> None:
        self.called = 0

        def fail(*about: object) -> None:
            self.called += 1
            raise Broken(text)

        setattr(self, hook, fail)


@contextmanager
def added(house: House, addon: object) -> Iterator[None]:
    """One more addon at the end of the chain, whose hooks count as ours."""
    manager = house.running.attached.manager
    before = manager._ours
    manager._ours = before | {id(addon)}
    manager.add(addon)
    try:
        yield
    finally:
        manager.remove(addon)
        manager._ours = before


@contextmanager
def failing(house: House, addon: object, hook: str, text: str) -> Iterator[list[int]]:
    """One hook of one addon of the chain that raises."""
    calls: list[int] = []

    def fail(*about: object) -> None:
        calls.append(1)
        raise Broken(text)

    setattr(addon, hook, fail)
    house.running.attached.manager._table = {}
    try:
        yield calls
    finally:
        delattr(addon, hook)
        house.running.attached.manager._table = {}


def own_hooks(house: House) -> list[tuple[object, str]]:
    """Each addon of the chain with each of its hooks for traffic."""
    known = set(hooks.all_hooks) - {"load", "configure", "running", "done", "update"}
    chain = house.running.attached.chain.addons
    return [(addon, hook) for addon in chain for hook in sorted(known) if callable(getattr(addon, hook, None))]


async def attempt(house: House, session: Minted, path: str = "/echo", *, body: bytes = b"", alpn: str = "") -> bytes:
    """All that a client of a swapped request gets to see, however it ends."""
    seen = b""
    try:
        async with await house.wire() as wire:
            seen = await _converse(wire, session, path, body, alpn)
            seen += wire.everything
    except (Closed, StreamBroken, OSError) as broken:
        seen += getattr(broken, "data", b"")
    return seen


async def _converse(wire: Wire, session: Minted, path: str, body: bytes, alpn: str) -> bytes:
    connect = await wire.connect_tunnel(f"{HOST}:443", session.token)
    if connect.status != 200:
        return connect.everything
    await wire.tls(HOST, [alpn or "http/1.1"])
    headers = [("x-api-key", session.placeholder("demo"))]
    if alpn == "h2":
        client = await Wire2.start(wire)
        return (await client.request("POST" if body else "GET", path, HOST, headers, body)).everything
    return (await wire.request("POST" if body else "GET", path, HOST, headers, body)).everything


def secrets_of(house: House, session: Minted) -> list[str]:
    return [house.key.decode(), session.token, session.placeholder("demo")]


# -- every hook ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
@pytest.mark.parametrize("hook", BEFORE)
async def test_S30_an_exception_before_the_release_sends_nothing(house: House, hook: str, alpn: str) -> None:
    session = house.mint()
    news = News(house)
    raiser = Raises(hook, " ".join(secrets_of(house, session)))
    with logged() as log, added(house, raiser):
        seen = await attempt(house, session, alpn=alpn)
    assert raiser.called
    assert house.provider.requests == []
    assert b"200 OK" not in seen
    assert b"Broken" not in seen
    assert f"hook {hook} failed: Broken" in log.getvalue()
    assert not [secret for secret in secrets_of(house, session) if secret in log.getvalue()]
    assert not [secret for secret in secrets_of(house, session) if secret in str(news.records())]
    assert house.key in await _keys_seen_after(house, session)


async def _keys_seen_after(house: House, session: Minted) -> list[bytes | None]:
    """What arrives once the hook no longer fails: the failure has left nothing behind."""
    await attempt(house, session)
    return [request.header("x-api-key") for request in house.provider.requests]


@pytest.mark.parametrize("hook", ["http_connect", "requestheaders", "request"])
async def test_S30_a_hook_that_can_be_answered_is_answered_502_in_json(house: House, hook: str) -> None:
    session = house.mint()
    news = News(house)
    with added(house, Raises(hook, "boom")):
        seen = await attempt(house, session)
    told = json.loads(seen[seen.index(b"\r\n\r\n{") + 4 :].split(b"\n")[0])
    assert b"HTTP/1.1 502" in seen
    assert told["code"] == "internal"
    refused = [record["decision"]["code"] for record in news.records("refused")]
    ended = [record["upstream"]["error"] for record in news.records("response")]
    assert (refused, ended) in ((["internal"], []), ([], ["internal error"]))


@pytest.mark.parametrize("hook", AFTER)
@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
async def test_S30_an_exception_on_the_way_back_ends_the_connection(house: House, hook: str, alpn: str) -> None:
    session = house.mint()
    news = News(house)
    with logged() as log, added(house, Raises(hook, house.key.decode())):
        seen = await attempt(house, session, "/echo?form=raw&in=trailer", alpn=alpn)
    assert house.key not in seen
    assert house.key.decode() not in log.getvalue()
    [ended] = news.records("response")
    assert "error" in ended["upstream"] or hook == "response"  # Record had its turn before
    house.provider.recorder.forget()
    assert house.key in await _keys_seen_after(house, session)


async def test_S30_an_exception_at_the_end_of_a_streamed_request_ends_both_sides(house: House) -> None:
    session = house.mint()
    house.provider.recorder.forget()
    with added(house, Raises("request", "boom")):
        seen = await attempt(house, session, "/upload", body=bytes(200_000))
    assert b"200 OK" not in seen
    await asyncio.sleep(0.1)
    assert all(connection.closed for connection in house.provider.connections)


@pytest.mark.parametrize("hook", ENDING)
async def test_S30_an_exception_when_things_end_harms_nobody_else(house: House, hook: str) -> None:
    session = house.mint()
    with logged() as log, added(house, Raises(hook, house.key.decode())):
        await attempt(house, session, "/drop")
        assert b"HTTP/1.1 200" in await attempt(house, session)
    assert house.key.decode() not in log.getvalue()


async def test_S30_every_hook_of_every_step_fails_closed(house: House) -> None:
    """The same for the real chain: each step in turn, each of its hooks."""
    session = house.mint()
    steps = own_hooks(house)
    assert {type(addon).__name__ for addon, _ in steps} >= {"Tunnel", "Identify", "Guard", "Route", "Swap", "Release"}
    for addon, hook in steps:
        house.provider.recorder.forget()
        with failing(house, addon, hook, house.key.decode()) as calls:
            seen = await attempt(house, session, "/echo?form=raw")
        where = f"{type(addon).__name__}.{hook}"
        assert house.key not in seen, where
        if hook in BEFORE:
            assert calls, where
            assert house.provider.requests == [], where
            assert b"200 OK" not in seen, where
    house.provider.recorder.forget()
    assert house.key in await _keys_seen_after(house, session)


async def test_S30_a_scrubber_that_fails_lets_no_further_byte_through(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = house.mint()
    news = News(house)

    def broken(self: Stream, chunk: bytes) -> bytes:
        raise Broken(chunk.decode("latin-1"))

    with logged() as log, monkeypatch.context() as patched:
        patched.setattr(Stream, "feed", broken)
        # header fields go through feed as well: only the body's stream is to fail here
        patched.setattr(Scrub, "_head", lambda *about: None)
        seen = await attempt(house, session, "/echo?form=raw&split=5")
    assert seen.count(house.key) == seen.count(b"x-seen-key: " + house.key)
    assert not seen.endswith(b"0\r\n\r\n")
    assert house.key.decode() not in log.getvalue()
    [ended] = news.records("response")
    assert ended["upstream"]["error"]


async def test_S30_a_background_look_that_fails_is_not_the_last(house: House) -> None:
    from keyswap.addons.limits import Limits
    from keyswap.addons.roster import Roster

    chain = house.running.attached.chain.addons
    for kind in (Limits, Roster):
        [step] = [addon for addon in chain if isinstance(addon, kind)]
        calls: list[int] = []

        def look(calls: list[int] = calls) -> None:
            calls.append(1)
            raise Broken(house.key.decode())

        with logged() as log:
            step.look = look  # type: ignore[method-assign]
            await asyncio.sleep(1.2)
            del step.look
        assert len(calls) >= 2, kind
        assert "failed: Broken" in log.getvalue()
        assert house.key.decode() not in log.getvalue()


async def test_S30_an_ending_that_fails_keeps_no_other_from_letting_go(house: House) -> None:
    session = house.mint()
    chain = house.running.attached.chain
    [first] = [addon for addon in chain.addons if type(addon).__name__ == "Tunnel"]
    with logged() as log, failing(house, first, "client_disconnected", house.key.decode()) as calls:
        async with house.tunnel(HOST, session):
            pass
        await asyncio.sleep(0.2)
        assert len(calls) == 1
        assert session.session not in [state.session for _, state in chain.clients]
    assert "hook client_disconnected failed: Broken" in log.getvalue()


# -- the manager --------------------------------------------------------------------------------------------------


async def test_S36_addons_that_are_not_ours_hear_nothing_of_the_traffic(house: House) -> None:
    """A recorder that somebody adds (a flow list, a HAR writer) is deaf."""
    session = house.mint()
    heard: list[str] = []

    class Recorder:
        name = "recorder"

        def __getattr__(self, hook: str) -> Callable[..., None]:
            if hook not in hooks.all_hooks:
                raise AttributeError(hook)
            return lambda *about: heard.append(hook)

    manager = house.running.attached.manager
    recorder = Recorder()
    manager.add(recorder)
    try:
        await attempt(house, session)
    finally:
        manager.remove(recorder)
    assert {"requestheaders", "request", "responseheaders", "response", "client_connected"} & set(heard) == set()


async def test_the_selftest_passes_on_the_strict_manager_and_leaves_no_trace(house: House) -> None:
    attached = house.running.attached
    news = News(house)
    before = house.running.runtime.metrics.render()
    await selftest.check_fails_closed(attached.manager, attached.chain.release)
    assert news.records() == []
    assert house.running.runtime.metrics.render() == before
    assert {record["event"] for record in house.records()[:2]} == {"policy_loaded", "started"}


async def test_S30_the_selftest_finds_a_manager_that_swallows(house: House) -> None:
    from mitmproxy.addonmanager import AddonManager

    attached = house.running.attached
    lax = AddonManager.__new__(AddonManager)
    with pytest.raises(EngineError, match="not the strict one"):
        await selftest.check_fails_closed(lax, attached.chain.release)


async def test_S30_the_selftest_finds_a_strict_manager_that_no_longer_fails_closed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    attached = house.running.attached
    monkeypatch.setattr(StrictAddonManager, "_fail_closed", lambda self, name, data: None)
    with pytest.raises(EngineError, match="a raising hook was not refused"):
        await selftest.check_fails_closed(attached.manager, attached.chain.release)


async def test_S30_the_selftest_finds_a_gate_that_lets_through(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    attached = house.running.attached

    async def open_gate(self: Release, flow: http.HTTPFlow) -> None:
        return None

    monkeypatch.setattr(Release, "requestheaders", open_gate)
    with pytest.raises(EngineError, match="nobody judged"):
        await selftest.check_fails_closed(attached.manager, attached.chain.release)


async def test_an_addon_may_halt_an_event_but_not_open_it(house: House) -> None:
    from mitmproxy.exceptions import AddonHalt

    class Halts:
        name = "halts"

        def requestheaders(self, flow: http.HTTPFlow) -> None:
            raise AddonHalt

    manager = house.running.attached.manager
    halts = Halts()
    with added(house, halts):
        chain = manager.chain
        chain.insert(0, chain.pop())
        manager._table = {}
        session = house.mint()
        house.provider.recorder.forget()
        await attempt(house, session)
    assert house.provider.requests == []


async def test_a_websocket_message_is_dropped_where_its_hook_fails() -> None:
    """Websockets are refused today; the manager is right for them all the same."""
    flow = tflow.twebsocketflow()
    flow.live = True
    manager = StrictAddonManager.__new__(StrictAddonManager)
    manager.lookup, manager.chain = {}, []
    manager._fail_closed("websocket_message", flow)
    assert flow.websocket is not None
    assert flow.websocket.messages[-1].dropped
