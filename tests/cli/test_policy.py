"""`keyswap policy`: is it right, what would happen, what may stand in it."""

import json
from pathlib import Path

import pytest

from cli.conftest import Run

REFUSALS = [
    ("https://unlisted.example.com/", [], "host_not_listed"),
    ("https://api.demo.example:8443/v1/x", [], "port_not_listed"),
    ("http://api.demo.example/v1/x", [], "port_not_listed"),
    ("https://api.demo.example/v2/x", [], "path_not_listed"),
    ("https://api.demo.example/v1/x", ["-X", "POST"], "method_not_listed"),
    ("https://admin.example.com/", [], "denied"),
    ("https://other.example.com/", ["--profile", "narrow"], "host_not_listed"),
]


def test_check_says_what_a_policy_holds(run: Run, policy: Path) -> None:
    done = run("policy", "check")
    assert done.code == 0
    assert done.out == (f"{policy} loads: 2 credentials, 2 egress entries, 1 deny entries, 2 profiles, mode enforce\n")


def test_check_takes_a_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\n")
    file.chmod(0o600)
    assert f"{file} loads: 0 credentials" in run("policy", "check", str(file)).out
    assert run("policy", "check", "--policy", str(file), "--json").json["loads"] is True


def test_check_tells_every_problem_with_its_line(run: Run, policy: Path) -> None:
    policy.write_text("version: 1\nmode: enforced\negress:\n  - {hosts: a.example.com}\n  - {host: '*'}\n")
    done = run("policy", "check")
    assert done.code == 1
    assert "Traceback" not in done.err
    lines = done.out.splitlines()
    assert [line.removeprefix(f"{policy}:").split(":")[0] for line in lines] == ["2", "4", "4", "5"]
    assert all(" write " in line or "did you mean" in line for line in lines)


def test_check_as_json(run: Run, policy: Path) -> None:
    good = run("policy", "check", "--json").json
    assert (good["loads"], good["problems"], len(good["sha256"])) == (True, [], 64)
    policy.write_text("version: 1\nmode: enforced\n")
    done = run("policy", "check", "--json")
    assert done.code == 1
    [problem] = done.json["problems"]
    assert (problem["line"], problem["column"]) == (2, 7)
    assert problem["what"]
    assert problem["todo"]


def test_check_warns_of_what_is_unwise(run: Run, policy: Path) -> None:
    policy.write_text(policy.read_text().replace("{prefix: demo-, length: 40}", "{value: a-fixed-placeholder}"))
    done = run("policy", "check")
    assert done.code == 0
    assert "warning:" in done.err
    assert run("policy", "check", "--json").json["warnings"]


def test_check_of_a_missing_file_is_told(run: Run, tmp_path: Path) -> None:
    done = run("policy", "check", str(tmp_path / "none.yaml"))
    assert done.code in (1, 2)
    assert "none.yaml" in done.out + done.err
    assert "Traceback" not in done.err


def test_explain_says_yes_and_which_line(run: Run) -> None:
    done = run("policy", "explain", "https://api.demo.example/v1/x")
    assert done.code == 0
    assert "policy.yaml:16" in done.out
    assert "demo" in done.out


@pytest.mark.parametrize(("url", "more", "code"), REFUSALS)
def test_explain_says_no_and_why(run: Run, url: str, more: list[str], code: str) -> None:
    done = run("policy", "explain", url, *more)
    assert done.code == 1
    assert code in done.out
    assert done.err == ""
    told = run("policy", "explain", url, *more, "--json")
    assert told.code == 1
    assert code in json.dumps(told.json)


def test_explain_of_a_profile_that_is_not_there(run: Run) -> None:
    said = run("policy", "explain", "https://api.demo.example/", "--profile", "wide").failed()
    assert "'wide'" in said
    assert "default, narrow" in said


@pytest.mark.parametrize(
    "url", ["", "nonsense", "ftp://api.demo.example/", "https://", "https://[::1", "https://a:99999/"]
)
def test_explain_of_what_is_no_url(run: Run, url: str) -> None:
    done = run("policy", "explain", url)
    assert done.code in (1, 2)
    assert "Traceback" not in done.err


def test_explain_needs_no_keys(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEMO_REAL")
    assert run("policy", "explain", "https://api.demo.example/v1/x").code == 0


def test_schema_is_the_one_in_the_repository(run: Run) -> None:
    printed = run("policy", "schema").json
    assert printed == json.loads((Path(__file__).parents[2] / "policy" / "schema.json").read_text())
    assert "egress" in printed["properties"]
