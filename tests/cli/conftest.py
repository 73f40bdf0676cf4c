"""keyswap's commands run in this process, with a home of their own."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from keyswap import cli

POLICY = """\
version: 1
credentials:
  demo:
    hosts: [api.demo.example]
    headers: [X-Api-Key]
    placeholder: {prefix: demo-, length: 40}
    env: [DEMO_API_KEY]
    source: env:DEMO_REAL
  other:
    hosts: [other.example.com]
    headers: [Authorization]
    placeholder: {prefix: othr-, length: 40}
    env: [OTHER_API_KEY]
    source: env:OTHER_REAL
egress:
  - {host: api.demo.example, methods: [GET], paths: [/v1/**]}
  - {host: other.example.com}
deny:
  - {host: admin.example.com}
profiles:
  default: {credentials: all, egress: all}
  narrow: {credentials: [demo], egress: [api.demo.example]}
sessions:
  ci: {profile: narrow, source: [192.0.2.0/24]}
  box: {token: "env:BOX_TOKEN"}
"""
REAL = {"DEMO_REAL": "the-real-demo-key-0123456789", "OTHER_REAL": "the-real-other-key-0123456789"}
BOX_TOKEN = "the-box-token-of-the-admin-0123456789"


@dataclass(frozen=True, slots=True)
class Done:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def failed(self, code: int = 2) -> str:
        """What it said where it could not be carried out; no traceback, nothing on standard output."""
        assert self.code == code, self
        assert "Traceback" not in self.err
        return self.err


Run = Callable[..., Done]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home directory of the commands, with a policy where they look for one."""
    made = tmp_path / "home"
    folder = made / ".config" / "keyswap"
    folder.mkdir(mode=0o700, parents=True)
    made.chmod(0o700)
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "policy.yaml").chmod(0o600)
    for name in (
        "KEYSWAP_POLICY",
        "KEYSWAP_STATE",
        "KEYSWAP_CERTS",
        "KEYSWAP_PROXY",
        "XDG_CONFIG_HOME",
        "XDG_STATE_HOME",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(made))
    monkeypatch.setenv("KEYSWAP_CERTS", str(made / "ca"))
    monkeypatch.setenv("COLUMNS", "200")
    for name, value in {**REAL, "BOX_TOKEN": BOX_TOKEN}.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def policy(home: Path) -> Path:
    return home / ".config" / "keyswap" / "policy.yaml"


@pytest.fixture
def state(home: Path) -> Path:
    return home / ".local" / "state" / "keyswap"


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `keyswap …` as its entry point does."""

    def command(*arguments: str) -> Done:
        monkeypatch.setattr("sys.argv", ["keyswap", *arguments])
        capsys.readouterr()
        code: Any = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        captured = capsys.readouterr()
        assert not [value for value in REAL.values() if value in captured.out + captured.err]
        return Done(code or 0, captured.out, captured.err)

    return command
