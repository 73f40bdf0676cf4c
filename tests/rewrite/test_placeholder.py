import math
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyswap.errors import RewriteError
from keyswap.exchange import BASE62, CredentialName, PlaceholderShape, PlaceholderText
from keyswap.rewrite.placeholder import derive, has_check, is_ours, make_book, shape_problem
from rewrite.samples import ANTHROPIC, DEEPSEEK, GEMINI, GITHUB, HEADERS, HEX, KEY, MISTRAL, SEED, SHAPES, book, held

ALPHABETS = [BASE62, HEX, BASE62[:36], BASE62 + "-_", "01"]
FIXED = PlaceholderShape("", 0, value=PlaceholderText("demo-placeholder"))

seeds = st.binary(min_size=1, max_size=40)
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20).map(CredentialName)


@st.composite
def shapes(draw: st.DrawFn, *, checked: bool = True) -> PlaceholderShape:
    alphabet = draw(st.sampled_from(ALPHABETS))
    prefix = draw(st.sampled_from(["", "ghp_", "sk-ant-api03-", "AIza"]))
    suffix = draw(st.sampled_from(["", "AA", "=="]))
    bits = 168 if checked else 128
    room = math.ceil(bits / math.log2(len(alphabet))) + draw(st.integers(1 if checked else 0, 60))
    return PlaceholderShape(prefix, len(prefix) + room + len(suffix), suffix, alphabet)


@given(shapes(checked=False), seeds, names)
def test_S18_a_placeholder_is_in_the_shape_the_client_expects(
    shape: PlaceholderShape, seed: bytes, name: CredentialName
) -> None:
    text = derive(shape, key=KEY, seed=seed, credential=name)
    assert len(text) == shape.length
    assert text.startswith(shape.prefix)
    assert text.endswith(shape.suffix)
    assert set(text[len(shape.prefix) : shape.length - len(shape.suffix)]) <= set(shape.alphabet)


@given(shapes(checked=False), seeds, names)
def test_S18_a_placeholder_is_the_same_each_time(shape: PlaceholderShape, seed: bytes, name: CredentialName) -> None:
    assert derive(shape, key=KEY, seed=seed, credential=name) == derive(shape, key=KEY, seed=seed, credential=name)


@given(shapes(checked=False), st.sets(st.tuples(seeds, names), min_size=2, max_size=6))
def test_S18_each_session_and_credential_has_its_own(
    shape: PlaceholderShape, pairs: set[tuple[bytes, CredentialName]]
) -> None:
    texts = {derive(shape, key=KEY, seed=seed, credential=name) for seed, name in pairs}
    assert len(texts) == len(pairs)


def test_S18_seed_and_name_do_not_run_into_each_other() -> None:
    shape = SHAPES[GITHUB]
    one = derive(shape, key=KEY, seed=b"ab", credential=CredentialName("c"))
    assert one != derive(shape, key=KEY, seed=b"a", credential=CredentialName("bc"))


def test_S18_every_letter_is_as_likely_as_the_other() -> None:
    shape = PlaceholderShape("", 62 * 400)
    counts = Counter(derive(shape, key=KEY, seed=SEED, credential=GITHUB))
    assert set(counts) == set(BASE62)
    # 400 each are expected; the standard deviation is 20.
    assert 300 < min(counts.values()) <= max(counts.values()) < 500


@given(shapes(), seeds, names, st.binary(min_size=16, max_size=32))
def test_S18_any_we_ever_made_is_recognised_and_no_other_key_makes_it_so(
    shape: PlaceholderShape, seed: bytes, name: CredentialName, other: bytes
) -> None:
    text = derive(shape, key=KEY, seed=seed, credential=name)
    assert has_check(shape)
    assert is_ours(text, [FIXED, shape], KEY)
    assert is_ours(text.swapcase(), [shape], KEY)
    assert is_ours(text, [shape], other) == (other == KEY)
    assert not is_ours(text, [], KEY)


@given(shapes(), seeds, st.data())
def test_S18_one_other_character_makes_it_unknown(shape: PlaceholderShape, seed: bytes, data: st.DataObject) -> None:
    text = derive(shape, key=KEY, seed=seed, credential=GITHUB)
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from(shape.alphabet + "~\n").filter(lambda one: one.lower() != text[at].lower()))
    assert not is_ours(text[:at] + letter + text[at + 1 :], [shape], KEY)


@pytest.mark.parametrize("text", ["", "ghp_", "\ud800", "ghp_\u00e9" + "a" * 35, "\u212a" * 40, "x" * 40])
def test_S18_other_text_is_not_ours(text: str) -> None:
    assert not is_ours(text, SHAPES.values(), KEY)


