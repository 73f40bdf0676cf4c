import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyswap.policy.load import GATEWAY, load, parse
from keyswap.policy.problems import PolicyErrors, Problem, choice, looks_like_a_key

from .written import FILE, credential, entry, good, problems, told

REAL = "sk-ant-api03-Zq7Rr81mVbN2xKpLw94Ty"
BARE = "Zq7Rr81mVbN2xKpLw94TyUu3"


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
    assert told("credentials:\n  a: {preset: openai, source: env:A}\negres:\n  - {host: api.openai.com}\n").count("\n") == 0
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
    text = refusal(tmp_path / "policy.yaml")
    assert text == f"{tmp_path}/policy.yaml:1:1: the policy does not exist; run `keyswap init` to write one, or name one with --policy"


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


# YAML that means something else than a person reads


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("egress: &all []\ndeny: *all\n", "2:9: an anchor (&)"),
        ("egress: &all []\ndeny: *all\n", "3:7: an alias (*)"),
        ("deny: [&a x, &b y]\n", "2:14: an anchor (&)"),
        ("deny: [*nothing]\n", "2:8: an alias (*)"),
        ("<<: {mode: observe}\n", "2:1: merge keys (<<) are not read"),
        ("egress:\n  - {<<: {host: a.example.com}}\n", "3:6: merge keys"),
        ("mode: !!str enforce\n", "2:7: a tag (!)"),
        ("egress: !x []\n", "2:9: a tag (!)"),
        ("mode: !!python/name:os.system x\n", "2:7: a tag (!)"),
        ("egress:\n  - {host: no}\n", "3:12: YAML takes this for true or false"),
        ("profiles: {a: {credentials: All}}\n", "2:29: this is not a list of names"),
        ("credentials:\n  a: {source: env:A, plaintext: yes}\n", "3:33: YAML takes this for true or false"),
        ("credentials:\n  a: {source: env:A, plaintext: True}\n", "3:33: YAML takes this for true or false"),
        ("on: 1\n", "2:1: YAML takes this for true or false"),
        ("true: 1\n", "2:1: a key that is not text"),
        ("1: a\n", "2:1: a key that is not text"),
        ("2024-01-01: a\n", "2:1: it is not plain text for YAML"),
        ("? [a]\n: b\n", "2:3: a key that is not text"),
        ("? {a: b}\n: {c: d}\n", "2:3: a key that is not text"),
        ("egress:\n  - {host: a.example.com, ports: [0443]}\n", "3:35: YAML may take this for another number"),
        ("egress:\n  - {host: a.example.com, ports: [0x1bb]}\n", "3:35: YAML may take this for another number"),
        ("egress:\n  - {host: a.example.com, ports: [4_43]}\n", "3:35: YAML may take this for another number"),
        ("egress:\n  - {host: a.example.com, ports: [+443]}\n", "3:35: YAML may take this for another number"),
        ("egress:\n  - {host: a.example.com, ports: [7:23]}\n", "3:35: YAML may take this for another number"),
        ("egress:\n  - {host: a.example.com, ports: [443.0]}\n", "3:35: it is not plain text for YAML"),
        ("egress:\n  - {host: a.example.com, ports: [0o673]}\n", "3:35: this is not a whole number"),
        ("limits: {headers: 99999999999999999999}\n", "2:19: YAML may take this for another number"),
        ("mode: enforce\nmode: observe\n", "3:1: this key stands here for the second time, first in line 2"),
        ("deny:\n  - {host: a.example.com, host: b.example.com}\n", "3:27: this key stands here for the second time"),
        ("mode: enforce\n---\nmode: observe\n", "3:1: a second document"),
        ("mode: enforce\n...\n---\nmode: observe\n", "4:1: a second document"),
        ("mode:\tenforce\n", "2:6: a tab"),
        ("mode: enforce # c\tomment\n", "2:18: a tab"),
        ("mode: enforce # comment\u2028deny: []\n", "2:24: a character that cannot be seen (U+2028)"),
        ("mode: enforce # comment\u0085deny: []\n", "2:24: a character that cannot be seen (U+0085)"),
        ("mode: enforce # comment\rdeny: []\n", "2:24: a character that cannot be seen (U+000D)"),
        ("mode: enforce # \u202e comment\n", "2:17: a character that cannot be seen (U+202E)"),
        ("egress:\n\u00a0 - {host: a.example.com}\n", "3:1: a character that cannot be seen (U+00A0)"),
        ("mode: enf\u200borce\n", "2:10: a character that cannot be seen (U+200B)"),
        ("mode: enforce\0\n", "2:14: a character that cannot be seen (U+0000)"),
        ("egress:\n", "2:8: nothing is written here; write a value ([] or {} for none), or remove the key"),
        ("egress:\n  - {host: a.example.com, paths: }\n", "3:33: nothing is written here"),
        ("egress:\n  - {host: a.example.com, paths: ~}\n", "3:34: nothing is written here"),
        ("egress:\n  - {host: a.example.com, paths: null}\n", "3:34: nothing is written here"),
        ("egress:\n  - {host}\n", "nothing is written here"),
        ('mode: "enf\\x6frce"\n', "2:7: an escape (\\) inside double quotes"),
        ('mode: "enforce\\\n  "\n', "2:7: a value over several lines"),
        ("mode: |\n  enforce\n", "2:7: a value over several lines"),
        ("mode: >-\n  enforce\n", "2:7: a value over several lines"),
        ("mode: enforce\n  or not\n", "2:7: a value over several lines"),
        ("mode: 'enforce\n  or not'\n", "2:7: a value over several lines"),
        ("deny: " + "[" * 60 + "\n", "2:22: too many levels"),
        ("deny: [{host: a.example.com]\n", "a [ or { that is not closed"),
        ("deny: 'x\n", "a quote that is not closed"),
        ("deny: @x\n", "2:7: a value cannot begin with this character"),
        ("deny: [&]\n", "an & or * that names nothing"),
        ('deny: "\\q"\n', "an escape (\\) inside double quotes"),
        ("sessions: {a: {source: [::1/128]}}\n", 'put it in quotes, like "::1/128"'),
        ("mode: enforce: x\n", "2:14: a colon where none can stand"),
        ("mode enforce\n", "a key without a colon"),
        ("egress:\n- {host: a.example.com}\n  - {host: b.example.com}\n", "4:3: the indentation does not fit"),
        ("deny: !e!x []\n", "2:7: this is not readable as YAML"),
        ("{}: x\n", "2:1: a key that is not text"),
    ],
)
def test_what_yaml_reads_in_another_way_is_refused(body, line):
    assert line in told(body)


@pytest.mark.parametrize("head", ["%YAML 1.1\n---\nversion: 1\n", "%TAG ! tag:example.com,2026:\n---\nversion: 1\n"])
def test_directives_are_refused(head):
    assert "a directive (%)" in told("", head=head)


def test_a_byte_order_mark_is_refused():
    assert told("", head="\ufeffversion: 1\n") == "1:1: a byte order mark; save the file as UTF-8 without BOM"


@pytest.mark.parametrize("raw", [b"version: 1\n# caf\xe9\n", "version: 1\n".encode("utf-16"), b"version: 1\n# \xff"])
def test_what_is_not_utf8_is_refused(raw):
    with pytest.raises(PolicyErrors, match="a byte here is not UTF-8"):
        parse(raw, FILE)


def test_the_place_of_a_bad_byte_is_told():
    with pytest.raises(PolicyErrors, match=r"yaml:2:6: a byte"):
        parse(b"version: 1\n# caf\xe9\n", FILE)


def test_invisible_characters_are_told_once_a_line_and_not_endlessly():
    assert len(problems("#\u200b\u200b\n" * 50)) == 20


def test_letters_in_comments_may_be_any():
    assert good("# für Größe, 日本語 – “quoted”\nmode: enforce\n")


@pytest.mark.parametrize("body", ["'mode': \"enforce\"\n", "? mode\n: enforce\n", "mode: enforce\n...\n", "mode: enforce"])
def test_other_spellings_of_the_same_load(body):
    assert good(body).mode == "enforce"


def test_one_document_mark_on_top_is_no_second_document():
    assert parse("---\nversion: 1\n", FILE, environ={}).mode == "enforce"


def test_a_key_of_the_wrong_kind_does_not_hide_its_neighbours():
    assert {problem.line for problem in problems("? [a, {b: c}]\n: [d]\nmode: x\n1: y\n")} == {2, 4, 5}


@given(st.text(alphabet="abc:-[]{}&*!|>'\"%@`#,?~ \n\t0x", max_size=60))
def test_any_text_either_loads_or_is_a_policy_error(text):
    try:
        parse("version: 1\n" + text, FILE, environ={})
    except PolicyErrors as errors:
        assert errors.problems


# Nothing that is pasted is quoted


