import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyswap.errors import RewriteError
from keyswap.exchange import CredentialName, Fields
from keyswap.rewrite.fill import fill
from keyswap.rewrite.search import search
from rewrite.samples import ANTHROPIC, GEMINI, GITHUB, HEADERS, SHAPES, basic, book, grant, head, held, value_of

BOOK = book()
ODD = b'p&ss=w"o\\rd%7d$1\\1\\g<0>'
API_KEY, BEARER = "header:x-api-key", "header:authorization"


def filled(*fields: tuple[bytes, bytes], **places: str) -> Fields:
    """The fields after ODD went into the places given as credential=place."""
    return fill(fields, [grant(CredentialName(name), place, ODD) for name, place in places.items()], BOOK)


def test_nothing_is_ever_injected_without_a_placeholder() -> None:
    fields = ((b"Host", b"a"), (b"X-Other", b"b"))
    assert filled(*fields) == fields
    assert filled(*fields, anthropic=API_KEY) == fields


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        (b"X-Api-Key", b"", b""),
        (b"x-API-key", b" \t", b" "),
        (b"Authorization", b"", b""),
        (b"authorization", b"bearer  ", b""),
        (b"AUTHORIZATION", b"Token\t", b"\t"),
    ],
)
def test_S20_S25_the_token_is_replaced_and_the_rest_is_left_as_it_was(name: bytes, before: bytes, after: bytes) -> None:
    around = ((b"hOST", b"a"), (b"X-Z", b"1")), ((b"X-A", b" 2"), (b"x-z", b"3"))
    fields = (*around[0], (name, before + held(ANTHROPIC) + after), *around[1])
    place = f"header:{name.decode().lower()}"
    assert filled(*fields, anthropic=place) == (*around[0], (name, before + ODD + after), *around[1])


@pytest.mark.parametrize("scheme", [b"Basic ", b"BASIC  "])
def test_S20_S25_a_half_of_basic_is_replaced_and_the_other_is_left(scheme: bytes) -> None:
    for user, password, place in ((b"git:", held(GITHUB), "basic:password"), (held(GITHUB), b"x:\xff", "basic:user")):
        coded = base64.b64encode(user.rstrip(b":") + b":" + password).rstrip(b"=")
        ((name, value),) = filled((b"Authorization", scheme + coded), github=place)
        expected = (user.rstrip(b":") + b":" + password).replace(held(GITHUB), ODD)
        assert (name, value) == (b"Authorization", scheme + base64.b64encode(expected))


def test_both_halves_of_basic_are_filled() -> None:
    grants = [grant(GITHUB, "basic:user", b"u"), grant(GITHUB, "basic:password", b"p")]
    fields = ((b"Authorization", basic(held(GITHUB), held(GITHUB))),)
    assert fill(fields, grants, BOOK) == ((b"Authorization", basic(b"u", b"p")),)
    grants[1] = grant(GEMINI, "basic:password", b"p")
    fields = ((b"Authorization", basic(held(GITHUB), held(GEMINI))),)
    assert fill(fields, grants, BOOK) == ((b"Authorization", basic(b"u", b"p")),)


@pytest.mark.parametrize("turned", [False, True])
def test_S19_of_two_headers_the_first_in_the_credentials_order_is_kept(turned: bool) -> None:
    fields = [(b"X-Api-Key", held(ANTHROPIC)), (b"a", b"1"), (b"Authorization", b"Bearer " + held(ANTHROPIC))]
    grants = [grant(ANTHROPIC, BEARER, ODD), grant(ANTHROPIC, API_KEY, ODD)]
    left = fill(tuple(reversed(fields) if turned else fields), grants, BOOK)
    assert set(left) == {(b"X-Api-Key", ODD), (b"a", b"1")}


def test_S19_only_a_granted_place_is_filled() -> None:
    fields = ((b"X-Api-Key", held(ANTHROPIC)), (b"Authorization", b"Bearer " + held(ANTHROPIC)))
    assert filled(*fields, anthropic=BEARER) == ((b"Authorization", b"Bearer " + ODD),)


def test_S23_after_a_swap_there_is_one_header_of_that_name() -> None:
    token = held(ANTHROPIC)
    fields = ((b"X-Api-Key", b"foreign"), (b"x-api-key", token), (b"X-API-KEY", token), (b"X-Api-Key", b""))
    assert filled(*fields, anthropic=API_KEY) == ((b"x-api-key", ODD),)


@pytest.mark.parametrize("value", [b"", b"Bearer", b"Bearer foreign", basic(b"a", b"b"), b"a, b c"])
def test_S23_sibling_auth_headers_do_not_ride_along(value: bytes) -> None:
    fields = ((b"Authorization", value), (b"X-Api-Key", held(ANTHROPIC)), (b"X-Goog-Api-Key", b"not a sibling"))
    assert filled(*fields, anthropic=API_KEY) == ((b"X-Api-Key", ODD), (b"X-Goog-Api-Key", b"not a sibling"))


def test_S23_another_grants_header_is_no_sibling() -> None:
    fields = ((b"Authorization", b"token " + held(GITHUB)), (b"X-Api-Key", held(ANTHROPIC)))
    left = filled(*fields, anthropic=API_KEY, github=BEARER)
    assert left == ((b"Authorization", b"token " + ODD), (b"X-Api-Key", ODD))


def test_S23_two_credentials_in_two_lines_of_one_name_leave_one_line() -> None:
    fields = ((b"Authorization", b"token " + held(GITHUB)), (b"Authorization", b"Bearer " + held(GEMINI)))
    assert filled(*fields, gemini=BEARER, github=BEARER) == ((b"Authorization", b"token " + ODD),)


