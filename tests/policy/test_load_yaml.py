"""YAML that means something else than a person reads is refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyswap.policy.load import parse
from keyswap.policy.problems import PolicyErrors

from .written import FILE, good, problems, told


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


@pytest.mark.parametrize(
    "body", ["'mode': \"enforce\"\n", "? mode\n: enforce\n", "mode: enforce\n...\n", "mode: enforce"]
)
def test_other_spellings_of_the_same_load(body):
    assert good(body).mode == "enforce"


def test_one_document_mark_on_top_is_no_second_document():
    assert parse("---\nversion: 1\n", FILE, environ={}).mode == "enforce"


def test_a_key_of_the_wrong_kind_does_not_hide_its_neighbours():
    assert {problem.line for problem in problems("? [a, {b: c}]\n: [d]\nmode: x\n1: y\n")} == {2, 4, 5}


@given(st.text(alphabet="abc:-[]{}&*!|>'\"%@`#,?~ \n\t0x", max_size=60))
def test_any_text_either_loads_or_is_a_policy_error(text):
    with contextlib.suppress(PolicyErrors):
        assert parse("version: 1\n" + text, FILE, environ={}).egress == ()
