"""S39: tokens, and how they are presented."""

import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyswap.identity.token import can_be_presented, looks_minted, mint_token, presented, token_hash

TOKEN = "ks_" + "Ab1_" * 10 + "xyz"
"""As one is minted; fixed, because parallel runs compare the names of tests."""


def basic(text: str | bytes) -> bytes:
    return b"Basic " + base64.b64encode(text if isinstance(text, bytes) else text.encode())


def test_S39_a_token_is_256_random_bits() -> None:
    tokens = {mint_token() for _ in range(100)}
    assert len(tokens) == 100
    for token in tokens:
        assert re.fullmatch("ks_[A-Za-z0-9_-]{43}", token)
        assert len(base64.urlsafe_b64decode(token[3:] + "=")) == 32
        assert looks_minted(token)


@pytest.mark.parametrize(
    "text", ["", "ks_", TOKEN[:-1], TOKEN + "A", TOKEN + "\n", "sk_" + TOKEN[3:], "ks_" + "!" * 43]
)
def test_other_texts_were_not_minted(text: str) -> None:
    assert not looks_minted(text)


def test_S39_a_token_is_kept_as_its_hash() -> None:
    assert token_hash("ks_a") == hashlib.sha256(b"ks_a").digest()
    assert len({token_hash("\ud800"), token_hash("\udfff"), token_hash("é")}) == 3


def test_no_field_presents_no_token() -> None:
    assert presented([]) is None


@pytest.mark.parametrize(
    "value",
    [
        basic(f"keyswap:{TOKEN}"),
        basic(f":{TOKEN}"),
        basic(f"anybody:{TOKEN}"),
        basic(b"\xff\xfe:" + TOKEN.encode()),
        b"bAsIc" + basic(f"keyswap:{TOKEN}")[5:],
        b"Basic   " + basic(f"keyswap:{TOKEN}")[6:],
        b"Bearer " + TOKEN.encode(),
        b"bearer  " + TOKEN.encode(),
        b" Bearer " + TOKEN.encode() + b"\t",
    ],
)
def test_S39_a_token_comes_as_password_or_bearer(value: bytes) -> None:
    assert presented([value]) == TOKEN


def test_S39_a_password_may_hold_a_colon() -> None:
    assert presented([basic("keyswap:a:b")]) == "a:b"


@pytest.mark.parametrize(
    "values",
    [
        [b""],
        [b"Basic"],
        [b"Basic "],
        [b"Bearer "],
        [TOKEN.encode()],
        [b"Digest " + TOKEN.encode()],
        [b"Basic " + TOKEN.encode()],
        [b"Basic !!!!"],
        [b"Basic YQ"],
        [b"Basic YTpi=YTpi"],
        [basic("no colon")],
        [basic(f"{TOKEN}:")],
        [basic("keyswap:with space")],
        [basic("keyswap:line\nbreak")],
        [basic("keyswap:nul\0")],
        [basic(b"keyswap:\xff\xff")],
        [basic("keyswap:" + "a" * 1025)],
        [b"Bearer " + b"a" * 5000],
        [b"Bearer a b"],
        [b"Bearer a,b"],
        [b"Bearer " + TOKEN.encode() + b"\n"],
        [b"Bearer " + TOKEN.encode(), b"Bearer " + TOKEN.encode()],
        [basic(f"keyswap:{TOKEN}"), b""],
    ],
)
def test_S39_anything_else_presents_no_token(values: list[bytes]) -> None:
    assert presented(values) is None


@given(st.lists(st.binary() | st.binary().map(lambda junk: b"Basic " + junk) | st.binary().map(basic), max_size=2))
def test_S39_junk_never_raises_and_never_makes_an_unprintable_token(values: list[bytes]) -> None:
    token = presented(values)
    assert token is None or can_be_presented(token)
