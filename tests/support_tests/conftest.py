"""A provider with one key, and clients that reach it directly or through a proxy that looks at nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.clients import Clients, client_environment
from support.provider import Provider
from support.tunnel import Tunnel

KEY = b"sk-real-0123456789abcdef/+"


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    with Provider(tmp_path / "provider", keys={KEY}) as provider:
        yield provider


@pytest.fixture
def clients(provider: Provider, tmp_path: Path) -> Iterator[Clients]:
    """Clients behind a plain tunnel to the provider, holding the key itself."""
    keys = dict.fromkeys(("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GITHUB_TOKEN"), KEY.decode())
    with Tunnel(provider.port) as tunnel:
        yield Clients(tmp_path / "home", client_environment(tunnel.url, provider.ca_pem, provider.ca_pem, keys))
