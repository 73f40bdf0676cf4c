"""The start-up self-test: proves that this engine fails closed, or ends the start (S30, S35)."""

import copy
from typing import Any

from mitmproxy import addonmanager, http
from mitmproxy.connection import Client, Server
from mitmproxy.proxy.layers.http._hooks import HttpRequestHeadersHook
from mitmproxy.proxy.server_hooks import ServerConnectHook, ServerConnectionHookData

from keyswap.addons.engine import EngineError, contract
from keyswap.addons.release import Release
from keyswap.addons.strict import StrictAddonManager

REPAIR = "install the versions of requirements.lock: pip install --no-deps --require-hashes -r requirements.lock"
MINIMUM_H2 = (4, 4, 1)


class _Raises:
    """An addon whose every hook fails."""

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        raise RuntimeError

    def server_connect(self, data: ServerConnectionHookData) -> None:
        raise RuntimeError


class _Mute:
    """Takes the place of the recorder: the self-test is no traffic."""

    def refused(self, *about: object) -> None:
        """Write nothing."""

    def abort(self, *about: object) -> None:
        """Close nothing."""


def check_versions(*, accept_old_h2: bool) -> None:
    """Raise EngineError on an h2 that downgrades requests ambiguously (GHSA-6hr6), unless told to accept it."""
    from importlib.metadata import version

    found = tuple(int(part) for part in version("h2").split(".")[:3])
    if found < MINIMUM_H2 and not accept_old_h2:
        raise EngineError(f"h2 {version('h2')} has a known request-smuggling hole", f"{REPAIR}; or --accept-old-h2")


def check_contract() -> None:
    """Raise EngineError if the engine lacks a name that keyswap replaces or relies on."""
    missing = [f"{owner.__name__}.{name}" for owner, name in contract() if not hasattr(owner, name)]
    if missing:
        raise EngineError(f"this mitmproxy lacks {', '.join(missing)}", REPAIR)


async def check_fails_closed(manager: addonmanager.AddonManager, release: Release) -> None:
    """Raise EngineError unless a raising hook, and a flow that no step has judged, are refused."""
    if not isinstance(manager, StrictAddonManager):
        raise EngineError("the addon manager is not the strict one", REPAIR)
    raising = _Raises()
    probe = StrictAddonManager.__new__(StrictAddonManager)
    probe.chain, probe.lookup, probe.master = [raising], {}, manager.master
    StrictAddonManager.take_over(probe, [raising])
    probe.probing = True
    flow = _flow()
    await probe.trigger_event(HttpRequestHeadersHook(flow))
    _expect(flow.response is not None and flow.response.status_code == 502, "a raising hook")
    data = ServerConnectionHookData(client=flow.client_conn, server=Server(address=("self-test.invalid", 443)))
    await probe.trigger_event(ServerConnectHook(data))
    _expect(data.server.error is not None, "a raising connect hook")
    unjudged = _flow()
    gate = copy.copy(release)
    gate.recorder = _Mute()  # type: ignore[assignment]
    await gate.requestheaders(unjudged)
    _expect(unjudged.response is not None and unjudged.response.status_code == 502, "a request nobody judged")


def _expect(held: bool, what: str) -> None:
    if not held:
        raise EngineError(f"self-test: {what} was not refused", REPAIR)


def _flow() -> http.HTTPFlow:
    client: Any = Client(peername=("192.0.2.1", 1), sockname=("192.0.2.1", 2), timestamp_start=0.0)
    flow = http.HTTPFlow(client, Server(address=("self-test.invalid", 443)))
    flow.request = http.Request.make("GET", "https://self-test.invalid/")
    return flow
