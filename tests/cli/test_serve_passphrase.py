"""S41: the CA's key under a passphrase, from `ca init` to a handshake with `keyswap serve`."""

import os
import socket
import ssl
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.served import COMMAND, Served
from support.house import HOST, POLICY
from support.provider import Provider

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def policy(tmp_path: Path) -> Iterator[Path]:
    with Provider(tmp_path / "provider") as provider:
        folder = tmp_path / "policy"
        folder.mkdir(mode=0o700)
        file, key = folder / "policy.yaml", folder / "demo.key"
        file.write_text(POLICY.format(host=HOST, address=provider.address, ca=provider.ca_pem))
        key.write_bytes(b"real-key-behind-a-passphrase-0123456789")
        file.chmod(0o600)
        key.chmod(0o600)
        yield file


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE + "\n")
    file.chmod(0o600)
    return file


def handshake(proxy: Served) -> str | None:
    """CONNECT and a verified handshake; the TLS version."""
    token = b64encode(f"keyswap:{proxy.mint().token}".encode()).decode()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as plain:
        plain.sendall(
            f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}\r\nProxy-Authorization: Basic {token}\r\n\r\n".encode()
        )
        assert plain.recv(4096).startswith(b"HTTP/1.1 200 ")
        context = ssl.create_default_context(cafile=str(proxy.ca_pem))
        with context.wrap_socket(plain, server_hostname=HOST) as secured:
            return secured.version()


def test_S41_serve_reads_the_passphrase_from_a_file(tmp_path: Path, policy: Path, kept: Path) -> None:
    with Served(policy, tmp_path / "state", passphrase=f"file:{kept}") as proxy:
        assert b"ENCRYPTED PRIVATE KEY" in (proxy.certs_dir / "mitmproxy-ca.pem").read_bytes()
        assert handshake(proxy) == "TLSv1.3"
        assert PASSPHRASE.encode() not in proxy.log


@pytest.mark.parametrize(
    "given", ["", "file:{wrong}", "env:NOT_SET", PASSPHRASE], ids=["none", "wrong", "gone", "bare"]
)
def test_S41_without_the_right_passphrase_there_is_no_start(
    tmp_path: Path, policy: Path, kept: Path, given: str
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("another passphrase altogether\n")
    wrong.chmod(0o600)
    state = tmp_path / "state"
    own = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    subprocess.run(
        [COMMAND, "ca", "init", "--state-dir", state, "--dir", state / "ca", "--passphrase", f"file:{kept}"],
        env=own, check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    said = subprocess.run(
        [COMMAND, "serve", "--policy", policy, "--state-dir", state, "--listen", "127.0.0.1:0"],
        env={**own, "KEYSWAP_CA_PASSPHRASE": given.format(wrong=wrong)}, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert said.returncode == 2, said.stderr
    assert "Traceback" not in said.stderr
    assert PASSPHRASE not in said.stderr
    assert not (state / "audit.jsonl").exists(), "nothing was begun"
