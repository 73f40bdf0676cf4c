"""The door, as a process: `mitmdump -s addons/swap.py --set keyswap_policy=…` (S35, S36)."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from keyswap.certs import ca
from support.house import HOST, POLICY
from support.provider import Provider

CLONE = Path(__file__).parents[2]
SCRIPT = CLONE / "addons" / "swap.py"
BIN = Path(sys.executable).parent
PLACEHOLDER = "demo-placeholder-for-the-door"
KEY = f"real-{secrets.token_hex(20)}".encode()
OWN = POLICY.replace("{{prefix: demo-, length: 40}}", f"{{{{value: {PLACEHOLDER}}}}}") + (
    'sessions:\n  here: {{source: [127.0.0.0/8, "::1/128"]}}\n'
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether anybody listens there."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Mitmdump:
    """One mitmdump with a home, a policy and a CA of its own."""

    home: Path
    provider: Provider
    script: Path = SCRIPT
    program: str = "mitmdump"
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None
    opened: bool = False
    """Whether its port was ever seen open."""

    def prepare(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        folder = self.home / "policy"
        folder.mkdir(mode=0o700)
        text = OWN.format(host=HOST, address=self.provider.address, ca=self.provider.ca_pem)
        (folder / "policy.yaml").write_text(text)
        (folder / "demo.key").write_bytes(KEY)
        for name in ("policy.yaml", "demo.key"):
            (folder / name).chmod(0o600)
        ca.create(self.home / "ca")

    @property
    def settings(self) -> list[str]:
        named = {
            "policy": self.home / "policy" / "policy.yaml",
            "state": self.home / "state",
            "certs": self.home / "ca",
        }
        return [part for name, path in named.items() for part in ("--set", f"keyswap_{name}={path}")]

    def start(
        self,
        *more: str,
        settings: Sequence[str] | None = None,
        cwd: Path = CLONE,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        given = self.settings if settings is None else settings
        command = [str(BIN / self.program), "-s", str(self.script), "--listen-port", str(self.port), *given, *more]
        with (self.home / "log").open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env={"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_open(self, within: float = 20) -> None:
        deadline = time.monotonic() + within
        while not (self.started() and answers(self.port)):
            assert self.process is not None
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def started(self) -> bool:
        """Whether it has said so: before that the listener is bound anew to loopback, and who came first is cut off."""
        audit = self.home / "state" / "audit.jsonl"
        return audit.exists() and '"event":"started"' in audit.read_text()

    def watch(self) -> int:
        """The exit code, and `opened`; the port is knocked at until the process ends."""
        assert self.process is not None
        deadline = time.monotonic() + 30
        while self.process.poll() is None and time.monotonic() < deadline:
            self.opened = self.opened or answers(self.port)
            time.sleep(0.03)
        return self.process.wait(5)

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()

    def curl(self, *more: str, path: str = "/echo?form=raw") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["curl", "-q", "-sS", "-i", "--max-time", "10", "--proxy", f"http://127.0.0.1:{self.port}", "--cacert",
             str(self.home / "ca" / "ca.pem"), "-H", f"X-Api-Key: {PLACEHOLDER}", *more, f"https://{HOST}{path}"],
            capture_output=True,
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home)},
        )  # fmt: skip

    def swaps(self) -> bool:
        """Whether one curl request arrives with the real key, and comes back without it."""
        self.provider.recorder.forget()
        done = self.curl()
        assert done.returncode == 0, done.stderr
        [received] = self.provider.requests
        return bool(
            received.header("x-api-key") == KEY and KEY not in done.stdout and PLACEHOLDER.encode() in done.stdout
        )


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with Provider(tmp_path_factory.mktemp("provider"), keys={KEY}) as running:
        yield running


@contextlib.contextmanager
def running(door: Mitmdump, **how: Path) -> Iterator[Mitmdump]:
    door.start(**how)  # type: ignore[arg-type]
    try:
        door.wait_open()
        yield door
    finally:
        door.stop()


@pytest.fixture
def door(tmp_path: Path, provider: Provider) -> Mitmdump:
    made = Mitmdump(tmp_path / "home", provider)
    made.prepare()
    return made


def test_S35_it_swaps_from_the_clone_and_ends_in_order(door: Mitmdump) -> None:
    door.script = Path("addons/swap.py")
    with running(door):
        assert door.swaps()
        assert door.curl(path="/").returncode == 0
        refused = door.curl("--url", "https://unlisted.example.com/")
        assert b"403 keyswap host_not_listed" in refused.stdout + refused.stderr
    assert door.process is not None
    assert door.process.returncode == 0
    written = (door.home / "state" / "audit.jsonl").read_text()
    assert '"event":"started"' in written
    assert '"event":"stopped"' in written
    assert KEY.decode() not in door.log + written
    assert not (door.home / ".mitmproxy").exists() or not list((door.home / ".mitmproxy").glob("*ca*"))


def test_S35_it_swaps_from_another_folder(door: Mitmdump, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with running(door, cwd=elsewhere):
        assert door.swaps()
    assert list(elsewhere.iterdir()) == []


def test_S35_breaking_touching_or_deleting_the_script_changes_nothing(door: Mitmdump, tmp_path: Path) -> None:
    copy = tmp_path / "addons" / "swap.py"
    copy.parent.mkdir()
    shutil.copy(SCRIPT, copy)
    door.script = copy
    with running(door):
        assert door.swaps()
        copy.touch()
        time.sleep(1.3)  # mitmproxy's watcher looks once a second
        assert door.swaps()
        copy.write_text("this is no Python (\n")
        time.sleep(1.3)
        assert door.swaps()
        copy.write_text("addons = []\n")
        time.sleep(1.3)
        assert door.swaps()
        copy.unlink()
        time.sleep(1.3)
        assert door.swaps()
        refused = door.curl("--url", "https://unlisted.example.com/")
        assert b"403 keyswap host_not_listed" in refused.stdout + refused.stderr
    assert "Loading script" not in door.log.split("listening")[-1]


# -- what it does not start with ----------------------------------------------------------------------------------

REFUSED: dict[str, tuple[list[str], str]] = {
    "-w": (["-w", "{home}/flows"], "save_stream_file"),
    "ssl_insecure": (["--ssl-insecure"], "ssl_insecure"),
    "flow_detail": (["--set", "flow_detail=3"], "flow_detail"),
    "a second script": (["-s", "{home}/other.py"], "other scripts"),
    "a config file": ([], "ssl_insecure"),
    "a log of TLS secrets": ([], "SSLKEYLOGFILE"),
    "mitmweb": (["--set", "web_open_browser=false", "--set", "web_port=0"], "not mitmdump"),
    "no policy named": ([], "no policy is named"),
    "a policy that is missing": (["--set", "keyswap_policy={home}/none.yaml"], "none.yaml"),
    "a CA that is missing": (["--set", "keyswap_certs={home}/none"], "keyswap ca init"),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[dict[str, tuple[Mitmdump, int]]]:
    """All of them, started beside one another."""
    doors: dict[str, Mitmdump] = {}
    codes: dict[str, int] = {}

    def attempt(name: str, slots: threading.Semaphore) -> None:
        with slots:
            door, more = doors[name], [part.format(home=doors[name].home) for part in REFUSED[name][0]]
            (door.home / "other.py").write_text("addons = []\n")
            if name == "a config file":
                (door.home / ".mitmproxy").mkdir()
                (door.home / ".mitmproxy" / "config.yaml").write_text("ssl_insecure: true\n")
            if name == "mitmweb":
                door.program = "mitmweb"
            named = {part.split("=")[0] for part in more if part.startswith("keyswap_")}
            kept = [part for part in door.settings[1::2] if part.split("=")[0] not in named]
            settings = [] if name == "no policy named" else [part for one in kept for part in ("--set", one)]
            logs = {"SSLKEYLOGFILE": str(door.home / "secrets")} if name == "a log of TLS secrets" else {}
            door.start(*more, settings=settings, environ=logs)
            codes[name] = door.watch()

    slots = threading.Semaphore(4)
    for number, name in enumerate(REFUSED):
        doors[name] = Mitmdump(tmp_path_factory.mktemp(f"refused{number}") / "home", provider)
        doors[name].prepare()
    threads = [threading.Thread(target=attempt, args=(name, slots)) for name in REFUSED]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield {name: (doors[name], codes[name]) for name in REFUSED}
    for door in doors.values():
        if door.process is not None and door.process.poll() is None:
            door.process.kill()
            door.process.wait()


@pytest.mark.parametrize("name", REFUSED)
def test_S36_it_refuses_to_start_and_opens_nothing(refused: dict[str, tuple[Mitmdump, int]], name: str) -> None:
    door, code = refused[name]
    assert code == 1, door.log
    assert "refuses to start" in door.log
    assert REFUSED[name][1] in door.log
    assert "Traceback" not in door.log
    assert KEY.decode() not in door.log
    assert not door.opened
    made = {path.name: path.stat().st_size for path in door.home.rglob("*") if path.is_file()}
    made = {one: size for one, size in made.items() if size and not (door.home / "ca" / one).exists()}
    assert set(made) <= {"demo.key", "policy.yaml", "log", "other.py", "config.yaml"}
    assert not (door.home / "none").exists()
