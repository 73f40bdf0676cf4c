import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyswap.rewrite.places import take_apart

VALUES = st.binary(max_size=60) | st.text("aB1=:, \t", max_size=30).map(str.encode)


@given(st.sampled_from([b"authorization", b"x-api-key"]), VALUES)
def test_S20_the_parts_of_a_value_are_its_bytes(name: bytes, value: bytes) -> None:
    if parts := take_apart(name, value):
        assert parts.before + parts.token + parts.after == value
        assert parts.refilled("header:x", {"header:x": parts.token}) == value


@given(st.binary(max_size=20).filter(lambda user: b":" not in user), st.binary(max_size=20))
def test_S20_basic_is_user_and_password_to_the_byte(user: bytes, password: bytes) -> None:
    parts = take_apart(b"authorization", b"Basic " + base64.b64encode(user + b":" + password))
    assert parts is not None
    assert parts.basic == (user, password)
    assert parts.slots("header:authorization")[1:] == (("basic:user", user), ("basic:password", password))


@pytest.mark.parametrize("name", [b"x-api-key", b"cookie"])
def test_basic_is_read_in_authorization_only(name: bytes) -> None:
    parts = take_apart(name, b"Basic " + base64.b64encode(b"a:b"))
    assert parts is not None
    assert parts.basic is None


@pytest.mark.parametrize("value", [b"", b" ", b"a b c", b"Digest a=b, c=d", b"Bearer a b"])
def test_S20_more_or_less_than_one_token_is_none(value: bytes) -> None:
    assert take_apart(b"authorization", value) is None


@pytest.mark.parametrize("value", [b"a" + b" " * 60_000 + b"b c", b" " * 60_000, b"a" * 60_000 + b"\x00 b c"])
def test_S38_a_long_hostile_value_is_read_in_linear_time(value: bytes) -> None:
    assert take_apart(b"authorization", value) is None
