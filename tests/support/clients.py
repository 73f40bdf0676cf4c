"""Real clients as child processes: an empty home, only the variables given, every byte of output with its time."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

HERE = "localhost,127.0.0.1,::1"

ADDING = ("NODE_EXTRA_CA_CERTS",)
"""Variables whose certificates are added to the client's own trust: the CA alone."""
REPLACING = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "PIP_CERT",
)
"""Variables whose certificates are all that the client trusts: the system's and the CA."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a client said and how it ended."""

    code: int
    """Its exit code; negative: the signal that ended it."""
    out: bytes
    err: bytes
    arrivals: tuple[tuple[float, bytes], ...]
    """Standard output in the pieces in which it came, each with its monotonic time."""

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "replace")

    @property
    def errors(self) -> str:
        return self.err.decode("utf-8", "replace")

    @property
    def everything(self) -> bytes:
        """All it printed, and so all a sandbox could have learned from it."""
        return self.out + self.err


def client_environment(
    proxy_url: str, ca_pem: Path, bundle_pem: Path, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The variables of a sandbox: proxy and trust for every client we know, and `extra` (placeholders)."""
    proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "WSS_PROXY"), proxy_url)
    return {
        **proxies,
        "NO_PROXY": HERE,
        "no_proxy": HERE,
        "NODE_USE_ENV_PROXY": "1",
        **dict.fromkeys(ADDING, str(ca_pem)),
        **dict.fromkeys(REPLACING, str(bundle_pem)),
        **(extra or {}),
    }


class Clients:
    """Runs clients whose home is `home`, an empty directory, and who know nothing but `environment`."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        """Also their working directory."""
        self.environment = dict(environment)

    def curl(self, *arguments: str, timeout: float = 30) -> Outcome:
        """curl without a configuration file, quiet but for errors."""
        return self.run(["curl", "-q", "--silent", "--show-error", *arguments], timeout=timeout)

    def git(self, *arguments: str, cwd: Path | None = None, timeout: float = 30) -> Outcome:
        """git that never asks and never stores; commits are by nobody in particular."""
        own = {
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Test",
            "GIT_AUTHOR_EMAIL": "test@example.com",
            "GIT_COMMITTER_NAME": "Test",
            "GIT_COMMITTER_EMAIL": "test@example.com",
        }
        return self.run(["git", *arguments], extra=own, cwd=cwd, timeout=timeout)

    def python(self, script: Path, *arguments: str, timeout: float = 45) -> Outcome:
        """A Python script, with this interpreter and its packages."""
        return self.run([sys.executable, "-u", "-I", str(script), *arguments], timeout=timeout)

    def node(self, program: Path, script: Path, *arguments: str, timeout: float = 45) -> Outcome:
        """A script for the Node at `program`."""
        return self.run([str(program), str(script), *arguments], timeout=timeout)

    def run(
        self,
        command: Sequence[str],
        *,
        extra: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 30,
    ) -> Outcome:
        """Runs `command` to its end; TimeoutExpired, with what it printed, after `timeout` seconds."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8"}
        environment |= self.environment | dict(extra or {})
        with subprocess.Popen(
            command,
            env=environment,
            cwd=cwd or self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            return _collect(process, timeout)


def _collect(process: "subprocess.Popen[bytes]", timeout: float) -> Outcome:
    out: list[tuple[float, bytes]] = []
    err: list[tuple[float, bytes]] = []
    readers = [_reader(process.stdout, out), _reader(process.stderr, err)]
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired as expired:
        # Its own session: git and npm leave children that would hold the pipes open.
        os.killpg(process.pid, signal.SIGKILL)
        expired.output, expired.stderr = _joined(out), _joined(err)
        raise
    finally:
        for reader in readers:
            reader.join(5)
    return Outcome(code, _joined(out), _joined(err), tuple(out))


def _joined(pieces: list[tuple[float, bytes]]) -> bytes:
    return b"".join(piece for _, piece in pieces)


def _reader(pipe: IO[bytes] | None, into: list[tuple[float, bytes]]) -> threading.Thread:
    def read() -> None:
        while pipe and (data := os.read(pipe.fileno(), 65536)):
            into.append((time.monotonic(), data))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread
