import json
import runpy
from pathlib import Path

import pytest
from pydantic import ValidationError

from keyswap.policy import schema
from keyswap.policy.schema import json_schema

from .written import told

POLICY = Path(__file__).parents[2] / "policy"


def limits(**values):
    return schema.Limits.model_validate(values)


def test_committed_schema_is_current():
    """If this fails: python -m keyswap.policy.schema > policy/schema.json"""
    assert json.loads((POLICY / "schema.json").read_text()) == json_schema()


def test_module_prints_the_schema(capsys):
    runpy.run_module("keyswap.policy.schema", run_name="__main__", alter_sys=True)
    assert capsys.readouterr().out == (POLICY / "schema.json").read_text()


def test_schema_offers_no_null_and_explains_every_key():
    text = json.dumps(json_schema())
    assert '"null"' not in text
    parts = json_schema()["$defs"].values()
    assert all("description" in value for part in parts for value in part["properties"].values())


def test_schema_forbids_unknown_keys_in_every_part():
    parts = [json_schema(), *json_schema()["$defs"].values()]
    assert all(part["additionalProperties"] is False for part in parts)


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("10s", 10), ("20m", 1200), ("1h", 3600), ("2d", 172800), ("366d", 31622400)]
)
def test_durations_are_seconds(text, seconds):
    assert limits(idle=text).idle == seconds


@pytest.mark.parametrize("text", ["10", 10, "", "1.5s", "-1s", "10 s", "10S", "0s", "0ms", "367d", "1h30m", "١s", True])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValidationError):
        limits(idle=text)


@pytest.mark.parametrize(
    ("text", "size"), [("64KiB", 65536), ("1MiB", 1048576), ("1GiB", 1073741824), ("2048B", 2048), (2048, 2048)]
)
def test_sizes_are_bytes(text, size):
    assert limits(head=text).head == size


@pytest.mark.parametrize("text", ["64KB", "64 KiB", "64K", "1.5MiB", "-1", -1, "0", 1023, True, 1.5])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValidationError):
        limits(head=text)


def test_names_are_all_or_a_list():
    assert schema.Profile.model_validate({"credentials": "all"}).credentials == "all"
    assert schema.Profile.model_validate({"credentials": ["a"]}).credentials == ("a",)
    assert schema.Profile.model_validate({}).credentials == ()


@pytest.mark.parametrize("value", ["everything", [1], {"a": 1}, True])
def test_other_names_are_refused(value):
    with pytest.raises(ValidationError):
        schema.Profile.model_validate({"egress": value})


def test_nothing_is_converted():
    with pytest.raises(ValidationError):
        schema.Entry.model_validate({"host": "a.example.com", "ports": ["443"]})


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("egres: []\n", "2:1: this key is not known here; did you mean `egress`?"),
        ("egress:\n  - {hosts: a.example.com}\n", "3:6: this key is not known here; did you mean `host`?"),
        ("limits: {idel: 1h}\n", "2:10: this key is not known here; did you mean `idle`?"),
        ("audit: {durable: machine}\n", "2:9: this key is not known here; did you mean `durability`?"),
        (
            "deny:\n  - {host: a.example.com, method: [GET]}\n",
            "3:27: this key is not known here; did you mean `methods`?",
        ),
        ("deny:\n  - {host: a.example.com, pin: 1.1.1.1}\n", "3:27: this key is not known here; write one of:"),
        (
            "sessions:\n  a: {source: [10.0.0.1], profil: x}\n",
            "3:27: this key is not known here; did you mean `profile`?",
        ),
        ("profiles:\n  a: {credential: all}\n", "3:7: this key is not known here; did you mean `credentials`?"),
        ("mode: observed\n", "2:7: this word is not known here; write 'enforce' or 'observe'"),
        ("egress: {host: a.example.com}\n", "2:9: this is not a list; write it in brackets"),
        ("egress: [a.example.com]\n", "2:10: this is not a mapping; write it as {key: value}"),
        ("credentials: []\n", "2:14: this is not a mapping"),
        ("egress:\n  - {ports: [443]}\n", "3:5: `host` is missing; write host: api.example.com"),
        (
            "credentials:\n  a: {preset: openai}\n",
            "3:6: `source` is missing; write source: env:NAME or source: file:PATH",
        ),
        ("egress:\n  - {host: a.example.com, ports: [0]}\n", "3:35: this number is out of range; write at least 1"),
        (
            "egress:\n  - {host: a.example.com, ports: [65536]}\n",
            "3:35: this number is out of range; write at most 65535",
        ),
        ("egress:\n  - {host: a.example.com, ports: ['443']}\n", "3:35: this is not a whole number"),
        ("egress:\n  - {host: a.example.com, ports: []}\n", "3:34: an empty list has two readings; remove the key"),
        ("egress:\n  - {host: a.example.com, paths: []}\n", "3:34: an empty list has two readings"),
        ("egress:\n  - {host: 443}\n", "3:12: this is not text"),
        ("credentials:\n  a: {source: env:A, optional: 1}\n", "3:32: this is neither true nor false"),
        ("limits: {idle: 10}\n", "2:16: this is not a length of time; write a whole number and its unit"),
        ("profiles:\n  a: {egress: some}\n", "3:15: this is not a list of names; write `all`, or a list"),
        ("audit: {path: ''}\n", "2:15: this text is too short; write at least 1 characters"),
        ("credentials: {a: {source: env:A, placeholder: {value: %s}}}\n" % ("p" * 513), "2:55: this text is too long"),
        ("limits: {head: 10}\n", "2:16: this number is out of range; write at least 1024"),
    ],
)
def test_each_mistake_is_told_with_its_place_and_its_repair(body, line):
    assert line in told(body)


@pytest.mark.parametrize(
    "body",
    [
        "gateway: {url: https://litellm.example.com}\n",
        "llm: {}\n",
        "usage: {}\n",
        "budgets: {}\n",
        "roles: {}\n",
        "permissions: {}\n",
        "on_misuse: end_session\n",
        "limits: {buffered: 64MiB}\n",
        "egress:\n  - {host: a.example.com, watch_body: record}\n",
        "egress:\n  - {host: a.example.com, websocket: false}\n",
        "credentials:\n  a: {source: env:A, on_misuse: end_session}\n",
    ],
)
def test_a_key_of_a_later_feature_does_not_load(body):
    assert "is not in this version; remove it" in told(body)


@pytest.mark.parametrize("head", ["", "version: 2\n", "version: '1'\n", "version: true\n", "version: 1.0\n"])
def test_only_version_1_is_read(head):
    assert told("mode: enforce\n", head=head)


def test_a_policy_that_is_no_mapping_is_told_once():
    assert told("[version, 1]\n", head="") == "1:1: this is not a mapping; write it as {key: value}"
