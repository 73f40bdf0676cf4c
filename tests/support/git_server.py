"""Git over smart http behind the provider: `git http-backend` as a CGI program, Basic auth against the real keys.

The first request without a credential is answered 401, as the real hosts do; git then comes back with one. A push is
answered with a `remote:` line that shows the key, because a server hook could.
"""

import asyncio
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from support.call import Call
from support.provider import Provider
from support.received import Fields

AUTHOR = "Test <test@example.com>"
BRANCH = "main"
_HOOK = """#!/bin/sh
echo "pushed by $PRESENTED_KEY"
"""


class GitServer:
    """Bare repositories below `root`, served on the provider's host names under `/OWNER/NAME.git/`."""

    def __init__(self, provider: Provider, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._provider = provider
        self._root = root

    def create(self, name: str, files: Mapping[str, bytes]) -> Path:
        """A bare repository called `acme/tool.git` with one commit of `files` on `main`."""
        path = self._root / name
        path.mkdir(parents=True)
        self._git(path, "init", "--bare", "--quiet", f"--initial-branch={BRANCH}", ".")
        self._git(path, "config", "http.receivepack", "true")
        self._git(path, "fast-import", "--quiet", feed=_fast_import(files))
        hook = path / "hooks" / "post-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_HOOK)
        hook.chmod(0o755)
        self._provider.route(f"/{name}/", self._serve)
        return path

    def show(self, name: str, file: str) -> bytes:
        """A file at the head of `main`; CalledProcessError where there is none."""
        return self._git(self._root / name, "show", f"{BRANCH}:{file}")

    async def _serve(self, call: Call) -> None:
        key = next((key for key in call.request.keys if key in self._provider.keys), None)
        if key is None:
            await call.whole(401, b"who are you?\n", b"text/plain", [(b"www-authenticate", b'Basic realm="git"')])
            return
        environment = self._cgi_environment(call, key)
        status, fields, body = _parse(await asyncio.to_thread(_backend, environment, bytes(call.request.body)))
        await call.start(status, [*fields, (b"content-length", b"%d" % len(body))])
        await call.send(body)
        await call.end()

    def _cgi_environment(self, call: Call, key: bytes) -> dict[str, str]:
        def header(name: str) -> str:
            return (call.request.header(name) or b"").decode("latin-1")

        return _environment(self._root) | {
            "GIT_PROJECT_ROOT": str(self._root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": header("git-protocol"),
            "PATH_INFO": call.request.path,
            "QUERY_STRING": call.request.target.partition(b"?")[2].decode("latin-1"),
            "REQUEST_METHOD": call.request.method,
            "CONTENT_TYPE": header("content-type"),
            "CONTENT_LENGTH": str(len(call.request.body)),
            "HTTP_CONTENT_ENCODING": header("content-encoding"),
            "REMOTE_USER": "tester",
            "REMOTE_ADDR": "127.0.0.1",
            "PRESENTED_KEY": key.decode("latin-1"),
        }

    def _git(self, path: Path, *arguments: str, feed: bytes = b"") -> bytes:
        environment = _environment(self._root)
        done = subprocess.run(
            ["git", *arguments], cwd=path, env=environment, input=feed, check=True, capture_output=True, timeout=30
        )
        return done.stdout


def _environment(home: Path) -> dict[str, str]:
    """No configuration of the user's or the machine's."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def _backend(environment: dict[str, str], body: bytes) -> bytes:
    command = ["git", "http-backend"]
    return subprocess.run(command, env=environment, input=body, capture_output=True, check=False, timeout=60).stdout


def _parse(answer: bytes) -> tuple[int, Fields, bytes]:
    """Status, header fields and body of a CGI answer (RFC 3875, section 6)."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [line.partition(b": ") for line in head.split(b"\r\n") if line]
    fields = tuple((name.lower(), value) for name, _, value in lines)
    status = next((int(value.split()[0]) for name, value in fields if name == b"status"), 200)
    return status, tuple(pair for pair in fields if pair[0] != b"status"), body


def _fast_import(files: Mapping[str, bytes]) -> bytes:
    """One commit as a stream for `git fast-import`."""
    head = f"commit refs/heads/{BRANCH}\ncommitter {AUTHOR} 1700000000 +0000\ndata 5\nfirst\n".encode()
    return head + b"".join(
        f"M 100644 inline {name}\ndata {len(content)}\n".encode() + content + b"\n" for name, content in files.items()
    )
