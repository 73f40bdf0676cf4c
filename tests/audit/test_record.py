"""The one form of a record."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyswap.audit.record import CALLER_FIELDS, MAX_LINE, OWN_FIELDS, bounded, canonical, timestamp
from keyswap.errors import AuditError
from keyswap.exchange import Code
from keyswap.secret import Secret

FULL: dict[str, object] = {
    "v": 1, "seq": 7, "ts": "2025-11-21T12:30:45.123456Z", "node": "node-1", "worker": 0, "event": "response",
    "id": "r1", "session": {"id": "ci", "tenant": "t", "profile": "reader", "labels": {"b": "2", "a": "1"}},
    "client": "172.20.0.5", "method": "GET", "scheme": "https", "host": "api.demo.example", "port": 443,
    "path": "/v1", "query_keys": ["page"],
    "decision": {
        "result": "allow", "code": None, "rule": {"where": "policy.yaml:3", "text": "{host: api.demo.example}"},
        "reason": "listed", "would_refuse": "host_not_listed",
    },
    "swaps": [{"credential": "demo", "version": 1, "place": "header:authorization", "fingerprint": "abcd"}],
    "route": {"gateway": "g", "provider": "p", "model": "m"},
    "upstream": {"address": "192.0.2.1", "http": "HTTP/2.0", "status": 200, "error": "reset"},
    "bytes": {"in": 1, "out": 2}, "ms": {"total": 1.23456, "first_byte": 1}, "scrubbed": 0,
    "usage": {"input": 3, "kind": "chat", "cost": 0.5}, "policy": {"sha256": "ff", "generation": 1},
    "notes": ["n"], "checkpoint": {"key": "k", "sig": "s"}, "prev": "0" * 64,
}  # fmt: skip


def test_S45_the_fields_stand_in_the_order_of_the_format_whatever_order_they_came_in() -> None:
    line = canonical(dict(reversed(FULL.items())))
    assert list(json.loads(line)) == list(FULL)
    assert list(json.loads(line)["decision"]) == ["result", "rule", "reason", "would_refuse"]
    assert list(json.loads(line)["session"]["labels"]) == ["a", "b"]


def test_every_field_of_the_format_is_in_the_full_record() -> None:
    assert set(FULL) == CALLER_FIELDS | OWN_FIELDS


def test_values_arrive_as_they_were_and_milliseconds_have_three_places() -> None:
    read = json.loads(canonical(FULL))
    assert read["ms"] == {"total": 1.235, "first_byte": 1}
    assert read["bytes"] == {"in": 1, "out": 2}
    assert {name: read[name] for name in ("id", "host", "swaps", "usage")} == {
        name: FULL[name] for name in ("id", "host", "swaps", "usage")
    }


def test_the_line_is_json_without_white_space() -> None:
    assert canonical({"v": 1, "seq": 2, "query_keys": ["a"]}) == b'{"v":1,"seq":2,"query_keys":["a"]}'


def test_a_field_that_is_none_is_left_out() -> None:
    assert canonical({"id": None, "decision": {"code": None}}) == b'{"decision":{}}'


def test_a_code_is_written_as_its_name() -> None:
    assert canonical({"decision": {"code": Code.DENIED}}) == b'{"decision":{"code":"denied"}}'


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"colour": "red"}, "no field 'colour'"),
        ({"colour\n": "red", "id": "x"}, r"no field 'colour\\n'"),
        ({"session": {"token": "x"}}, "no field 'token' in session"),
        ({"swaps": [{"secret": "x"}]}, "no field 'secret' in swaps"),
        ({"id": 7}, "id holds int, not text"),
        ({"id": b"x"}, "id holds bytes, not text"),
        ({"path": b"/v1"}, "path holds bytes, not text"),
        ({"port": "443"}, "port holds str, not a 64-bit integer"),
        ({"port": True}, "port holds bool"),
        ({"bytes": {"in": 2**63}}, "bytes.in holds int"),
        ({"ms": {"total": float("nan")}}, "ms.total holds float"),
        ({"ms": {"total": float("inf")}}, "ms.total holds float"),
        ({"session": "ci"}, "session holds str, not a dict"),
        ({"session": {"labels": {1: "x"}}}, "session.labels holds dict, not a dict with keys of text"),
        ({"session": {"labels": ["x"]}}, "session.labels holds list"),
        ({"usage": {"cost": None}}, "usage holds NoneType"),
        ({"query_keys": "page"}, "query_keys holds str, not a list"),
        ({"swaps": {}}, "swaps holds dict, not a list"),
        ({"swaps": [{}] * 33}, "33 entries, more than 32"),
    ],
)
def test_what_the_format_cannot_hold_is_an_error(record: dict[str, object], words: str) -> None:
    with pytest.raises(AuditError, match=words):
        canonical(record)


def test_S47_a_secret_in_a_field_is_an_error_that_does_not_tell_it() -> None:
    for record in ({"id": Secret(b"sk-real")}, {"swaps": [{"fingerprint": Secret(b"sk-real")}]}, {"id": b"sk-real"}):
        with pytest.raises(AuditError) as caught:
            canonical(record)
        assert "sk-real" not in repr(caught.value) + str(caught.value)


def test_S42_the_query_never_stands_in_the_path() -> None:
    assert canonical({"path": "/v1?key=sk-real"}) == b'{"path":"/v1"}'


def test_S42_more_query_keys_than_anybody_reads_are_counted() -> None:
    keys = json.loads(canonical({"query_keys": [f"k{n}" for n in range(1000)]}))["query_keys"]
    assert keys == [*(f"k{n}" for n in range(31)), "~969 more"]


def test_S42_more_labels_than_anybody_reads_are_counted() -> None:
    labels = json.loads(canonical({"session": {"labels": {f"k{n:03}": "v" for n in range(40)}}}))["session"]["labels"]
    assert len(labels) == 33
    assert labels["~"] == "~8 more"


def test_a_text_at_its_bound_is_whole_and_a_longer_one_keeps_a_digest() -> None:
    assert bounded("x" * 64, 64) == "x" * 64
    cut = bounded("x" * 65, 64)
    assert len(cut) == 64
    assert cut[51] == "~"
    assert cut != bounded("x" * 66, 64)


def test_a_lone_surrogate_becomes_text_that_strict_readers_take() -> None:
    assert bounded("a\ud800b", 64) == "a\\ud800b"
    assert json.loads(canonical({"host": "a\udcffb"}))["host"] == "a\\udcffb"


def test_S42_the_longest_possible_line_is_below_its_bound() -> None:
    def widest(value: object) -> object:
        if isinstance(value, str):
            return "\U0001f600" * 5000
        if isinstance(value, dict):
            return {key: widest(item) for key, item in value.items()}
        if isinstance(value, list):
            return [widest(value[0])] * 32
        return value

    record = {name: widest(value) for name, value in FULL.items()}
    record["query_keys"] = ["\U0001f600" * 5000] * 32
    record["notes"] = ["\U0001f600" * 5000] * 32
    record["session"]["labels"] = {f"{n}" + "\U0001f600" * 99: "\U0001f600" * 5000 for n in range(32)}  # type: ignore[index]
    record["usage"] = {f"{n}" + "\U0001f600" * 99: "\U0001f600" * 5000 for n in range(32)}
    assert MAX_LINE / 3 < len(canonical(record)) < MAX_LINE


texts = st.text(st.characters(min_codepoint=0, max_codepoint=sys.maxunicode), max_size=80)


@given(st.sampled_from(["id", "host", "method", "client", "node"]), texts)
def test_S42_no_text_ends_the_line_or_begins_another_field(name: str, text: str) -> None:
    line = canonical({name: text, "scrubbed": 1})
    assert line.isascii()
    assert not set(line) & set(range(0x20)) | {0x7F} & set(line)
    read = json.loads(line)
    assert set(read) == {name, "scrubbed"}
    if len(text) <= 32 and not any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        assert read[name] == text


clean = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
records = st.fixed_dictionaries(
    {"id": clean, "host": clean, "query_keys": st.lists(clean, max_size=5)},
    optional={
        "session": st.fixed_dictionaries({"id": clean, "labels": st.dictionaries(clean, clean, max_size=3)}),
        "decision": st.fixed_dictionaries({"reason": clean, "code": clean}),
        "port": st.integers(-(2**63), 2**63 - 1),
    },
)


@given(records, records)
def test_S45_two_records_that_differ_give_two_lines(one: dict[str, object], other: dict[str, object]) -> None:
    assert (canonical(one) == canonical(other)) == (one == other)


def test_times_are_utc_with_microseconds_and_sort_as_text() -> None:
    assert timestamp(1_763_728_245.123456) == "2025-11-21T12:30:45.123456Z"
    assert timestamp(1_763_728_245.0) == "2025-11-21T12:30:45.000000Z"
    assert timestamp(9.0) < timestamp(10.0) < timestamp(1e9)
