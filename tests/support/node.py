"""Node 24 and undici, installed once by npm into the project's cache, from wherever npm's own configuration points.

Node 20 knows nothing of proxy variables; its successor does, and that is what the tests of Node's fetch are about.
"""

import fcntl
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("node@24", "undici@7")
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "npm"


class NodeMissing(Exception):
    """There is no npm here, or it could not install; its text is the reason to show."""


@dataclass(frozen=True, slots=True)
class Node:
    """An installed Node."""

    program: Path
    modules: Path
    """The `node_modules` that hold undici. A script imports from there by absolute path."""


def install(cache: Path = CACHE) -> Node:
    """The Node in `cache`, installed first where it is not there yet; NodeMissing where that fails."""
    node = Node(cache / "node_modules" / "node" / "bin" / "node", cache / "node_modules")
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _works(node):
            _npm_install(cache)
            if not _works(node):
                raise NodeMissing("npm installed node@24, but it does not run")
    return node


def _works(node: Node) -> bool:
    if not node.program.exists() or not (node.modules / "undici").is_dir():
        return False
    done = subprocess.run([node.program, "--version"], capture_output=True, check=False, timeout=30)
    return done.stdout.startswith(b"v24.")


def _npm_install(cache: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NodeMissing("npm is not installed")
    command = [npm, "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(cache), *PACKAGES]
    done = subprocess.run(command, cwd=cache, env=os.environ.copy(), capture_output=True, check=False, timeout=300)
    if done.returncode:
        raise NodeMissing(f"npm could not install {' and '.join(PACKAGES)} (exit code {done.returncode})")
