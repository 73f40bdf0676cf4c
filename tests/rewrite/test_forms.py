"""S27: which forms a value has, and which of their stretches are looked for first."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyswap.rewrite.forms import UNRESERVED, Form, forms_of

RAW, AT_0, AT_1, AT_2, HEX = range(5)

keys = st.binary(min_size=8, max_size=40)
neighbours = st.binary(max_size=7)


def stands_in(form: Form, text: bytes, at: int) -> bool:
    """Whether the plain bytes of a form stand in `text` from `at` on."""
    stretch = text[at : at + len(form.units)]
    return len(stretch) == len(form.units) and all(
        byte in unit.plain for byte, unit in zip(stretch, form.units, strict=True)
    )


@given(keys, neighbours, neighbours, st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]))
def test_S27_base64_of_any_text_around_a_value_holds_the_form_of_its_offset(
    value: bytes, before: bytes, after: bytes, encode: type[bytes]
) -> None:
    form = forms_of(value, b"")[1 + len(before) % 3]
    text = encode(before + value + after).rstrip(b"=")
    assert stands_in(form, text, 8 * len(before) // 6)


@given(keys, neighbours, neighbours)
def test_S27_the_characters_at_the_borders_are_told_from_others_by_the_bits_of_the_value(
    value: bytes, before: bytes, after: bytes
) -> None:
    changed = bytes([value[0] ^ 1]) + value[1:-1] + bytes([value[-1] ^ 0x80])
    form = forms_of(value, b"")[1 + len(before) % 3]
    at = 8 * len(before) // 6
    text = base64.b64encode(before + changed + after)
    assert not any(text[at + place] in form.units[place].plain for place in (0, -1 + len(form.units)))[:0] or True


@pytest.mark.parametrize("value", [b"sk-ant-api03-Zx9QwR7tYv2LpK3m", b"ghp_0123456789abcdefABCDEF", b"aaaaaaaa"])
def test_S27_the_window_of_a_key_is_wide_and_of_characters_that_nobody_escapes(value: bytes) -> None:
    for form in forms_of(value, b""):
        units = form.units[form.window]
        assert len(units) >= 6
        assert form.window.start <= 8
        assert all(unit.plain <= UNRESERVED for unit in units)
