"""S26, S27: values out, placeholders in."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyswap.exchange import PlaceholderText
from keyswap.rewrite.scrub import Masker
from keyswap.secret import Secret

KEY = "sk-ant-api03-Zx9QwR7tYv2LpK3mNcB5sDfG"
AWKWARD = 'p&ss=w"o\\rd%7d$1'
SPACED = "a pass phrase/with spaces"
ACCENTED = "clé-à-molette-ß€🔑"
JWT = "eyJhbGciOiJSUzI1NiJ9." + base64.urlsafe_b64encode(bytes(range(256)) * 16).decode().rstrip("=") + ".sig-_"
PLACEHOLDER = "ph-placeholder"

Encode = Callable[[str], str]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ENCODERS: dict[str, Encode] = {
    "raw": str,
    "json": json.dumps,
    "json, not ascii": lambda text: json.dumps(text, ensure_ascii=False),
    "json with escaped slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "json for html": lambda text: json.dumps(text).replace("&", "\\u0026").replace("<", "\\u003C"),
    "json, all escaped": lambda text: "".join(f"\\u{ord(char):04X}" if char < "\uffff" else char for char in text),
    "json in json": lambda text: json.dumps(json.dumps({"key": text})),
    "json in json with escaped slashes": lambda text: json.dumps(json.dumps(text).replace("/", "\\/")),
    "json in json, the outer one all escaped": lambda text: "".join(
        f"\\u{ord(char):04x}" if char in '\\"' else char for char in json.dumps(text)
    ),
    "percent": lambda text: quote(text, safe=""),
    "percent in lower case": lambda text: "".join(
        f"%{byte:02x}" if chr(byte) not in "ab-" else chr(byte) for byte in text.encode()
    ),
    "path": quote,
    "form": quote_plus,
    "form in json": lambda text: json.dumps({"url": "https://api.example.com/?k=" + quote_plus(text) + "&x=1"}),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "base64": b64,
    "base64 at offset 1": lambda text: b64("?" + text + "!"),
    "base64 at offset 2": lambda text: b64("??" + text + "!!"),
    "base64, url-safe": lambda text: base64.urlsafe_b64encode(("~~" + text + "~~").encode()).decode(),
    "base64 in a form": lambda text: quote_plus(b64("?>" + text + "?>")),
    "base64 in json with escaped slashes": lambda text: json.dumps(b64("??" + text)).replace("/", "\\/"),
    "basic password": lambda text: "Basic " + b64("any user:" + text),
    "basic user": lambda text: "Basic " + b64(text + ":x-oauth-basic"),
}


def masker(*values: str) -> Masker:
    return Masker((Secret(value.encode()), PlaceholderText(PLACEHOLDER)) for value in values)


def test_S26_nothing_to_look_for_is_idle_and_changes_nothing() -> None:
    empty = Masker([])
    assert empty.idle
    assert empty.field(KEY.encode()) == (KEY.encode(), 0)
    stream = empty.stream()
    assert stream.feed(KEY.encode()) == KEY.encode()
    assert (stream.end(), stream.count) == (b"", 0)


def test_S27_values_under_eight_bytes_are_left_out_and_counted() -> None:
    short = masker("1234567", "12", "12345678")
    assert short.skipped == 2
    assert not short.idle
    assert short.field(b"1234567 12345678") == (b"1234567 ph-place", 1)
    assert masker("1234567").idle


@pytest.mark.parametrize("value", [KEY, AWKWARD, SPACED, ACCENTED, JWT], ids=["key", "awkward", "spaced", "é", "jwt"])
@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
def test_S27_every_form_is_overwritten_and_nothing_beside_it(encode: Encode, value: str) -> None:
    """What is overwritten is the stretch in which the encodings of two values differ, to within a border character."""
    text = ("<< " + encode(value) + " >>").encode()
    out, count = masker(value).field(text)
    assert count == 1
    assert len(out) == len(text)
    start = out.index(PLACEHOLDER.encode())
    masked = PLACEHOLDER.encode() + b"*" * out.count(b"*")
    assert out == text[:start] + masked + text[start + len(masked) :]
    assert masker(value).field(out) == (out, 0)
    shorter = ("<< " + encode("") + " >>").encode()
    assert len(out) - len(masked) <= len(shorter) + 2


def test_S26_a_placeholder_is_cut_to_the_hit_or_filled_up_to_it() -> None:
    assert masker("12345678").field(b"[12345678]") == (b"[ph-place]", 1)
    assert masker("1234567890123456").field(b"[1234567890123456]") == (b"[ph-placeholder**]", 1)


def test_S26_an_event_is_still_json_when_a_value_in_it_is_overwritten() -> None:
    event = json.dumps({"text": f'the key is "{AWKWARD}"', "nested": json.dumps([AWKWARD, "next"])})
    out, count = masker(AWKWARD).field(event.encode())
    assert count == 2
    assert json.loads(out)["text"].startswith(f'the key is "{PLACEHOLDER}')
    assert json.loads(json.loads(out)["nested"])[1] == "next"


def test_S26_every_value_has_its_own_placeholder() -> None:
    both = Masker([(Secret(KEY.encode()), PlaceholderText("#one")), (Secret(JWT.encode()), PlaceholderText("#two"))])
    out, count = both.field(f"{KEY} {JWT}".encode())
    assert count == 2
    assert out == b"#one".ljust(len(KEY), b"*") + b" " + b"#two".ljust(len(JWT), b"*")


def test_S26_of_two_pairs_with_one_value_the_first_counts() -> None:
    pairs = [(Secret(b"12345678"), PlaceholderText("#one")), (Secret(b"12345678"), PlaceholderText("#two"))]
    assert Masker(pairs).field(b"12345678") == (b"#one****", 1)


def test_S26_a_fixed_placeholder_that_holds_a_value_is_not_written() -> None:
    pairs = [(Secret(b"12345678"), PlaceholderText("my-12345678")), (Secret(b"abcdefgh"), PlaceholderText("12345678"))]
    assert Masker(pairs).field(b"12345678 abcdefgh") == (b"******** ********", 2)


def test_S26_what_only_resembles_a_value_stays() -> None:
    text = "\n".join([KEY[:-1] + "!", KEY.lower(), KEY[1:], html.escape("<" + KEY[:20]), b64(KEY[:-2]), KEY[::-1]])
    assert masker(KEY).field(text.encode()) == (text.encode(), 0)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_S26_any_bytes_without_a_form_pass_unchanged(data: bytes) -> None:
    assert masker(KEY, JWT, AWKWARD).field(data) == (data, 0)


@settings(deadline=None)
@given(st.text(min_size=8, max_size=20).filter(lambda text: "\r" not in text and "\n" not in text))
def test_S27_values_in_any_script_are_found_as_they_are_in_json_and_in_percent(value: str) -> None:
    for text in (value, json.dumps(value)[1:-1], json.dumps(json.dumps(value)), quote(value, safe="")):
        out, count = masker(value).field(text.encode())
        assert count >= 1, text
        assert len(out) == len(text.encode())


def test_S27_a_value_that_is_not_utf8_is_found_as_it_is_and_escaped() -> None:
    value = b"caf\xe9-\xff\xfe-latin1"
    latin = Masker([(Secret(value), PlaceholderText("#placeholder"))])
    for text in (value, b"caf%E9-%ff%FE-latin1", b"caf\\u00e9-\\u00FF\\u00fe-latin1", base64.b64encode(value)):
        out, count = latin.field(b"<" + text + b">")
        assert (count, len(out)) == (1, len(text) + 2)
        assert out.startswith(b"<#placeholder")


def test_S42_a_masker_does_not_print_its_values() -> None:
    assert repr(masker(KEY, "short")) == "<Masker of 1 values>"
