"""`keyswap init`: a policy for the keys found here, without their values."""

from pathlib import Path

import pytest

from cli.conftest import Run

KEYS = {
    "ANTHROPIC_API_KEY": "sk-ant-api03-made-up-value-0123456789",
    "OPENAI_API_KEY": "sk-proj-made-up-value-0123456789",
}


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return KEYS


def test_it_writes_a_policy_that_loads_and_holds_no_key(run: Run, policy: Path, keys: dict[str, str]) -> None:
    policy.unlink()
    done = run("init")
    assert done.code == 0
    text = policy.read_text()
    assert text in done.out
    assert "source: env:ANTHROPIC_API_KEY" in text
    assert "{host: api.openai.com}" in text
    assert not [value for value in keys.values() if value in text + done.out + done.err]
    assert policy.stat().st_mode & 0o077 == 0
    assert run("policy", "check").code == 0
    assert run("policy", "explain", "https://api.anthropic.com/v1/messages", "-X", "POST").code == 0
    assert run("policy", "explain", "https://example.com/").code == 1


def test_it_never_overwrites_unless_told_to(run: Run, policy: Path, keys: dict[str, str]) -> None:
    before = policy.read_text()
    assert "--force" in run("init").failed()
    assert policy.read_text() == before
    assert run("init", "--force").code == 0
    assert policy.read_text() != before


def test_it_writes_elsewhere_or_nowhere(run: Run, policy: Path, tmp_path: Path, keys: dict[str, str]) -> None:
    policy.unlink()
    assert run("init", "--output", str(tmp_path / "sub" / "p.yaml")).code == 0
    assert (tmp_path / "sub" / "p.yaml").exists()
    printed = run("init", "--stdout")
    assert printed.out == (tmp_path / "sub" / "p.yaml").read_text()
    assert not policy.exists()


def test_without_any_key_it_says_which_it_looks_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from keyswap.policy.presets import PRESETS

    for preset in PRESETS.values():
        for name in preset.env:
            monkeypatch.delenv(name, raising=False)
    said = run("init").failed()
    assert "ANTHROPIC_API_KEY" in said


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["session"], ["policy", "--help"]])
def test_help_is_help(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert "Usage: keyswap" in done.out + done.err
    assert done.code in (0, 2)


def test_what_is_no_command_is_a_usage_error(run: Run) -> None:
    assert "No such command" in run("swop").failed(2)
