"""S26: a body that comes in chunks, at any split, against a slow and simple scrubber of the whole."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyswap.exchange import PlaceholderText
from keyswap.rewrite.scrub import Masker
from keyswap.secret import Secret
from rewrite.reference import held, hits, scrubbed, spellings

KEY = "sk-ant-api03-Zx9QwR7tYv2LpK3mNcB5sDfG"
AWKWARD = 'p&ss=w"o\\rd%7d$1'
PLACEHOLDER = "sk-ant-api03-placeholder"

SLOW = settings(deadline=None, max_examples=150)
"""The slow scrubber takes its time."""

# Neither `#` nor `*` stands in a value here, so that a placeholder never completes a form.
ALPHABETS = ["ab", "a%25", '\\"a', "\\u07%a", "sk-antZ09_", 'p&s=w"o\\rd%7$1/ +', "AZaz09+/=-_.~"]


@st.composite
def values(draw: st.DrawFn) -> str:
    return draw(st.text(draw(st.sampled_from(ALPHABETS)), min_size=8, max_size=14))


@st.composite
def spelled(draw: st.DrawFn, text: str) -> str:
    """`text`, each character in a spelling of its own."""
    one = [draw(st.sampled_from(spellings(char))) for char in text]
    return "".join(draw(st.sampled_from([way, in_upper_hex(way)])) for way in one)


def in_upper_hex(way: str) -> str:
    return way if len(way) == 1 else "".join(char.upper() if char in "abcdef" else char for char in way)


@st.composite
def forms(draw: st.DrawFn, value: str) -> str:
    """One form of `value`, escaped in any mixture, whole or cut short."""
    around = st.binary(max_size=4)
    raw = draw(around) + value.encode() + draw(around)
    encode = draw(st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]))
    digits = "".join(draw(st.sampled_from([one, one.upper()])) for one in value.encode().hex())
    form = draw(st.sampled_from([value, value, digits, encode(raw).decode()]))
    text = draw(st.one_of(st.just(form), spelled(form), st.sampled_from([json.dumps(form), quote(form, safe="")])))
    return text[draw(st.sampled_from([0, 0, 0, 1, 3])) : draw(st.sampled_from([None, None, -1, -3, 9]))]


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, str], str, list[int]]:
    """Placeholders by value, a text with forms of these values in it, and where to split it."""
    chosen = draw(st.lists(values(), min_size=1, max_size=3, unique=True))
    if draw(st.booleans()):
        chosen.append(chosen[0][3:] + chosen[-1][:6])
    masks = {value: "#" * n + "#placeholder-of-some-length"[: 20 - n] for n, value in enumerate(chosen)}
    filler = st.text('ab%25\\u07"/ sk=\n', max_size=5)
    parts = st.one_of(filler, *(forms(value) for value in chosen))
    text = "".join(draw(st.lists(parts, max_size=6)))
    return masks, text, sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))


def masker(masks: dict[str, str]) -> Masker:
    return Masker((Secret(value.encode()), PlaceholderText(mask)) for value, mask in masks.items())


def through(masks: dict[str, str], chunks: list[str]) -> tuple[str, int]:
    stream = masker(masks).stream()
    out = b"".join(stream.feed(chunk.encode()) for chunk in chunks) + stream.end()
    return out.decode(), stream.count


def split(text: str, at: list[int]) -> list[str]:
    return [text[low:high] for low, high in zip([0, *at], [*at, len(text)], strict=True)]


@SLOW
@given(cases())
def test_S26_S27_any_text_at_any_split_comes_out_as_from_the_slow_scrubber(
    case: tuple[dict[str, str], str, list[int]],
) -> None:
    masks, text, at = case
    expected = scrubbed(text, masks)
    assert through(masks, [text]) == expected
    assert through(masks, split(text, at)) == expected
    assert through(masks, list(text)) == expected


@SLOW
@given(cases())
def test_S26_S27_nothing_is_found_in_what_comes_out_and_its_length_is_the_same(
    case: tuple[dict[str, str], str, list[int]],
) -> None:
    masks, text, at = case
    out, count = through(masks, split(text, at))
    assert len(out) == len(text)
    assert not hits(out, masks)
    assert count > 0 or out == text


@SLOW
@given(cases())
def test_S26_only_a_tail_that_begins_a_form_is_held_back(case: tuple[dict[str, str], str, list[int]]) -> None:
    masks, text, at = case
    stream = masker(masks).stream()
    out = 0
    fed = ""
    for chunk in split(text, at):
        fed += chunk
        out += len(stream.feed(chunk.encode()))
        assert len(fed) - out == held(fed, masks)


@pytest.mark.parametrize("value", [KEY, AWKWARD])
@pytest.mark.parametrize("encode", [str, json.dumps, quote, lambda text: base64.b64encode(text.encode()).decode()])
def test_S26_a_value_cut_in_two_at_any_place_is_found(value: str, encode: type[str]) -> None:
    masks = {value: PLACEHOLDER}
    text = "before " + encode(value) + " after"
    for at in range(len(text) + 1):
        out, count = through(masks, [text[:at], text[at:]])
        assert count == 1
        assert out == scrubbed(text, masks)[0]


def test_S26_an_event_that_ends_in_a_line_feed_goes_out_whole_at_once() -> None:
    stream = masker({KEY: PLACEHOLDER, AWKWARD: PLACEHOLDER}).stream()
    for word in ("Hello", "sk-ant-api03-", "%73%6B", "\\u0073", KEY[:-1], "c2stYW50LWFwaTAz", AWKWARD[:-1]):
        event = b'data: {"delta": "%s"}\n\n' % word.encode()
        assert stream.feed(event) == event
    assert stream.end() == b""


def test_S26_a_first_byte_that_begins_no_form_is_not_delayed() -> None:
    assert masker({KEY: PLACEHOLDER}).stream().feed(b"{") == b"{"


def test_S26_the_end_lets_a_form_through_that_has_only_begun() -> None:
    stream = masker({KEY: PLACEHOLDER}).stream()
    assert stream.feed(b"key: " + KEY[:20].encode()) == b"key: "
    assert stream.end() == KEY[:20].encode()
    assert stream.count == 0


def test_S26_the_end_overwrites_a_form_that_might_have_gone_on() -> None:
    stream = masker({"key-with-\\": "#"}).stream()
    assert stream.feed(b"key-with-\\") == b""
    assert stream.end() == b"#*********"
    assert stream.count == 1


def test_S26_a_body_of_nothing_but_overlapping_hits_is_not_collected() -> None:
    stream = masker({"aaaaaaaa": "#placeholder"}).stream()
    behind = 0
    for _ in range(300):
        behind += 10 - len(stream.feed(b"a" * 10))
        assert behind < 8
    assert len(stream.end()) == behind
    assert stream.count == 1


def test_S26_held_back_is_less_than_the_longest_form() -> None:
    stream = masker({KEY: PLACEHOLDER}).stream()
    text = "".join(f"\\u005cu{ord(char):04x}" for char in KEY).encode()
    assert [stream.feed(bytes([byte])) for byte in text[:-1]] == [b""] * (len(text) - 1)
    assert stream.feed(text[-1:] + b"\n") == PLACEHOLDER.encode().ljust(len(text), b"*") + b"\n"


def test_S26_two_values_that_overlap_are_overwritten_as_one() -> None:
    masks = {"abcdefgh": "#first", "efghijkl": "#second"}
    assert through(masks, ["<abcdefghijkl>"]) == ("<#first******>", 1)
    assert through(masks, ["<abcdefg", "hijk", "l>"]) == ("<#first******>", 1)


def test_S26_of_two_values_with_one_start_the_longer_counts() -> None:
    masks = {"abcdefgh": "#short", "abcdefghijkl": "#long"}
    assert through(masks, ["abcdefgh", "ijkl"]) == ("#long*******", 1)
    assert through(masks, ["abcdefgh", "ijk."]) == ("#short**ijk.", 1)


def test_S26_values_side_by_side_are_two_hits() -> None:
    masks = {"abcdefgh": "#first", "ijklmnop": "#second"}
    assert through(masks, ["abcdefghi", "jklmnop"]) == ("#first**#second*", 2)


def test_S26_an_empty_chunk_changes_nothing() -> None:
    assert through({KEY: "#"}, ["", KEY[:9], "", KEY[9:], ""]) == ("#".ljust(len(KEY), "*"), 1)


def test_S27_escapes_far_apart_are_each_looked_at() -> None:
    escaped = quote(AWKWARD, safe="").replace("r", "%72")
    text = "".join(f"{'.' * gap}%73%2d{'.' * gap}{escaped}" for gap in (0, 3, 500, 2000))
    out, count = through({AWKWARD: "#", KEY: "#"}, [text])
    assert count == 4
    assert out == text.replace(escaped, "#".ljust(len(escaped), "*"))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 60))
def test_S26_long_runs_of_what_may_be_an_escape_are_walked_in_bounded_time(run: int) -> None:
    """Each backslash may be one character or half of one; a naive walk tries every way to pair them."""
    masks = {"\\" * 40 + "end": "#"}
    text = "\\" * run + "!"
    assert through(masks, [text]) == (text, 0)
