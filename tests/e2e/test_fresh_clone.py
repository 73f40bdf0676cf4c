"""A fresh clone on a machine that knows nothing of it: `make run`, the lines it prints, and `make demo`.

The clone is the files that git tracks or would track, as they are now. It sets itself up from the package registry that
pip is configured for; where there is none, this is skipped with the reason, but never in CI.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.check import files_holding
from support.shell import Shell

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
COLD_START = 120.0
"""Seconds from `make run` to the swapped request, .venv and all."""
REAL_KEY = "demo-real-key-kept-outside-the-sandbox"
SWAPPED = '"accepted": true, "the key you sent": "demo-placeholder-not-a-key************"'


@dataclass(frozen=True, slots=True)
class Clone:
    """A copy of the checkout, and what `make run` printed in it while it stays up."""

    folder: Path
    environment: Mapping[str, str]
    printed: str
    took: float

    @property
    def lines(self) -> dict[str, str]:
        """Title → line to paste."""
        return dict(re.findall(r"^# (.+)\n(.+)$", self.printed, re.MULTILINE))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    place = tmp_path_factory.mktemp("fresh")
    _need_a_registry(place)
    folder, home = place / "keyswap", place / "home"
    home.mkdir()
    _copy(folder)
    environment = _environment(home)
    started = time.monotonic()
    with Shell(folder, environment) as shell:
        shell.start("exec make run\n")
        shell.wait("the sandbox got back(.|\n)*the audit says", timeout=4 * COLD_START)
        took = time.monotonic() - started
        shell.wait("Ctrl-C ends it")
        yield Clone(folder, environment, shell.printed, took)
        shell.signal(signal.SIGINT)
        shell.ended()


def _copy(folder: Path) -> None:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        source, target = ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def _environment(home: Path) -> dict[str, str]:
    """This shell's, with an empty home, without our .venv, our variables and those of a make that runs this."""
    strange = ("KEYSWAP_", "XDG_", "PYTEST_", "MAKE", "MFLAGS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
    path = [part for part in os.environ["PATH"].split(os.pathsep) if not Path(part).is_relative_to(ROOT / ".venv")]
    configured = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "pip" / "pip.conf"
    if configured.exists():
        kept.setdefault("PIP_CONFIG_FILE", str(configured))
    return {**kept, "PATH": os.pathsep.join(path), "HOME": str(home)}


def _need_a_registry(place: Path) -> None:
    """One small package of the lock can be fetched; else skip, or fail in CI."""
    one = re.search(r"^(idna==\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert one
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--dest", str(place)]
    done = subprocess.run([*fetch, one[1]], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip("no package registry answers pip here")
    assert done.returncode == 0, done.stderr[-2000:]


def test_make_run_shows_a_swapped_request_within_two_minutes_of_a_cold_start(clone: Clone) -> None:
    shown = " ".join(re.sub(r"[│╭╮╰╯─]", " ", clone.printed).split())
    assert f"the provider received POST /v1/messages HTTP/1.1 Host: api.demo.example X-Api-Key: {REAL_KEY}" in shown
    assert SWAPPED in shown
    assert "warning" not in clone.printed
    assert clone.took < COLD_START


PASTED: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "swap a key": (0, (SWAPPED,)),
    "watch a stream being scrubbed": (0, ("data: event 1; your key is demo-placeholder", "data: event 5; your key is")),
    "be refused": (56, ("403 keyswap host_not_listed: api.other.example is not in egress (policy.yaml:",)),
    "see what was done": (0, ("swapped demo v1 in header:x-api-key", "refused demo CONNECT https://api.other.example")),
    "prove it": (0, ("nothing was changed, removed, moved or added",)),
    "ask why": (0, ("allow: api.demo.example is in egress", "may swap demo in x-api-key, authorization")),
}
"""Title of a line → exit code, and what it prints."""


def test_the_lines_that_make_run_prints_work_in_another_shell(clone: Clone, tmp_path: Path) -> None:
    """From another folder, with a home of its own."""
    assert list(clone.lines) == list(PASTED)
    with Shell(tmp_path, {**clone.environment, "HOME": str(tmp_path)}) as shell:
        for title, (code, said) in PASTED.items():
            done = shell.run(clone.lines[title])
            assert done.code == code, f"{title}: {done.text}"
            for words in said:
                assert words in done.text, f"{title}: {done.text}"
        assert REAL_KEY not in shell.printed


def test_make_demo_exits_0_and_leaves_nothing_behind(clone: Clone) -> None:
    options: dict[str, Any] = {"cwd": clone.folder, "env": clone.environment, "timeout": 60}
    done = subprocess.run(["make", "demo"], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    assert REAL_KEY in done.stdout
    assert files_holding(Path(clone.environment["HOME"]), REAL_KEY.encode()) == []


def test_a_second_set_up_does_nothing(clone: Clone) -> None:
    options: dict[str, Any] = {"cwd": clone.folder, "env": clone.environment, "timeout": 60}
    started = time.monotonic()
    done = subprocess.run(["make", "setup"], capture_output=True, text=True, check=True, **options)
    assert (done.stdout, done.stderr) == ("", "")
    assert time.monotonic() - started < 10
