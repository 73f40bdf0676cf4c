"""One served proxy and one provider for the whole run; a test gets an empty record and a client with an empty home."""

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.check import Key
from e2e.served import Minted, Served
from support import node
from support.clients import Clients, client_environment
from support.git_server import GitServer
from support.node import Node
from support.provider import Provider

REPOSITORY = "acme/tool.git"
PLAIN_HOST = "files.example.com"
"""A host without a credential."""
NARROW_HOST = "narrow.example.com"
"""A host of which only /allowed/** is open."""

_POLICY = """\
version: 1
mode: enforce
credentials:
  anthropic: {{preset: anthropic, source: "file:{secrets}/anthropic"}}
  openai: {{preset: openai, source: "file:{secrets}/openai"}}
  github: {{preset: github, hosts: [api.github.com, github.com], source: "file:{secrets}/github"}}
egress:
  - {{host: api.anthropic.com, pin: "{address}", ca_file: "{ca}"}}
  - {{host: api.openai.com, pin: "{address}", ca_file: "{ca}"}}
  - {{host: api.github.com, pin: "{address}", ca_file: "{ca}"}}
  - {{host: github.com, pin: "{address}", ca_file: "{ca}"}}
  - {{host: files.example.com, pin: "{address}", ca_file: "{ca}"}}
  - {{host: narrow.example.com, paths: [/allowed/**], pin: "{address}", ca_file: "{ca}"}}
"""


@dataclass(frozen=True, slots=True)
class World:
    """What stands for the whole run."""

    provider: Provider
    git_server: GitServer
    proxy: Served
    session: Minted
    real: dict[str, bytes]
    """Credential → real key."""


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("world")
    real = {
        "anthropic": f"sk-ant-api03-{secrets.token_hex(47)}A".encode(),
        "openai": f"sk-proj-{secrets.token_hex(78)}".encode(),
        "github": f"ghp_{secrets.token_hex(18)}".encode(),
    }
    with Provider(place / "provider", keys=real.values()) as provider:
        git_server = GitServer(provider, place / "repositories")
        git_server.create(REPOSITORY, {"README": b"hello\n", "data.bin": secrets.token_bytes(300_000)})
        with Served(_write_policy(place, provider, real), place / "state") as proxy:
            yield World(provider, git_server, proxy, proxy.mint(), real)


def _write_policy(place: Path, provider: Provider, real: dict[str, bytes]) -> Path:
    vault = place / "secrets"
    vault.mkdir(mode=0o700)
    for name, value in real.items():
        (vault / name).write_bytes(value + b"\n")
        (vault / name).chmod(0o600)
    policy = place / "policy.yaml"
    policy.write_text(_POLICY.format(secrets=vault, address=provider.address, ca=provider.ca_pem))
    policy.chmod(0o600)
    return policy


@pytest.fixture
def keyswap_proxy(world: World) -> Served:
    return world.proxy


@pytest.fixture
def session(world: World) -> Minted:
    return world.session


@pytest.fixture
def provider(world: World) -> Provider:
    """The provider, with nothing recorded yet."""
    world.provider.recorder.forget()
    return world.provider


@pytest.fixture
def git_server(world: World) -> GitServer:
    return world.git_server


@pytest.fixture
def clients(world: World, provider: Provider, tmp_path: Path) -> Clients:
    """Clients in a sandbox: an empty home, the proxy, its CA and placeholders."""
    proxy, session = world.proxy, world.session
    variables = client_environment(session.proxy_url, proxy.ca_pem, proxy.bundle_pem, session.variables)
    return Clients(tmp_path / "home", variables)


@pytest.fixture
def anthropic_key(world: World) -> Key:
    return Key(world.real["anthropic"], world.session.variables["ANTHROPIC_API_KEY"])


@pytest.fixture
def openai_key(world: World) -> Key:
    return Key(world.real["openai"], world.session.variables["OPENAI_API_KEY"])


@pytest.fixture
def github_key(world: World) -> Key:
    return Key(world.real["github"], world.session.variables["GITHUB_TOKEN"])


@pytest.fixture(scope="session")
def node24() -> Node:
    """Node 24 with undici; skipped, with the reason, where npm cannot give it, but never in CI."""
    try:
        return node.install()
    except node.NodeMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
