"""git over https against the server, without a proxy that swaps: clone, push, and the question for a credential."""

from pathlib import Path

import pytest

from support.clients import Clients
from support.git_server import GitServer
from support.provider import Provider
from support_tests.conftest import KEY

LOGINS = ["x:{}", "{}:x-oauth-basic"]


@pytest.fixture
def server(provider: Provider, tmp_path: Path) -> GitServer:
    server = GitServer(provider, tmp_path / "repositories")
    server.create("acme/tool.git", {"README": b"hello\n", "dir/file": b"\x00\n\xff"})
    return server


def url(login: str) -> str:
    return f"https://{login.format(KEY.decode().replace('/', '%2F').replace('+', '%2B'))}@github.com/acme/tool.git"


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("size", [10, 1_500_000])
def test_clone_and_push(server: GitServer, provider: Provider, clients: Clients, login: str, size: int) -> None:
    outcome = clients.git("clone", "--quiet", url(login), "tool")
    assert outcome.code == 0, outcome.errors
    work = clients.home / "tool"
    assert (work / "dir" / "file").read_bytes() == b"\x00\n\xff"
    (work / "new").write_bytes(bytes(at * at % 253 for at in range(size)))
    clients.git("add", "new", cwd=work)
    clients.git("commit", "--quiet", "-m", "new", cwd=work)
    pushed = clients.git("-c", "core.compression=0", "push", "origin", "main", cwd=work)
    assert pushed.code == 0, pushed.errors
    assert f"remote: pushed by {KEY.decode()}" in pushed.errors
    assert server.show("acme/tool.git", "new") == (work / "new").read_bytes()
    assert provider.requests[0].keys == []


def test_without_a_credential_git_is_asked_for_one(server: GitServer, provider: Provider, clients: Clients) -> None:
    outcome = clients.git("clone", "https://github.com/acme/tool.git")
    assert "could not read Username" in outcome.errors
    assert len(provider.requests) == 1


def test_a_wrong_credential_is_refused(server: GitServer, clients: Clients) -> None:
    outcome = clients.git("clone", "https://x:wrong@github.com/acme/tool.git")
    assert "Authentication failed" in outcome.errors
