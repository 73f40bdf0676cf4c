"""A refusal tells its user what to do, as far as each client lets it through.

A refused CONNECT: the reason phrase is all that clients show of it, and not all show that. curl prints it with -v or
-i; httpx, requests, aiohttp and node:https put it into their exception; Node's fetch (undici) keeps only the status
code. A refusal inside the tunnel is an ordinary answer, which every client shows.
"""

import re
from pathlib import Path

import pytest

from e2e.conftest import NARROW_HOST
from support.clients import Clients
from support.node import Node
from support.provider import Provider

pytestmark = pytest.mark.e2e

SCRIPTS = Path(__file__).parent / "scripts"
REFUSED = "https://api.foo.com/v1/models"
HINT = re.compile(r"403,? (message=')?keyswap host_not_listed: api\.foo\.com is not in egress \(policy\.yaml:\d+\)")
NARROW = f"https://{NARROW_HOST}/elsewhere"


@pytest.mark.parametrize("flag", ["-v", "-i"])
def test_curl_shows_the_reason_phrase_of_a_refused_connect(clients: Clients, provider: Provider, flag: str) -> None:
    outcome = clients.curl(flag, REFUSED)
    assert outcome.code == 56
    assert HINT.search(outcome.errors if flag == "-v" else outcome.text)
    assert provider.requests == []


@pytest.mark.parametrize("client", ["httpx", "requests", "aiohttp"])
def test_python_clients_show_the_reason_phrase_of_a_refused_connect(
    clients: Clients, provider: Provider, client: str
) -> None:
    outcome = clients.python(SCRIPTS / "refused_python.py", client, REFUSED)
    assert HINT.search(outcome.text), outcome.text
    assert provider.requests == []


@pytest.mark.timeout(400)
def test_node_https_shows_the_reason_phrase_of_a_refused_connect(
    clients: Clients, provider: Provider, node24: Node
) -> None:
    outcome = clients.node(node24.program, SCRIPTS / "refused_node.mjs", "https", REFUSED)
    assert HINT.search(outcome.text), outcome.text
    assert provider.requests == []


@pytest.mark.timeout(400)
def test_node_fetch_shows_the_status_of_a_refused_connect(clients: Clients, provider: Provider, node24: Node) -> None:
    """undici says `Proxy response (403) !== 200 when HTTP Tunneling` in the error's cause, and drops the rest."""
    outcome = clients.node(node24.program, SCRIPTS / "refused_node.mjs", "fetch", REFUSED)
    assert "403" in outcome.text
    assert provider.requests == []


def test_curl_shows_a_refusal_inside_the_tunnel(clients: Clients, provider: Provider) -> None:
    outcome = clients.curl(NARROW)
    assert_told(outcome.text)
    assert provider.requests == []


@pytest.mark.parametrize("client", ["httpx", "requests", "aiohttp"])
def test_python_clients_show_a_refusal_inside_the_tunnel(clients: Clients, provider: Provider, client: str) -> None:
    assert_told(clients.python(SCRIPTS / "refused_python.py", client, NARROW).text)
    assert provider.requests == []


@pytest.mark.timeout(400)
def test_node_fetch_shows_a_refusal_inside_the_tunnel(clients: Clients, provider: Provider, node24: Node) -> None:
    assert_told(clients.node(node24.program, SCRIPTS / "refused_node.mjs", "fetch", NARROW).text)
    assert provider.requests == []


def assert_told(text: str) -> None:
    """The code, what is missing, and the line of the policy that came nearest."""
    assert '"code": "path_not_listed"' in text, text
    assert NARROW_HOST in text
    assert re.search(r"policy\.yaml:\d+", text)
