"""What a command says when it cannot be carried out: two lines, exit code 2, no traceback."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).parent / "keyswap")
POLICY = """\
version: 1
credentials:
  demo: {hosts: [api.demo.example], headers: [X-Api-Key], placeholder: {prefix: demo-, length: 40}, source: env:DEMO}
egress:
  - {host: api.demo.example}
sessions:
  box: {token: env:BOX}
"""


class Commands:
    """Runs keyswap with an empty home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}

    def __call__(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        environment: Mapping[str, str] = {**self.environment, **extra}
        return subprocess.run(
            [COMMAND, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=30
        )

    def fails(self, *arguments: str, **extra: str) -> str:
        """Runs what cannot be carried out, and gives what it says."""
        done = self(*arguments, **extra)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert 1 <= len(done.stderr.splitlines()) <= 2, done.stderr
        return done.stderr


@pytest.fixture
def keyswap(tmp_path: Path) -> Commands:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return Commands(home)


@pytest.fixture
def policy(keyswap: Commands) -> Path:
    path = keyswap.home / "policy.yaml"
    path.write_text(POLICY)
    path.chmod(0o600)
    return path


def test_a_ca_in_a_new_state_directory_leaves_it_private(keyswap: Commands) -> None:
    state = keyswap.home / "state"
    assert keyswap("ca", "init", "--state-dir", str(state), "--certs-dir", str(state / "ca")).returncode == 0
    assert state.stat().st_mode & 0o777 == 0o700
    assert keyswap("session", "list", "--state-dir", str(state)).returncode == 0


def test_init_says_what_comes_next(keyswap: Commands) -> None:
    path = keyswap.home / ".config" / "keyswap" / "policy.yaml"
    missing = keyswap("init", OPENAI_API_KEY="sk-made-up-1234567890", KEYSWAP_CERTS=str(keyswap.home / "ca"))
    assert missing.stderr.strip() == f"next: keyswap ca init, then keyswap serve --policy {path}"
    assert keyswap("ca", "init", "--dir", str(keyswap.home / "ca")).returncode == 0
    there = keyswap("init", "--force", OPENAI_API_KEY="sk-made-up-1234567890", KEYSWAP_CERTS=str(keyswap.home / "ca"))
    assert there.stderr.strip() == f"next: keyswap serve --policy {path}"


def test_init_where_nothing_can_be_written(keyswap: Commands, policy: Path) -> None:
    said = keyswap.fails("init", "--output", str(policy / "below"), OPENAI_API_KEY="sk-made-up-1234567890")
    assert f"{policy / 'below'} cannot be written" in said


def test_a_token_file_that_is_not_there(keyswap: Commands, policy: Path) -> None:
    token = keyswap.home / "token"
    where = ("--policy", str(policy), "--token-file", str(token))
    assert f"{token} does not exist" in keyswap.fails("session", "env", "box", *where, BOX="x7" * 16 + "-abcdef")
    token.write_text("ks_tökén\n")
    assert "is not ASCII" in keyswap.fails("session", "env", "box", *where, BOX="x7" * 16 + "-abcdef")


def test_the_token_of_a_token_file_is_in_the_address(keyswap: Commands, policy: Path) -> None:
    (keyswap.home / "token").write_text("ks_from-a-file\n")
    where = ("--policy", str(policy), "--token-file", str(keyswap.home / "token"))
    done = keyswap("session", "env", "box", *where, BOX="x7" * 16 + "-abcdef")
    assert "export HTTPS_PROXY=http://keyswap:ks_from-a-file@127.0.0.1:8080\n" in done.stdout


def test_a_ready_file_that_cannot_be_written_ends_serve(keyswap: Commands, policy: Path) -> None:
    assert keyswap("ca", "init", "--dir", str(keyswap.home / "ca")).returncode == 0
    serve = ("serve", "--policy", str(policy), "--certs-dir", str(keyswap.home / "ca"), "--listen", "127.0.0.1:0")
    done = keyswap(*serve, "--ready-file", str(policy / "below"), DEMO="made-up-key-123", BOX="x7" * 16 + "-abcdef")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"{policy / 'below'} cannot be written" in done.stderr


def test_the_demos_provider_where_its_port_is_taken(keyswap: Commands) -> None:
    assert keyswap("ca", "init", "--dir", str(keyswap.home / "ca")).returncode == 0
    listener = socket.socket()
    try:
        listener.bind(("127.0.0.1", 8444))
        listener.listen()
    except OSError:
        listener.close()  # taken by somebody else already, which is as good
    with listener:
        said = keyswap.fails("demo", "--provider", "--certs-dir", str(keyswap.home / "ca"))
    assert "cannot listen on 127.0.0.1:8444" in said


def test_the_demo_runs_behind_a_proxy_of_this_machine(keyswap: Commands) -> None:
    """pip may need it; the demo reaches loopback only."""
    done = keyswap("demo", "--once", HTTPS_PROXY="http://127.0.0.1:1", https_proxy="http://127.0.0.1:1")
    assert done.returncode == 0, done.stderr
    assert "demo-real-key-kept-outside-the-sandbox" in done.stdout


def test_serve_does_not_start_behind_a_proxy(keyswap: Commands, policy: Path) -> None:
    said = keyswap.fails("serve", "--policy", str(policy), HTTPS_PROXY="http://127.0.0.1:1")
    assert "HTTPS_PROXY is set for the proxy itself" in said
