"""S27: which forms a value has, and which of their stretches are looked for first."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyswap.rewrite.forms import UNRESERVED, Form, forms_of

keys = st.binary(min_size=8, max_size=40)
neighbours = st.binary(max_size=7)


def stands_in(form: Form, text: bytes, at: int) -> bool:
    """Whether the plain bytes of a form stand in `text` from `at` on."""
    stretch = text[at : at + len(form.units)]
    return len(stretch) == len(form.units) and all(
        byte in unit.plain for byte, unit in zip(stretch, form.units, strict=True)
    )


@settings(deadline=None)
@given(keys, neighbours, neighbours, st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]))
def test_S27_base64_of_any_text_around_a_value_holds_the_form_of_its_offset(
    value: bytes, before: bytes, after: bytes, encode: type[bytes]
) -> None:
    form = forms_of(value, b"")[1 + len(before) % 3]
    text = encode(before + value + after).rstrip(b"=")
    assert stands_in(form, text, 8 * len(before) // 6)


@settings(deadline=None)
@given(keys, neighbours, neighbours)
def test_S27_the_characters_at_the_borders_tell_a_value_from_one_with_another_first_or_last_bit(
    value: bytes, before: bytes, after: bytes
) -> None:
    form = forms_of(value, b"")[1 + len(before) % 3]
    first = 8 * len(before) // 6
    changed = bytes([value[0] ^ 0x80]) + value[1:-1] + bytes([value[-1] ^ 1])
    text = base64.b64encode(before + changed + after)
    assert text[first] not in form.units[0].plain
    assert text[first + len(form.units) - 1] not in form.units[-1].plain


@settings(deadline=None)
@given(keys)
def test_S27_hex_stands_in_the_text_in_either_case(value: bytes) -> None:
    form = forms_of(value, b"")[4]
    assert stands_in(form, value.hex().encode(), 0)
    assert stands_in(form, value.hex().upper().encode(), 0)


@pytest.mark.parametrize("value", [b"sk-ant-api03-Zx9QwR7tYv2LpK3m", b"ghp_0123456789abcdefABCDEF", b"aaaaaaaa"])
def test_S27_the_window_of_a_key_is_wide_and_of_characters_that_nobody_escapes(value: bytes) -> None:
    for form in forms_of(value, b""):
        units = form.units[form.window]
        assert len(units) >= 6
        assert form.window.start <= 8
        assert all(unit.plain <= UNRESERVED for unit in units)


def test_S27_a_window_avoids_what_json_escapes_in_passing() -> None:
    units = forms_of(b'"\\a"bcdefgh', b"")[0].units
    window = forms_of(b'"\\a"bcdefgh', b"")[0].window
    assert b"".join(min(unit.literals) for unit in units[window]) == b"bcdefgh"[: window.stop - window.start]


def test_S27_a_value_of_nothing_but_quotes_has_a_window_all_the_same() -> None:
    assert forms_of(b'"' * 20, b"")[0].window == slice(0, 4)


def test_S27_a_value_of_few_characters_of_many_bytes_has_a_window_all_the_same() -> None:
    assert forms_of("🔑🔒".encode(), b"")[0].window == slice(0, 2)


def test_S42_a_form_and_its_units_do_not_print() -> None:
    form = forms_of(b"sk-secret-value", b"")[0]
    assert "secret" not in repr(form)
    assert "115" not in repr(form.units[0]).replace(hex(id(form.units[0]))[2:], "")
