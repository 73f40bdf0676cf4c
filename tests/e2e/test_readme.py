"""The README's commands, pasted in their order into the shells it speaks of, against a provider on loopback.

A block is marked by a comment before its fence: `<!-- test: NAME in SHELL -->`, and `, stays up` where it does not end.
What differs from a reader's machine: an empty home, a free port instead of 8080, and in the policy that `keyswap init`
wrote an address for each host, so that the real names are answered here.
"""

import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.check import files_holding
from support.git_server import GitServer
from support.provider import Provider
from support.shell import Said, Shell

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
VENV = ROOT / ".venv" / "bin"
MARK = re.compile(r"<!-- test: ([\w-]+) in (\w+)(, stays up)? -->\n```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DEMO_PORT = 8444
"""Where policy/demo.yaml looks for its provider."""
WATCHED = 1.5
"""Seconds in which mitmdump would have seen that its script has changed; it looks once a second."""


@dataclass(frozen=True, slots=True)
class Block:
    """One marked block of the README."""

    name: str
    shell: str
    stays_up: bool
    text: str


BLOCKS = {name: Block(name, shell, bool(stays), text) for name, shell, stays, text in MARK.findall(README)}
QUICK_START = (
    "set-up", "init", "serve", "mint", "curl", "sdk", "git", "refused", "afterwards", "revoke",
)  # fmt: skip
DOOR = ("door-provider", "door", "door-curl")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    return {"PATH": f"{VENV}:{os.environ['PATH']}", "HOME": str(home), "LANG": "C.UTF-8", **(extra or {})}


class Shells:
    """The shells that the README speaks of, opened when first needed."""

    def __init__(self, stack: ExitStack, environments: Mapping[str, Mapping[str, str]], port: int) -> None:
        self._stack = stack
        self._environments = environments
        self._port = port
        self.open: dict[str, Shell] = {}

    def __getitem__(self, name: str) -> Shell:
        if name not in self.open:
            self.open[name] = self._stack.enter_context(Shell(ROOT, self._environments[name]))
        return self.open[name]

    def run(self, name: str) -> Said:
        """Paste one block; it is expected to end."""
        block = BLOCKS[name]
        assert not block.stays_up
        return self[block.shell].run(self._text(block), timeout=120)

    def start(self, name: str, until: str) -> None:
        """Paste one block that stays up, and wait for its sign of life."""
        block = BLOCKS[name]
        assert block.stays_up
        self[block.shell].start(self._text(block))
        self[block.shell].wait(until)

    def _text(self, block: Block) -> str:
        return block.text.replace("127.0.0.1:8080", f"127.0.0.1:{self._port}")


@pytest.fixture
def keys() -> dict[str, str]:
    """Variable → real key, as the proxy's shell has them."""
    return {
        "ANTHROPIC_API_KEY": f"sk-ant-api03-{secrets.token_hex(47)}A",
        "GH_TOKEN": f"ghp_{secrets.token_hex(18)}",
    }


@pytest.fixture
def provider(tmp_path: Path, keys: dict[str, str]) -> Iterator[Provider]:
    with Provider(tmp_path / "provider", keys=[key.encode() for key in keys.values()]) as provider:
        GitServer(provider, tmp_path / "repositories").create("acme/tool.git", {"README": b"hello\n"})
        yield provider


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return home


def test_every_marked_block_is_run_here() -> None:
    assert tuple(BLOCKS) == QUICK_START + DOOR
    marks = re.findall(r"<!-- test: ([\w-]+)", README)
    assert set(marks) - set(BLOCKS) == {"policy", "precedence"}


def test_the_first_screen_is_what_the_demo_shows(home: Path) -> None:
    done = subprocess.run(
        [VENV / "keyswap", "demo", "--once"], env=environment(home), capture_output=True, text=True, check=True
    )
    shown = " ".join(re.sub(r"[│╭╮╰╯─]", " ", done.stdout).split())
    screen = README.partition("# keyswap\n\n")[2].partition("\n\nkeyswap is")[0]
    for part in screen.split("\n\n"):
        words = " ".join(re.sub(r"the sandbox sends|the provider receives|what comes back", "", part).split())
        assert words in shown, words


def test_the_quick_start(tmp_path: Path, home: Path, keys: dict[str, str], provider: Provider) -> None:
    port = free_port()
    environments = {
        "proxy": environment(home, {**keys, "KEYSWAP_LISTEN": f"127.0.0.1:{port}"}),
        "admin": environment(home, {"KEYSWAP_PROXY": f"http://127.0.0.1:{port}"}),
        "sandbox": environment(home, {"GIT_TERMINAL_PROMPT": "0"}),
    }
    with ExitStack() as stack:
        shells = Shells(stack, environments, port)
        assert shells.run("set-up").code == 0
        written = shells.run("init")
        assert "loads: 2 credentials, 4 egress entries" in written.text
        assert "valid until" in written.text
        answer_here(home / ".config" / "keyswap" / "policy.yaml", provider)
        shells.start("serve", r"\bready\b")
        assert shells.run("mint").code == 0
        see_the_sandbox(shells, home, provider, keys)
        see_what_was_done(shells)
        for name in ("admin", "sandbox"):
            assert not [key for key in keys.values() if key in shells.open[name].printed]
    assert [path for key in keys.values() for path in files_holding(home, key.encode())] == []


def answer_here(policy: Path, provider: Provider) -> None:
    """Let the hosts of that policy be answered by `provider`."""
    here = f', pin: "{provider.address}", ca_file: "{provider.ca_pem}"}}'
    text = policy.read_text()
    hosts, count = re.subn(r"^(  - \{host: .*)\}$", lambda line: line[1] + here, text, flags=re.MULTILINE)
    assert count == 4
    policy.write_text(hosts)


def see_the_sandbox(shells: Shells, home: Path, provider: Provider, keys: Mapping[str, str]) -> None:
    """The clients in the sandbox work, the provider has seen real keys only, and what is not listed is refused."""
    assert '"id": "test-model"' in shells.run("curl").text
    assert "['test-model']" in shells.run("sdk").text
    assert shells.run("git").code == 0
    assert (home / "tool" / "README").read_bytes() == b"hello\n"
    seen = {key.decode() for request in provider.requests for key in request.keys}
    assert seen - {"x-access-token"} == set(keys.values())  # git's user name is half of its credential
    refused = shells.run("refused")
    assert refused.code == 56
    for line in refusal_shown():
        assert anonymous(line) in anonymous(refused.text)


def refusal_shown() -> list[str]:
    """The head of the refusal that the README shows."""
    sample = re.search(r"^```\n(HTTP/1.1 403 .*?)\n\n", README, re.DOTALL | re.MULTILINE)
    assert sample
    return sample[1].splitlines()


def anonymous(text: str) -> str:
    return re.sub(r"req_[0-9a-f]{16}", "req_", re.sub(r"policy\.yaml:\d+", "policy.yaml:", text))


def see_what_was_done(shells: Shells) -> None:
    """The audit has it, the refusal is explained, and a session that is revoked is at its end."""
    said = shells.run("afterwards")
    assert "swapped anthropic v1 in header:x-api-key" in said.text
    assert "nothing was changed, removed, moved or added" in said.text
    assert "refused at connect, 403 host_not_listed: api.other.example is not in egress" in said.text
    assert said.code == 0
    assert "has ended" in shells.run("revoke").text
    time.sleep(1)  # what a revocation may take to reach the proxy (S32)
    assert re.search("response 407|no living session came with it", shells.run("curl").text)


@pytest.fixture
def door(home: Path) -> Iterator[Shells]:
    """The shells of the door's section, its provider up; mitmdump listens on a free port."""
    try:
        socket.create_server(("127.0.0.1", DEMO_PORT)).close()
    except OSError:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"port {DEMO_PORT}, where policy/demo.yaml looks for its provider, is taken")
    port = free_port()
    (home / ".mitmproxy").mkdir()
    (home / ".mitmproxy" / "config.yaml").write_text(f"listen_port: {port}\n")
    with ExitStack() as stack:
        # mitmdump keeps its lines to itself for long where they do not go to a terminal.
        variables = environment(home, {"PYTHONUNBUFFERED": "1"})
        shells = Shells(stack, dict.fromkeys(("provider", "door", "client"), variables), port)
        shells.start("door-provider", "answers on")
        yield shells


SWAPPED = '"accepted": true, "the key you sent": "demo-placeholder-not-a-key************"'


def test_the_door(door: Shells) -> None:
    door.start("door", "listening at")
    assert SWAPPED in door.run("door-curl").text


def test_S35_the_script_may_be_elsewhere_and_changed_and_deleted_once_it_is_loaded(door: Shells, home: Path) -> None:
    script = home / "elsewhere" / "swap.py"
    script.parent.mkdir()
    shutil.copy(ROOT / "addons" / "swap.py", script)
    line = BLOCKS["door"].text.replace("addons/swap.py", str(script))
    door["door"].start(line.replace(".venv", str(ROOT / ".venv")).replace("policy/", f"{ROOT}/policy/"))
    door["door"].wait("listening at")
    changes: tuple[Callable[[], object], ...] = (
        lambda: script.write_text("addons = []\n"),
        lambda: script.write_text("this is not Python\n"),
        script.unlink,
    )
    for change in changes:
        change()
        time.sleep(WATCHED)
        assert SWAPPED in door.run("door-curl").text
    assert door["door"].printed.count("Loading script") == 1
