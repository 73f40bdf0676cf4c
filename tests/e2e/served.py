"""The proxy as a person runs it: `keyswap ca init`, `keyswap serve`, `keyswap session mint` and `env`, as processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

COMMAND = str(Path(sys.executable).parent / "keyswap")
STARTING = 30.0
"""Seconds until the ready file must be there."""
DRAINING = 15.0


@dataclass(frozen=True, slots=True)
class Minted:
    """One session, and what its sandbox is given."""

    id: str
    token: str
    proxy_url: str
    variables: Mapping[str, str]
    """Name → value: proxy, trust and placeholders."""


class Served:
    """`with Served(policy, state_dir) as proxy:` is a running proxy on loopback; SIGTERM ends it."""

    def __init__(self, policy: Path, state_dir: Path, *, passphrase: str = "") -> None:
        """`passphrase`: where that of the CA's key is, `file:/PATH`."""
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.policy = policy
        self.state_dir = state_dir
        self.certs_dir = state_dir / "ca"
        self.listen = ""
        """`127.0.0.1:PORT`."""
        self.status = ""
        self._ready = state_dir.parent / f"{state_dir.name}.ready"
        self._log_path = state_dir.parent / f"{state_dir.name}.log"
        self._passphrase = passphrase
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    @property
    def ca_pem(self) -> Path:
        return self.certs_dir / "ca.pem"

    @property
    def bundle_pem(self) -> Path:
        return self.certs_dir / "bundle.pem"

    @property
    def log(self) -> bytes:
        """All that the process has printed so far."""
        return self._log_path.read_bytes()

    def keyswap(self, *arguments: str) -> str:
        """Runs one keyswap command and gives its output; shows its errors where it fails."""
        done = subprocess.run(
            [COMMAND, *arguments], env=self._environment(), capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, f"keyswap {' '.join(arguments[:2])}: {done.stderr[-2000:]}"
        return done.stdout

    def mint(self, *arguments: str) -> Minted:
        """A new session (`--profile`, `--ttl`… may be given) and its variables."""
        files = ("--policy", str(self.policy), "--state-dir", str(self.state_dir), "--proxy", f"http://{self.listen}")
        minted: dict[str, Any] = json.loads(self.keyswap("session", "mint", "--json", *files, *arguments))
        return Minted(minted["id"], minted["token"], minted["proxy_url"], minted["env"])

    def variables(self, session: str) -> dict[str, str]:
        """What `session env` prints for a session."""
        files = ("--policy", str(self.policy), "--state-dir", str(self.state_dir))
        found: dict[str, str] = json.loads(self.keyswap("session", "env", session, "--format", "json", *files))
        return found

    def __enter__(self) -> Self:
        protected = ("--passphrase", self._passphrase) if self._passphrase else ()
        self.keyswap("ca", "init", "--dir", str(self.certs_dir), *protected)
        ports = ("--listen", "127.0.0.1:0", "--status", "127.0.0.1:0")
        files = ("--policy", str(self.policy), "--state-dir", str(self.state_dir), "--ready-file", str(self._ready))
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [COMMAND, "serve", *files, *ports],
                env=self._environment(),
                cwd=self.state_dir.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        ready = self._await_ready(self._process)
        self.listen, self.status = ready["listen"], ready["status"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(DRAINING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def _await_ready(self, process: "subprocess.Popen[bytes]") -> dict[str, str]:
        deadline = time.monotonic() + STARTING
        while time.monotonic() < deadline and process.poll() is None:
            try:
                ready: dict[str, str] = json.loads(self._ready.read_text())
            except (FileNotFoundError, json.JSONDecodeError):
                time.sleep(0.05)
            else:
                return ready
        process.kill()
        process.wait()
        raise AssertionError(f"keyswap serve did not become ready: {self.log.decode()[-3000:]}")

    def _environment(self) -> dict[str, str]:
        own = {"PATH": os.environ["PATH"], "HOME": str(self.state_dir.parent), "LANG": "C.UTF-8"}
        return {**own, "KEYSWAP_CA_PASSPHRASE": self._passphrase} if self._passphrase else own
