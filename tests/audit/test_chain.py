"""Each record names the hash of the one before."""

import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyswap.audit.chain import GENESIS, Link, append, read_line, verify_line
from keyswap.audit.record import canonical
from keyswap.errors import AuditError


def test_S45_the_hash_is_over_prev_and_the_line_without_it() -> None:
    link, line = append(GENESIS, {"event": "request", "id": "r1"})
    body = canonical({"event": "request", "id": "r1", "seq": 1, "prev": "0" * 64})
    assert link == Link(1, sha256(b"0" * 64 + body).hexdigest())
    assert line == body[:-1] + f',"hash":"{link.hash}"}}\n'.encode()
    assert json.loads(line)["hash"] == link.hash


@given(st.lists(st.text(max_size=20), max_size=5))
def test_S45_what_append_writes_verify_line_reads(texts: list[str]) -> None:
    link = written = GENESIS
    for text in texts:
        written, line = append(written, {"event": "request", "id": text})
        link = verify_line(link, line)
    assert link == written
    assert link.seq == len(texts)


@given(st.data())
def test_S45_a_line_with_any_other_byte_does_not_verify(data: st.DataObject) -> None:
    _, line = append(GENESIS, {"event": "request", "id": "r1", "host": "api.demo.example"})
    at = data.draw(st.integers(0, len(line) - 2))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != line[at]))
    with pytest.raises(AuditError):
        verify_line(GENESIS, line[:at] + bytes([byte]) + line[at + 1 :])


def test_S45_a_line_after_another_one_than_it_states_does_not_verify() -> None:
    link, _ = append(GENESIS, {"event": "started"})
    _, second = append(link, {"event": "request"})
    for before in (GENESIS, Link(1, "f" * 64), Link(2, link.hash)):
        with pytest.raises(AuditError, match=f"record 2 does not continue record {before.seq}"):
            verify_line(before, second)


END = b',"hash":"' + b"0" * 64 + b'"}'


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{}",
        b"[1]",
        END,
        b'{"seq":1,"prev":"' + b"0" * 64 + b'"}',
        b'{"seq":1' + END,
        b'{"seq":"1","prev":"' + b"0" * 64 + b'"' + END,
        b'{"seq":true,"prev":"' + b"0" * 64 + b'"' + END,
        b'{"seq":1,"prev":"zz"' + END,
        b'{"seq":1,"prev":7' + END,
        b'{"seq":' + b"9" * 5000 + b',"prev":"' + b"0" * 64 + b'"' + END,
        b"[" * 100_000 + END,
        '{"seq":1,"id":"é"'.encode() + END,
        b'[{"seq":1' + END + b"]",
        b'["' + END,
    ],
)
def test_what_is_no_record_is_none_and_never_raises(line: bytes) -> None:
    assert read_line(line) is None
    with pytest.raises(AuditError, match="is not an audit record"):
        verify_line(GENESIS, line)


@given(st.binary(max_size=200))
def test_no_bytes_make_read_line_raise(line: bytes) -> None:
    read_line(line)
    read_line(line + END)


def test_S47_a_masker_sees_the_line_before_it_is_hashed() -> None:
    link, line = append(
        GENESIS, {"event": "request", "host": "sk-real.example"}, lambda body: body.replace(b"sk-real", b"*******")
    )
    assert b"sk-real" not in line
    assert verify_line(GENESIS, line) == link


def test_a_masker_that_finds_nothing_changes_nothing() -> None:
    assert append(GENESIS, {"id": "x"}, lambda body: body) == append(GENESIS, {"id": "x"})


@pytest.mark.parametrize(
    "masker",
    [
        lambda body: body[:-5],
        lambda body: body + b"\n{}",
        lambda body: body.replace(b'"id":', b'"id":\n'),
        lambda body: body.replace(b'"seq":1', b'"seq":2'),
        lambda body: body.replace(b'"id":"x",', b""),
        lambda body: b"[]",
    ],
)
def test_S47_a_masker_that_leaves_no_record_refuses_it(masker: object) -> None:
    with pytest.raises(AuditError, match="masking"):
        append(GENESIS, {"event": "request", "id": "x"}, masker)  # type: ignore[arg-type]
