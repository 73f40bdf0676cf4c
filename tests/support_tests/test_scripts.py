"""The client scripts of the end-to-end tests work by themselves, through a proxy that looks at nothing.

What fails behind the real proxy and not here is the proxy's doing. The reactions to a refused CONNECT are facts about
the clients, which the wording of refusals is built on.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.check import assert_one_by_one, lines, of_way
from support import node
from support.clients import Clients, client_environment
from support.node import Node
from support.provider import Provider
from support.routes_llm import TEXT
from support.tunnel import Tunnel
from support_tests.conftest import KEY

pytestmark = pytest.mark.e2e

SCRIPTS = Path(__file__).parents[1] / "e2e" / "scripts"
PHRASE = "keyswap host_not_listed: api.foo.com is not in egress (policy.yaml:14)"
REFUSED = "https://api.foo.com/"


@pytest.fixture(scope="module")
def node24() -> Node:
    try:
        return node.install()
    except node.NodeMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


@pytest.fixture
def refused(provider: Provider, tmp_path: Path) -> Iterator[Clients]:
    with Tunnel(provider.port, refuse=f"403 {PHRASE}") as tunnel:
        yield Clients(tmp_path / "refused", client_environment(tunnel.url, provider.ca_pem, provider.ca_pem))


@pytest.mark.parametrize(
    ("script", "ways"),
    [
        ("anthropic_sdk.py", ["whole", "stream", "async whole", "async stream"]),
        (
            "openai_sdk.py",
            [
                f"{colour}{way}"
                for colour in ("", "async ")
                for way in ("chat stream", "responses whole", "responses stream")
            ],
        ),
    ],
)
def test_an_sdk_parses_every_answer(provider: Provider, clients: Clients, script: str, ways: list[str]) -> None:
    said = lines(clients.python(SCRIPTS / script))
    for way in ways:
        found = of_way(said, way)
        assert "".join(item["text"] for item in found) == TEXT + KEY.decode()
        if way.endswith("stream"):
            assert_one_by_one([item["at"] for item in found], provider.delay)


@pytest.mark.parametrize(
    ("script", "ways"),
    [
        ("httpx_client.py", ["h1", "h1 stream", "h2", "h2 stream"]),
        ("requests_client.py", ["echo", "upload", "stream"]),
        ("aiohttp_client.py", ["echo", "stream"]),
    ],
)
def test_a_library_gets_every_answer(clients: Clients, script: str, ways: list[str]) -> None:
    said = lines(clients.python(SCRIPTS / script, "https://api.openai.com"))
    for way in ways:
        found = of_way(said, way)
        if way.endswith("stream"):
            assert_one_by_one([item["at"] for item in found], 0.05)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("which", ["fetch", "undici"])
def test_node_gets_every_answer(clients: Clients, node24: Node, which: str) -> None:
    undici = [str(node24.modules / "undici" / "index.js")] if which == "undici" else []
    said = lines(clients.node(node24.program, SCRIPTS / "node_fetch.mjs", "https://api.openai.com", *undici))
    assert of_way(said, "echo")[0]["seen"] == KEY.decode()
    assert_one_by_one([item["at"] for item in of_way(said, "stream")], 0.05)


def test_curl_hides_the_reason_phrase_unless_asked(refused: Clients) -> None:
    assert PHRASE not in refused.curl(REFUSED).everything.decode()
    assert PHRASE in refused.curl("-v", REFUSED).errors
    assert PHRASE in refused.curl("-i", REFUSED).text


@pytest.mark.parametrize("client", ["httpx", "requests", "aiohttp"])
def test_python_clients_show_the_reason_phrase(refused: Clients, client: str) -> None:
    assert PHRASE in refused.python(SCRIPTS / "refused_python.py", client, REFUSED).text


@pytest.mark.timeout(400)
def test_node_https_shows_the_reason_phrase_and_fetch_does_not(refused: Clients, node24: Node) -> None:
    """Should this fail for fetch one day, undici has begun to show it: say so in e2e/test_refusal_hints.py."""
    said = {
        way: refused.node(node24.program, SCRIPTS / "refused_node.mjs", way, REFUSED).text for way in ("https", "fetch")
    }
    assert PHRASE in said["https"]
    assert "Proxy response (403)" in said["fetch"]
    assert PHRASE not in said["fetch"]
