"""S25: what a source holds, made into a value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials.shown import everything
from keyswap.credentials.clean import clean
from keyswap.credentials.interface import Absent
from keyswap.errors import CredentialError
from keyswap.secret import Secret

HOSTILE = b'p&ss=w"o\\rd%7d$1'


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"sk-12345678", b"sk-12345678"),
        (b"sk-12345678\n", b"sk-12345678"),
        (b"sk-12345678\r\n", b"sk-12345678"),
        (HOSTILE, HOSTILE),
        (HOSTILE + b"\n", HOSTILE),
        (b"bearer-of-news", b"bearer-of-news"),
        (b"user:pass word", b"user:pass word"),
        ("schlüssel".encode(), "schlüssel".encode()),
    ],
)
def test_S25_one_newline_at_the_end_is_removed_and_nothing_else(raw: bytes, value: bytes) -> None:
    assert clean(raw) == (Secret(value), ())


@given(st.binary(min_size=8).filter(lambda value: not set(value) & set(b"\r\n\0") and value == value.strip()))
def test_S25_every_other_value_arrives_unharmed(value: bytes) -> None:
    scheme = value.lower().startswith((b"bearer ", b"bearer\t"))
    for end in (b"", b"\n", b"\r\n"):
        secret, warnings = clean(value + end)
        assert secret.reveal() == value or scheme
        assert warnings == () or scheme


@pytest.mark.parametrize("raw", [b"", b"\n", b"\r\n", b" ", b"\t \n", b"Bearer ", b"Bearer \n"])
def test_S25_nothing_is_no_value(raw: bytes) -> None:
    with pytest.raises(Absent, match="empty"):
        clean(raw)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"hunter2\n\n", "a line break"),
        (b"\nhunter2", "a line break"),
        (b"hunter2\r", "a carriage return"),
        (b"hun\rter2", "a carriage return"),
        (b"hunter2\r\r\n", "a carriage return"),
        (b"hunter2\r\nX-Evil: 1", "a carriage return"),
        (b"hunter2\0", "a NUL byte"),
        (b"\n\n", "a line break"),
        ("hunter2".encode("utf-16"), "a NUL byte"),
    ],
)
def test_S25_what_would_break_a_header_is_refused_without_being_shown(raw: bytes, what: str) -> None:
    with pytest.raises(CredentialError, match=what) as caught:
        clean(raw)
    assert not isinstance(caught.value, Absent)
    assert "hunter" not in everything(caught.value)


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER\t", b"Bearer   "])
def test_S25_an_accidental_scheme_is_removed_with_a_warning(scheme: bytes) -> None:
    secret, (warning,) = clean(scheme + b"sk-12345678\n")
    assert secret.reveal() == b"sk-12345678"
    assert "Bearer" in warning
    assert "sk-" not in warning


def test_S25_white_space_around_a_value_is_kept_and_warned_about() -> None:
    secret, (warning,) = clean(b" sk-12345678 \n")
    assert secret.reveal() == b" sk-12345678 "
    assert "white space" in warning


def test_S27_a_value_too_short_to_be_searched_for_is_warned_about() -> None:
    assert [len(clean(b"x" * size)[1]) for size in (1, 7, 8)] == [1, 1, 0]