@pytest.mark.parametrize(
    ("fields", "places"),
    [
        ([(b"X-Api-Key", held(ANTHROPIC))], {}),
        ([(b"X-Api-Key", held(ANTHROPIC))], {"anthropic": BEARER}),
        ([(b"X-Api-Key", held(GITHUB))], {"github": API_KEY}),
        ([(b"Authorization", basic(held(GITHUB), held(GEMINI)))], {"github": "basic:user"}),
        ([(b"Authorization", basic(held(GITHUB), held(GITHUB)))], {"github": "basic:user"}),
        (
            [(b"X-Goog-Api-Key", held(GEMINI)), (b"Authorization", basic(held(GITHUB), held(GEMINI)))],
            {"gemini": "header:x-goog-api-key", "github": "basic:user"},
        ),
    ],
)
def test_S22_a_placeholder_that_would_leave_unfilled_releases_nothing(fields: Fields, places: dict[str, str]) -> None:
    with pytest.raises(RewriteError, match="would leave unfilled") as caught:
        filled(*fields, **places)
    assert not any(held(name).decode() in str(caught.value) for name in SHAPES)


@pytest.mark.parametrize("value", [b"", b"a\nb", b"a\rb", b"a\0b", b"real\r\nX-Evil: 1"])
def test_S25_a_value_that_would_split_the_header_is_not_filled(value: bytes) -> None:
    with pytest.raises(RewriteError, match="the value of anthropic cannot stand in a header") as caught:
        fill(((b"X-Api-Key", held(ANTHROPIC)),), [grant(ANTHROPIC, API_KEY, value)], BOOK)
    assert "real" not in str(caught.value)


def test_a_value_with_a_colon_is_a_password_and_not_a_user() -> None:
    for place, pair in (("basic:password", (b"u", held(GITHUB))), ("basic:user", (held(GITHUB), b"p"))):
        fields, grants = ((b"Authorization", basic(*pair)),), [grant(GITHUB, place, b"a:b")]
        if place == "basic:password":
            assert fill(fields, grants, BOOK) == ((b"Authorization", basic(b"u", b"a:b")),)
        else:
            with pytest.raises(RewriteError, match="holds a colon"):
                fill(fields, grants, BOOK)


def test_S20_a_value_that_looks_like_a_placeholder_is_not_looked_at_again() -> None:
    grants = [grant(ANTHROPIC, API_KEY, held(GITHUB)), grant(GITHUB, BEARER, b"real")]
    fields = ((b"X-Api-Key", held(ANTHROPIC)), (b"Authorization", b"token " + held(GITHUB)))
    assert fill(fields, grants, BOOK) == ((b"X-Api-Key", held(GITHUB)), (b"Authorization", b"token real"))


# --- the search and the change walk the same list

noise = st.lists(
    st.tuples(st.sampled_from([b"Cookie", b"accept", b"X-Other"]), st.text("abc :=,%;1", max_size=12).map(str.encode))
)
wrappings = st.sampled_from([b"%b", b" %b", b"Bearer %b", b"token\t%b ", b"ApiKey  %b"])
declared = st.sampled_from([(name, header) for name in SHAPES for header in HEADERS[name]])


@given(noise.map(tuple), noise.map(tuple), declared, wrappings)
def test_S19_exactly_the_token_changes_and_nothing_else(
    before: Fields, after: Fields, where: tuple[CredentialName, str], wrapping: bytes
) -> None:
    credential, header = where
    fields = (*before, (header.title().encode(), wrapping % held(credential)), *after)
    (finding,) = search(head(*fields), BOOK, owned={})
    left = fill(fields, [grant(credential, finding.place, ODD)], BOOK)
    assert left == (*before, (header.title().encode(), wrapping.replace(b"%b", ODD)), *after)


lines = st.tuples(
    st.sampled_from([b"X-Api-Key", b"Authorization", b"x-goog-api-key"]),
    st.sampled_from([b"%b", b"Bearer %b", b"x%b", b"%b,", b"%b %b", b"Basic %b"]).flatmap(
        lambda form: st.sampled_from([form.replace(b"%b", held(name)) for name in SHAPES])
    )
    | st.sampled_from([basic(held(one), held(two)) for one in SHAPES for two in (GITHUB, ANTHROPIC)]),
)


@given(st.lists(lines, max_size=5).map(tuple))
def test_S19_S22_no_whole_placeholder_leaves_a_filled_head(fields: Fields) -> None:
    whole = [one for one in search(head(*fields), BOOK, owned={}) if not one.place.startswith("inside:")]
    grants = [grant(one.credential, one.place, b"real") for one in whole if one.credential]
    with suppress(RewriteError):
        left = fill(fields, grants, BOOK)
        after = search(head(*left), BOOK, owned={})
        assert [one for one in after if not one.place.startswith("inside:")] == []
        swapped = {name for name, value in left if b"real" in value}
        assert all(len(value_of(left, name.lower())) == 1 for name in swapped)


@given(st.binary(min_size=1, max_size=80).filter(lambda value: not set(value) & set(b"\r\n\0")))
def test_S25_any_value_arrives_byte_for_byte(value: bytes) -> None:
    left = fill(((b"X-Api-Key", held(ANTHROPIC)),), [grant(ANTHROPIC, API_KEY, value)], BOOK)
    assert left == ((b"X-Api-Key", value),)
    left = fill(((b"Authorization", basic(b"u", held(GITHUB))),), [grant(GITHUB, "basic:password", value)], BOOK)
    assert base64.b64decode(left[0][1].removeprefix(b"Basic ")) == b"u:" + value