def test_S18_a_placeholder_with_something_around_it_is_not_one() -> None:
    text = held(GITHUB).decode()
    assert not any(is_ours(other, SHAPES.values(), KEY) for other in (text + "a", "a" + text, text[1:], text[:-1]))


def test_S18_a_shape_too_short_for_a_check_has_none() -> None:
    assert has_check(SHAPES[MISTRAL])
    assert not has_check(SHAPES[DEEPSEEK])
    assert shape_problem(SHAPES[DEEPSEEK]) is None
    assert not is_ours(held(DEEPSEEK).decode(), [SHAPES[DEEPSEEK]], KEY)


def test_S18_the_check_takes_seven_letters_of_base62() -> None:
    """22 letters are 128 bits: with 28 there is no room for the check, with 29 there is."""
    assert not has_check(PlaceholderShape("x-", 2 + 28))
    assert has_check(PlaceholderShape("x-", 2 + 29))


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        (PlaceholderShape("ghp_", 25), "needs at least 26 characters: 128 random bits take 22"),
        (PlaceholderShape("sk-", 34, alphabet=HEX), "needs at least 35 characters: 128 random bits take 32"),
        (PlaceholderShape("x", 0), "needs at least 23 characters"),
        (PlaceholderShape("x", 40, alphabet="a"), "at least two different letters"),
        (PlaceholderShape("x", 40, alphabet=""), "at least two different letters"),
        (PlaceholderShape("x", 140, alphabet="aab"), "each named once"),
        (PlaceholderShape("x y", 40), "may hold letters, digits"),
        (PlaceholderShape("x:", 40), "may hold letters, digits"),
        (PlaceholderShape("x", 40, suffix="\r\n"), "may hold letters, digits"),
        (PlaceholderShape("x", 40, alphabet=BASE62 + "~"), "may hold letters, digits"),
        (PlaceholderShape("", 0, value=PlaceholderText("a" * 15)), "needs at least 16 characters"),
        (PlaceholderShape("", 0, value=PlaceholderText("a" * 15 + " ")), "may hold letters, digits"),
    ],
)
def test_S18_an_unsafe_shape_is_told_and_makes_nothing(shape: PlaceholderShape, problem: str) -> None:
    assert problem in (shape_problem(shape) or "")
    with pytest.raises(RewriteError, match="the placeholder of github"):
        derive(shape, key=KEY, seed=SEED, credential=GITHUB)


def test_S18_a_one_letter_alphabet_is_judged_and_not_waited_for() -> None:
    assert not is_ours("x", [PlaceholderShape("x", 1, alphabet="a")], KEY)


def test_S18_a_fixed_placeholder_is_the_same_in_every_session_and_known_by_its_text() -> None:
    assert derive(FIXED, key=KEY, seed=b"1", credential=GITHUB) == "demo-placeholder"
    assert has_check(FIXED)
    assert is_ours("DEMO-placeholder", [FIXED], b"any key")
    assert not is_ours("demo-placeholder2", [FIXED], KEY)


def test_a_book_holds_this_sessions_placeholders_and_declared_headers() -> None:
    made = book()
    assert made.own == {held(name): name for name in SHAPES}
    assert made.headers[ANTHROPIC] == (b"x-api-key", b"authorization")
    assert made.declared[b"x-goog-api-key"] == "header:x-goog-api-key"
    assert set(made.declared) == {b"x-api-key", b"x-goog-api-key", b"authorization"}


def test_authorization_is_always_taken_apart() -> None:
    assert make_book(KEY, SEED, [], {}).declared == {b"authorization": "header:authorization"}


def test_S42_a_book_prints_neither_placeholders_nor_its_key() -> None:
    made = book(known=[held(DEEPSEEK, b"other").decode()], demo="fixed-placeholder-one")
    for text in (held(GITHUB), KEY, held(DEEPSEEK, b"other")):
        assert text.decode() not in repr(made)


@pytest.mark.parametrize("second", ["the-same-placeholder", "The-Same-Placeholder"])
def test_S18_two_credentials_with_one_placeholder_make_no_book(second: str) -> None:
    with pytest.raises(RewriteError, match="two credentials have the same placeholder"):
        book(one="the-same-placeholder", two=second)


def test_S18_an_unsafe_shape_makes_no_book() -> None:
    with pytest.raises(RewriteError, match="needs at least 16 characters"):
        book(demo="short")


def test_S18_an_old_shape_of_another_generation_can_be_looked_for() -> None:
    old = PlaceholderShape("old-", 50)
    patterns = make_book(KEY, SEED, SHAPES.items(), HEADERS, shapes=[old, SHAPES[GEMINI]]).patterns
    assert len(patterns) == len(SHAPES) + 1
    assert all(one != two for one, two in pairwise(patterns))
