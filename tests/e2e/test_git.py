"""git over https behind the proxy: clone and push with Basic, the placeholder as password or as user name."""

import pytest

from e2e.check import Key, assert_no_session_token, assert_swapped
from e2e.conftest import REPOSITORY
from e2e.served import Minted
from support.clients import Clients
from support.git_server import GitServer
from support.provider import Provider

pytestmark = pytest.mark.e2e

USERS = [
    pytest.param("x-access-token:{}", id="as-password"),
    pytest.param("{}:x-oauth-basic", id="as-user"),
]
SIZES = [
    pytest.param(1_000, id="small"),
    # Over http.postBuffer (1 MiB) git sends the pack chunked, after a probe.
    pytest.param(2_500_000, id="chunked"),
]


def url(login: str, key: Key) -> str:
    return f"https://{login.format(key.placeholder)}@github.com/{REPOSITORY}"


@pytest.mark.parametrize("login", USERS)
def test_clone(clients: Clients, provider: Provider, github_key: Key, session: Minted, login: str) -> None:
    outcome = clients.git("clone", "--quiet", url(login, github_key), "tool")
    assert outcome.code == 0, outcome.errors
    assert (clients.home / "tool" / "README").read_bytes() == b"hello\n"
    assert {request.sni for request in provider.requests} == {"github.com"}
    assert_swapped(provider, outcome, github_key, clients.home)
    assert_no_session_token(provider, session.token)


@pytest.mark.parametrize("login", USERS)
@pytest.mark.parametrize("size", SIZES)
def test_push(
    clients: Clients, provider: Provider, git_server: GitServer, github_key: Key, login: str, size: int
) -> None:
    assert clients.git("clone", "--quiet", url(login, github_key), "tool").code == 0
    work = clients.home / "tool"
    name = f"{'user' if login.startswith('{') else 'password'}-{size}"
    content = bytes((at * at * 31 + at // 251) % 256 for at in range(size))
    (work / name).write_bytes(content)
    assert clients.git("add", name, cwd=work).code == 0
    assert clients.git("commit", "--quiet", "-m", "more", cwd=work).code == 0
    big = ("-c", "core.compression=0", "-c", "pack.compression=0")
    outcome = clients.git(*big, "push", "origin", "main", cwd=work)
    assert outcome.code == 0, outcome.errors
    assert git_server.show(REPOSITORY, name) == content
    assert f"remote: pushed by {github_key.returned}" in outcome.errors
    assert_swapped(provider, outcome, github_key, clients.home)


def test_a_clone_without_a_credential_is_asked_for_one(clients: Clients, provider: Provider) -> None:
    """S23: git's first request carries none, and its 401 comes from the provider, not from the proxy."""
    outcome = clients.git("clone", "--quiet", f"https://github.com/{REPOSITORY}", "tool")
    assert outcome.code == 128
    assert "could not read Username" in outcome.errors
    assert [request.keys for request in provider.requests] == [[]]
