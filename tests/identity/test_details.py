"""What may be said about a session: bounded, one line, printable."""

import re

import pytest

from keyswap.errors import IdentityError
from keyswap.identity import details


def test_an_id_is_made_where_none_is_given() -> None:
    made = {details.session_id(None) for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch("s-[a-z2-7]{16}", one) for one in made)


@pytest.mark.parametrize("given", ["a", "0", "ci", "agent-1.run_2", "a" * 64])
def test_an_id_may_be_given(given: str) -> None:
    assert details.session_id(given) == given


@pytest.mark.parametrize("given", ["", "A", "-a", ".a", "_a", "a b", "a\n", "a/b", "é", "a" * 65, "a\0"])
def test_S42_an_id_outside_its_grammar_is_refused(given: str) -> None:
    with pytest.raises(IdentityError, match="not an id"):
        details.session_id(given)


@pytest.mark.parametrize("value", ["", "acme", "Größe 12", "a" * 128])
def test_a_text_is_taken_as_it_is(value: str) -> None:
    assert details.text(value, "tenant") == value


@pytest.mark.parametrize("value", ["a" * 129, "a\nb", "a\r", "\x1b[31m", "a\0", "\u2028", "\u202e", "\ud800"])
def test_S42_a_text_that_is_long_or_not_printable_is_refused(value: str) -> None:
    with pytest.raises(IdentityError, match="tenant is too long or not printable"):
        details.text(value, "tenant")


@pytest.mark.parametrize("value", ["", " "])
def test_a_required_text_is_not_empty(value: str) -> None:
    with pytest.raises(IdentityError, match="the profile is empty"):
        details.text(value, "profile", required=True)


def test_labels_are_a_copy_that_does_not_change() -> None:
    given = {"agent": "claude", "example.com/run": ""}
    kept = details.labels(given)
    given["agent"] = "other"
    assert kept["agent"] == "claude"
    with pytest.raises(TypeError):
        kept["agent"] = "x"  # type: ignore[index]


@pytest.mark.parametrize(
    "given",
    [
        {str(number): "" for number in range(17)},
        {"": "a"},
        {"-a": "a"},
        {"a b": "a"},
        {"a\n": "a"},
        {"a" * 64: "a"},
        {"a": "b\nc"},
        {"a": "b" * 129},
    ],
)
def test_S42_labels_out_of_bounds_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(IdentityError):
        details.labels(given)
    assert len(details.labels({str(number): "b" * 128 for number in range(16)})) == 16
