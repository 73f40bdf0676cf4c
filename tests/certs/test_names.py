"""Subtrees hold what a policy's host texts mean, and nothing beside it (S41)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyswap.certs import names
from keyswap.errors import CertificateError

LABEL = st.text("abcxyz019-_", min_size=1, max_size=8).filter(lambda text: text[0] != "-" and text[-1] != "-")
HOST = st.lists(LABEL, min_size=2, max_size=4).map(".".join).filter(lambda text: not names.is_address(text))


def test_no_subtrees_are_no_constraint() -> None:
    assert names.subtrees(()) == ()


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("api.example.com",), ("api.example.com",)),
        (("*.example.com",), ("example.com",)),
        (("API.Example.COM",), ("api.example.com",)),
        (("*.example.com", "api.example.com", "example.com"), ("example.com",)),
        (("badexample.com", "example.com"), ("badexample.com", "example.com")),
    ],
)
def test_host_texts_become_the_widest_subtrees(texts: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert names.subtrees(texts) == expected


@pytest.mark.parametrize(
    "text",
    ["", "*", "*.", ".example.com", "a..b", "example.com.", "*.*.example.com", "10.0.0.1", "::1", "a/b", "ex\nample"],
)
def test_S41_what_is_no_host_name_is_refused(text: str) -> None:
    with pytest.raises(CertificateError, match="not a host name"):
        names.subtrees((text,))


@given(st.lists(HOST, max_size=6), HOST)
def test_S41_every_text_is_held_and_every_holder_was_given(texts: list[str], stranger: str) -> None:
    held = names.subtrees(tuple(texts))
    assert all(any(names.within(text, subtree) for subtree in held) for text in texts)
    assert set(held) <= set(texts)
    assert names.within(f"x.{stranger}", stranger)
    assert not names.within(f"x{stranger}", stranger)
