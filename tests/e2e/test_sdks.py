"""The Python SDKs of the providers behind the proxy: sync and async, whole and streamed, in one process each."""

from pathlib import Path

import pytest

from e2e.check import Key, assert_no_session_token, assert_one_by_one, assert_swapped, lines, of_way
from e2e.served import Minted
from support.clients import Clients
from support.provider import Provider
from support.routes_llm import TEXT

pytestmark = pytest.mark.e2e

SCRIPTS = Path(__file__).parent / "scripts"


def test_the_anthropic_sdk(clients: Clients, provider: Provider, anthropic_key: Key, session: Minted) -> None:
    outcome = clients.python(SCRIPTS / "anthropic_sdk.py")
    said = lines(outcome)
    for way in ("whole", "stream", "async whole", "async stream"):
        found = of_way(said, way)
        assert "".join(item["text"] for item in found) == TEXT + anthropic_key.returned
        if way.endswith("stream"):
            assert_one_by_one([item["at"] for item in found], provider.delay)
    assert [request.path for request in provider.requests] == ["/v1/messages"] * 4
    assert_swapped(provider, outcome, anthropic_key, clients.home)
    assert_no_session_token(provider, session.token)


def test_the_openai_sdk(clients: Clients, provider: Provider, openai_key: Key, session: Minted) -> None:
    outcome = clients.python(SCRIPTS / "openai_sdk.py")
    said = lines(outcome)
    for colour in ("", "async "):
        for way in ("chat whole", "chat stream", "responses whole", "responses stream"):
            found = of_way(said, colour + way)
            assert "".join(item["text"] for item in found) == TEXT + openai_key.returned
            if way.endswith("stream"):
                assert_one_by_one([item["at"] for item in found], provider.delay)
    assert len(provider.requests) == 8
    assert_swapped(provider, outcome, openai_key, clients.home)
    assert_no_session_token(provider, session.token)
