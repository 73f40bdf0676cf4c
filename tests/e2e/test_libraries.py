"""HTTP libraries behind the proxy, told by nothing but their variables: httpx, requests, aiohttp, Node's fetch."""

import json
from pathlib import Path
from typing import Any

import pytest

from e2e.check import Key, assert_no_session_token, assert_one_by_one, assert_swapped, lines, of_way
from e2e.served import Minted
from support.clients import Clients
from support.node import Node
from support.provider import Provider

pytestmark = pytest.mark.e2e

SCRIPTS = Path(__file__).parent / "scripts"
API = "https://api.openai.com"
SSE_DELAY = 0.05
"""Seconds between two events of the provider's /sse where the query says nothing."""


def assert_echoed(item: dict[str, Any], key: Key) -> None:
    assert item["status"] == 200
    assert item["seen"] == key.returned
    assert json.loads(item["text"])["keys"] == [key.returned]


def assert_streamed(found: list[dict[str, Any]]) -> None:
    assert [number for item in found for number in range(8) if f'"i": {number},' in item["text"]] == list(range(8))
    assert_one_by_one([item["at"] for item in found], SSE_DELAY)


def test_httpx(clients: Clients, provider: Provider, openai_key: Key, session: Minted) -> None:
    """With http2=True as well. Through a tunnel httpx offers `http/1.1, h2` in this order, so a server that follows the
    client's order speaks HTTP/1.1 with it, and one that prefers HTTP/2 speaks that; both are right."""
    outcome = clients.python(SCRIPTS / "httpx_client.py", API)
    said = lines(outcome)
    for way, versions in (("h1", {"HTTP/1.1"}), ("h2", {"HTTP/1.1", "HTTP/2"})):
        (item,) = of_way(said, way)
        assert item["version"] in versions
        assert_echoed(item, openai_key)
        assert_streamed(of_way(said, f"{way} stream"))
    assert len(provider.requests) == 4
    assert_swapped(provider, outcome, openai_key, clients.home)
    assert_no_session_token(provider, session.token)


def test_requests(clients: Clients, provider: Provider, openai_key: Key, session: Minted) -> None:
    outcome = clients.python(SCRIPTS / "requests_client.py", API)
    said = lines(outcome)
    assert_echoed(of_way(said, "echo")[0], openai_key)
    (upload,) = of_way(said, "upload")
    assert upload["sent"] == upload["stored"]
    assert_streamed(of_way(said, "stream"))
    assert_swapped(provider, outcome, openai_key, clients.home)
    assert_no_session_token(provider, session.token)


def test_aiohttp(clients: Clients, provider: Provider, openai_key: Key, session: Minted) -> None:
    outcome = clients.python(SCRIPTS / "aiohttp_client.py", API)
    said = lines(outcome)
    assert_echoed(of_way(said, "echo")[0], openai_key)
    assert_streamed(of_way(said, "stream"))
    assert_swapped(provider, outcome, openai_key, clients.home)
    assert_no_session_token(provider, session.token)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("which", ["fetch", "undici"])
def test_node(clients: Clients, provider: Provider, openai_key: Key, session: Minted, node24: Node, which: str) -> None:
    """Node 24 reads the proxy variables by NODE_USE_ENV_PROXY=1; undici by its EnvHttpProxyAgent, on any Node."""
    undici = (str(node24.modules / "undici" / "index.js"),) if which == "undici" else ()
    outcome = clients.node(node24.program, SCRIPTS / "node_fetch.mjs", API, *undici)
    said = lines(outcome)
    assert_echoed(of_way(said, "echo")[0], openai_key)
    assert_streamed(of_way(said, "stream"))
    assert_swapped(provider, outcome, openai_key, clients.home)
    assert_no_session_token(provider, session.token)
