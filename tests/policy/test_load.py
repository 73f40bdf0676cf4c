import os
import stat

import pytest

from keyswap.policy.load import GATEWAY, load, parse
from keyswap.policy.problems import PolicyErrors, Problem, choice

from .written import FILE, entry, good, problems, told


def write(folder, body="", name="policy.yaml"):
    path = folder / name
    path.write_text("version: 1\n" + body)
    return path


def refusal(path, **kwargs):
    with pytest.raises(PolicyErrors) as caught:
        load(path, **kwargs)
    return str(caught.value)


# What is loaded


def test_an_empty_policy_reaches_nothing():
    policy = good("")
    assert (policy.egress, policy.deny, dict(policy.credentials), dict(policy.sessions)) == ((), (), {}, {})
    assert policy.profiles["default"].egress == ()
    assert policy.mode == "enforce"


def test_a_file_is_loaded_with_its_hash_generation_and_path(tmp_path):
    path = write(tmp_path, entry("host: a.example.com"))
    policy = load(path, generation=7)
    assert (policy.file, policy.generation, policy.files) == (str(path), 7, (str(path),))
    assert policy.sha256 == parse(path.read_bytes(), path).sha256
    assert policy.sha256 != load(write(tmp_path, "# other\n")).sha256
    assert (policy.egress[0].rule.file, policy.egress[0].rule.line) == ("policy.yaml", 3)


def test_a_relative_path_is_made_absolute(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert load("policy.yaml").file == str(tmp_path / "policy.yaml")


def test_windows_line_ends_count_as_one():
    policy = parse(b"version: 1\r\negress:\r\n  - {host: a.example.com}\r\n", FILE, environ={})
    assert policy.egress[0].rule.line == 3


def test_all_problems_are_told_at_once_in_the_order_of_the_file():
    body = """\
mode: enforced
credentials:
  a: {preset: opnai, source: env:A}
  b: {preset: openai, source: 'env:B C', hots: []}
egress:
  - {host: '*', ports: [99999]}
  - {host: b.example.com, methods: [TRACE], paths: [nowhere]}
profiles:
  one: {credentials: [c]}
sessions:
  box: {profile: two}
"""
    found = problems(body)
    assert [problem.line for problem in found] == sorted(problem.line for problem in found)
    assert {2, 4, 5, 7, 8, 10, 12} <= {problem.line for problem in found}


def test_a_problem_says_where_what_and_what_to_write():
    problem = Problem("/p.yaml", 3, 5, "not a host", "write one")
    assert str(problem) == "/p.yaml:3:5: not a host; write one"
    errors = PolicyErrors([problem, Problem("/p.yaml", 1, 1, "a", "b"), problem])
    assert str(errors) == "/p.yaml:1:1: a; b\n/p.yaml:3:5: not a host; write one"
    assert errors.files == ()


def test_a_mistake_in_egress_is_not_held_against_the_credentials():
    assert (
        told("credentials:\n  a: {preset: openai, source: env:A}\negres:\n  - {host: api.openai.com}\n").count("\n")
        == 0
    )
    body = "credentials:\n  a: {preset: openai, source: env:A}\negress:\n  - {host: api.openai.com, port: 443}\n"
    assert [problem.line for problem in problems(body)] == [5]


def test_choice_offers_a_near_word_or_all_of_them():
    assert choice("egres", ["egress", "deny"]) == "did you mean `egress`?"
    assert choice("zzz", ["b", "a"]) == "write one of: a, b"
    assert choice("zzz", []) == "none is defined"


def test_a_gateway_in_the_environment_is_not_ignored(tmp_path, monkeypatch):
    path = write(tmp_path)
    assert f"{GATEWAY} is set" in refusal(path, environ={GATEWAY: "https://litellm.example.com"})
    assert load(path, environ={GATEWAY: ""}).generation == 1
    monkeypatch.setenv(GATEWAY, "https://litellm.example.com")
    assert "litellm" not in refusal(path)


# S31, S43: the file


def test_S31_a_missing_policy_says_what_to_run(tmp_path):
    todo = "run `keyswap init` to write one, or name one with --policy"
    path = tmp_path / "policy.yaml"
    assert refusal(path) == f"{path}:1:1: the policy does not exist; {todo}"


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_S31_an_empty_policy_file_does_not_load(tmp_path, text):
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    assert refusal(path)


def test_S31_a_folder_a_pipe_and_a_ring_of_links_are_no_policies(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "ring").symlink_to("ring")
    assert "cannot be opened (IsADirectoryError)" in refusal(tmp_path)
    assert "is not a regular file" in refusal(tmp_path / "pipe")
    assert "cannot be opened (OSError)" in refusal(tmp_path / "ring")


def test_a_policy_over_1_MiB_is_not_read(tmp_path):
    path = write(tmp_path, "#" * 1024 * 1024)
    assert "is larger than 1048576 bytes" in refusal(path)
    with pytest.raises(PolicyErrors, match="larger than 1 MiB"):
        parse(b"#" * (1024 * 1024 + 1), FILE)


def test_S31_a_disk_that_fails_is_told(tmp_path):
    assert "cannot be read (OSError)" in refusal("/proc/self/mem")


@pytest.mark.parametrize("mode", [0o666, 0o646, 0o602])
def test_S43_a_policy_writable_by_others_is_refused(tmp_path, mode):
    path = write(tmp_path)
    path.chmod(mode)
    assert "is not safe from others" in refusal(path)


def test_S43_a_policy_in_a_folder_writable_by_others_is_refused(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    path = write(folder)
    folder.chmod(0o777)
    assert "is not safe from others" in refusal(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file to another group needs root")
def test_S43_a_policy_writable_by_a_group_that_is_not_its_owners_own_is_refused(tmp_path):
    path = write(tmp_path)
    os.chown(path, 0, 4)
    path.chmod(0o664)
    assert "is not safe from others" in refusal(path)
    path.chmod(0o644)
    assert load(path)


def test_S43_the_links_of_kubernetes_are_followed(tmp_path):
    (tmp_path / "..2026").mkdir()
    write(tmp_path / "..2026", entry("host: a.example.com"))
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "policy.yaml").symlink_to("..data/policy.yaml")
    policy = load(tmp_path / "policy.yaml")
    assert policy.file == str(tmp_path / "policy.yaml")
    (tmp_path / "..2026").chmod(0o777)
    assert "is not safe from others" in refusal(tmp_path / "policy.yaml")


def test_rights_are_left_as_they_are(tmp_path):
    path = write(tmp_path)
    path.chmod(0o640)
    load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