PLACES = [
    "{}: x\n",
    "{}\n",
    "mode: {}\n",
    "mode: [{}]\n",
    "mode: {{a: {}}}\n",
    "mode: '{}\n",
    "mode: {}: {}\n",
    "mode: *{}\n",
    "mode: &{} x\n",
    "mode: !{} x\n",
    "mode: !!{} x\n",
    "mode: !{}!{} x\n",
    "%{}\n",
    "mode: \"\\{}\"\n",
    "version: {}\n",
    "credentials: {}\n",
    "credentials: {{{}: {{}}}}\n",
    "credentials: {{{}: {{preset: openai, source: env:A}}}}\n",
    "credentials: {{'{} x': {{preset: openai, source: env:A}}}}\n",
    "credentials: {{a: {}}}\n",
    "credentials: {{a: {{source: {}}}}}\n",
    "credentials: {{a: {{source: '{} {}'}}}}\n",
    "credentials: {{a: {{source: 'env:{} x'}}}}\n",
    "credentials: {{a: {{source: '{}:x'}}}}\n",
    "credentials: {{a: {{source: [{}]}}}}\n",
    "credentials: {{a: {{preset: {}, source: env:A}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, {}: x}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, optional: {}}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, headers: ['{} x']}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, headers: ['x-{}', 'x-{}']}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, env: ['{}-x']}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, placeholder: {}}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, placeholder: {{prefix: {}, length: 5}}}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, placeholder: {{value: {}, length: 5}}}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, placeholder: {{value: '{} x'}}}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, hosts: [{}]}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, hosts: ['{}:443']}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, hosts: ['a.example.com:{}']}}}}\n",
    "credentials: {{a: {{preset: openai, source: env:A, hosts: [{}.example.com]}}}}\n",
    "egress: [{{host: '{} x'}}]\n",
    "egress: [{{host: 'https://{}@a.example.com'}}]\n",
    "egress: [{{host: 'https://me:{}@a.example.com/'}}]\n",
    "egress: [{{host: a.example.com, ports: [{}]}}]\n",
    "egress: [{{host: a.example.com, methods: ['{} x']}}]\n",
    "egress: [{{host: a.example.com, schemes: [{}]}}]\n",
    "egress: [{{host: a.example.com, paths: ['{}']}}]\n",
    "egress: [{{host: a.example.com, paths: ['/{}//x']}}]\n",
    "egress: [{{host: a.example.com, private: ['{}']}}]\n",
    "egress: [{{host: a.example.com, pin: '{}'}}]\n",
    "egress: [{{host: a.example.com, ca_file: '{}'}}]\n",
    "profiles: {{default: {{credentials: [{}]}}}}\n",
    "profiles: {{default: {{egress: ['{}']}}}}\n",
    "profiles: {{default: {{egress: {}}}}}\n",
    "profiles: {{'{} x': {{}}}}\n",
    "sessions: {{a: {{token: {}}}}}\n",
    "sessions: {{a: {{token: '{}:x'}}}}\n",
    "sessions: {{a: {{source: ['{}']}}}}\n",
    "sessions: {{a: {{source: [10.0.0.1], profile: '{}'}}}}\n",
    "sessions: {{{}: {{source: [10.0.0.1]}}, b: {{source: [10.0.0.1]}}, c: {{}}}}\n",
    "limits: {{idle: {}}}\n",
    "limits: {{head: {}}}\n",
    "audit: {{rotate: {}, durability: {}, {}: x}}\n",
]


@pytest.mark.parametrize("secret", [REAL, BARE, "ghp_" + BARE, "AKIAIOSFODNN7EXAMPLE"])
@pytest.mark.parametrize("place", PLACES)
def test_S42_a_secret_pasted_anywhere_is_not_in_the_error(place, secret):
    text = told(place.replace("{}", secret).replace("{{", "{").replace("}}", "}")).lower()
    assert secret.lower() not in text
    assert secret.lower()[-12:] not in text


@pytest.mark.parametrize("place", ["egress: [{host: a.example.com, paths: [/bot/%s/**]}]\n", "audit: {path: %s}\n"])
def test_S42_a_real_key_is_an_error_even_where_any_text_is_allowed(place):
    assert "a real key seems to stand here" in told(place % REAL)


def test_S42_a_foreign_exception_does_not_hang_on_the_error():
    for body in ("deny: 'x\n", "mode: x\n", "x: *y\n"):
        with pytest.raises(PolicyErrors) as caught:
            parse("version: 1\n" + body, FILE, environ={})
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "text",
    [REAL, "x=" + REAL, "-----BEGIN PRIVATE KEY-----", "https://me:pw@example.com", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0"],
)
def test_real_keys_are_recognised(text):
    assert looks_like_a_key(text)


@pytest.mark.parametrize(
    "text",
    ["api.example.com", "/run/secrets/sk-openai-production", "file:hf_token_for_production", "OPENAI_API_KEY", "sk-", "ghp_"],
)
def test_names_are_not_taken_for_keys(text):
    assert not looks_like_a_key(text)


def test_a_fixed_placeholder_may_look_like_a_real_key():
    assert good(credential("placeholder: {value: " + REAL + "}")).credentials["key"].shape.value == REAL
