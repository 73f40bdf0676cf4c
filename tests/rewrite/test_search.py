import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyswap.exchange import CredentialName, Finding, Head, PlaceholderShape, PlaceholderText
from keyswap.rewrite.placeholder import Book, make_book
from keyswap.rewrite.search import search
from rewrite.samples import (
    ANTHROPIC,
    DEEPSEEK,
    ELSEWHERE,
    GEMINI,
    GITHUB,
    HEADERS,
    KEY,
    MISTRAL,
    SEED,
    SHAPES,
    basic,
    book,
    head,
    held,
)  # fmt: skip

BOOK = book()
OWNED = {"x-api-key": ANTHROPIC, "authorization": ANTHROPIC}


def found(request: Head, in_book: Book = BOOK) -> tuple[Finding, ...]:
    return search(request, in_book, owned=OWNED)


def own(place: str, credential: str) -> Finding:
    return Finding("own", place, CredentialName(credential))


def places(request: Head, in_book: Book = BOOK) -> list[tuple[str, str]]:
    return [(finding.kind, finding.place) for finding in found(request, in_book)]


# --- nothing there


def test_a_request_without_any_credential_has_no_findings() -> None:
    assert found(head()) == ()
    assert search(head(), make_book(KEY, SEED, [], {}), owned={}) == ()


def test_long_ids_that_are_no_placeholders_are_no_findings() -> None:
    request = head(
        (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        (b"x-request-id", b"0af7651916cd43dd8448eb211c80319c"),
        (b"idempotency-key", b"stainless-python-retry-6f1d3a52-7a52-4c0e-9a1c-2f3b6a9d8e77"),
        (b"cookie", b"session=" + base64.b64encode(bytes(range(200)))),
        (b"x-other-service", b"ghp_" + b"0" * 36),
        path=b"/repos/a%20b/" + b"e" * 200 + b"?cursor=Y3Vyc29yOnYyOpHOAA%3D%3D&x=%zz",
    )
    assert found(request) == ()


# --- whole tokens in declared places


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        (b"X-Api-Key", b"%b", "header:x-api-key"),
        (b"x-api-key", b" \t%b ", "header:x-api-key"),
        (b"x-api-key", b"Bearer %b", "header:x-api-key"),
        (b"Authorization", b"%b", "header:authorization"),
        (b"Authorization", b"Bearer %b", "header:authorization"),
        (b"authorization", b"bearer %b", "header:authorization"),
        (b"AUTHORIZATION", b"BEARER \t %b  ", "header:authorization"),
        (b"Authorization", b"token %b", "header:authorization"),
        (b"Authorization", b"Basic %b", "header:authorization"),
    ],
)
def test_S20_a_whole_token_is_found_behind_any_scheme_word(name: bytes, value: bytes, place: str) -> None:
    assert found(head((name, value % held(ANTHROPIC)))) == (own(place, ANTHROPIC),)


@pytest.mark.parametrize("scheme", [b"Basic ", b"basic ", b"BASIC\t  "])
def test_S20_both_halves_of_basic_are_places(scheme: bytes) -> None:
    token = held(GITHUB)
    for user, password, place in ((token, b"x-oauth-basic", "user"), (token, b"", "user"), (b"git", token, "password")):
        coded = base64.b64encode(user + b":" + password)
        for value in (coded, coded.rstrip(b"=")):
            assert found(head((b"Authorization", scheme + value))) == (own(f"basic:{place}", GITHUB),)


def test_S20_basic_splits_at_the_first_colon() -> None:
    assert places(head((b"Authorization", basic(b"git", held(GITHUB) + b":x")))) == [("own", "inside:authorization")]


def test_two_credentials_in_the_two_halves_are_both_found() -> None:
    request = head((b"Authorization", basic(held(GITHUB), held(ANTHROPIC))))
    assert found(request) == (own("basic:user", GITHUB), own("basic:password", ANTHROPIC))


def test_S19_a_placeholder_in_two_of_its_headers_is_two_findings() -> None:
    request = head((b"Authorization", b"Bearer " + held(ANTHROPIC)), (b"X-Api-Key", held(ANTHROPIC)))
    assert found(request) == (own("header:authorization", ANTHROPIC), own("header:x-api-key", ANTHROPIC))


def test_the_same_finding_is_told_once() -> None:
    assert len(found(head(*[(b"X-Api-Key", held(ANTHROPIC))] * 3))) == 1


def test_S21_a_placeholder_in_another_credentials_header_names_its_own_credential() -> None:
    assert found(head((b"X-Goog-Api-Key", held(GITHUB)))) == (own("header:x-goog-api-key", GITHUB),)


@pytest.mark.parametrize(
    "value", [b"%bx", b"x%b", b"%b,", b'"%b"', b"Bearer %b, Bearer x", b"Bearer  x %b", b"token=%b"]
)
@pytest.mark.parametrize("name", [b"Authorization", b"X-Api-Key"])
def test_S20_a_part_of_a_longer_token_is_misplaced(name: bytes, value: bytes) -> None:
    place = "inside:" + name.decode().lower()
    for credential in (ANTHROPIC, MISTRAL, GEMINI):
        assert found(head((name, value % held(credential)))) == (own(place, credential),)


def test_S20_a_placeholder_twice_in_one_value_is_misplaced() -> None:
    token = held(GITHUB)
    assert ("own", "inside:authorization") in places(head((b"Authorization", token + b" " + token)))
    assert ("own", "inside:authorization") in places(head((b"Authorization", b"%b, %b" % (token, token))))


def test_S20_a_fixed_placeholder_inside_another_does_not_disturb_it() -> None:
    fixed = book(short="demo-placeholder", long="demo-placeholder-long")
    for name in ("short", "long"):
        text = next(text for text, credential in fixed.own.items() if credential == name)
        findings = found(head((b"Authorization", b"Bearer " + text)), fixed)
        assert [(one.kind, one.place, one.credential) for one in findings] == [("own", "header:authorization", name)]


# --- misplaced ones, in any spelling


def percent(token: bytes) -> bytes:
    return b"".join(b"%%%02x" % byte for byte in token)


SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": bytes,
    "upper": bytes.upper,
    "lower": bytes.lower,
    "swapped": bytes.swapcase,
    "percent": percent,
    "one percent": lambda token: b"%%%02X" % token[0] + token[1:],
    "percent twice": lambda token: percent(percent(token)),
    "percent three times": lambda token: percent(percent(percent(token))),
    "percent in upper": lambda token: percent(token.upper()),
    "base64": base64.b64encode,
    "base64 without padding": lambda token: base64.b64encode(token).rstrip(b"="),
    "base64 url": base64.urlsafe_b64encode,
    "base64 with percent": lambda token: base64.b64encode(token).replace(b"=", b"%3D"),
    "base64 in percent": lambda token: percent(base64.b64encode(token)),
    "base64 of upper": lambda token: base64.b64encode(token.upper()),
    "base64 of a pair": lambda token: base64.b64encode(b"a:" + token),
    "base64 in a longer run": lambda token: b"x" + base64.b64encode(token),
    "inside": lambda token: b"(" + token + b")",
}

PLACES: dict[str, Callable[[bytes], Head]] = {
    "method": lambda text: head(method=text),
    "authority": lambda text: head(authority=text + b".example.com"),
    "path": lambda text: head(path=b"/v1/" + text + b"/x"),
    "query": lambda text: head(path=b"/v1?a=1&key=" + text + b"&b=2"),
    "header:host": lambda text: Head("HTTP/1.1", b"GET", "https", b"", b"/", ((b"Host", text + b".example.com"),)),
    "header:cookie": lambda text: head((b"Cookie", b"a=b; c=" + text)),
    "header:referer": lambda text: head((b"Referer", b"https://a.example.com/?" + text)),
    "header:origin": lambda text: head((b"Origin", text)),
    "header:x-anything": lambda text: head((b"X-Anything", text)),
    "header:proxy-authorization": lambda text: head((b"Proxy-Authorization", b"Bearer " + text)),
    "inside:authorization": lambda text: head((b"Authorization", b"Digest a, " + text)),
    "inside:x-goog-api-key": lambda text: head((b"X-Goog-Api-Key", b"a b " + text)),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("place", PLACES)
def test_S21_an_own_placeholder_elsewhere_is_found_in_any_spelling(place: str, spelling: str) -> None:
    for credential in SHAPES:
        request = PLACES[place](SPELLINGS[spelling](held(credential)))
        findings = [one for one in found(request) if one.kind != "other"]
        assert findings == [own(place, credential)]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("place", PLACES)
def test_S21_another_sessions_placeholder_is_found_in_any_spelling(place: str, spelling: str) -> None:
    for credential in (ANTHROPIC, GITHUB, GEMINI, MISTRAL):
        request = PLACES[place](SPELLINGS[spelling](held(credential, ELSEWHERE)))
        assert [one for one in found(request) if one.kind != "other"] == [Finding("unknown", place)]


@pytest.mark.parametrize("spelling", ["upper", "swapped", "percent", "base64", "inside"])
def test_S21_another_spelling_in_a_declared_place_is_misplaced(spelling: str) -> None:
    """What `fill` does not replace must not look as if it would."""
    text = SPELLINGS[spelling](held(GITHUB))
    for value in (text, b"Bearer " + text, basic(b"git", text), basic(text, b"x")):
        assert found(head((b"Authorization", value))) == (own("inside:authorization", GITHUB),)


def test_S21_another_sessions_placeholder_in_a_declared_place_is_unknown_and_not_other() -> None:
    text = held(ANTHROPIC, ELSEWHERE)
    for value in (text, b"Bearer " + text, basic(b"git", text), basic(text, b"")):
        assert found(head((b"Authorization", value))) == (Finding("unknown", "inside:authorization"),)


def test_S21_the_other_half_of_basic_is_searched_too() -> None:
    request = head((b"Authorization", basic(held(GITHUB, ELSEWHERE), held(GITHUB))))
    assert found(request) == (own("basic:password", GITHUB), Finding("unknown", "inside:authorization"))
    request = head((b"Authorization", basic(b"a" + held(GITHUB), held(GITHUB))))
    assert found(request) == (own("basic:password", GITHUB), own("inside:authorization", GITHUB))


def test_S21_a_header_name_is_searched_and_its_text_is_not_told() -> None:
    name = held(GITHUB).lower()
    findings = found(head((name, held(GITHUB))))
    assert findings == (own("header-name", GITHUB), own("header", GITHUB))


def test_S21_a_shape_without_a_check_is_found_by_the_table() -> None:
    text = held(DEEPSEEK, ELSEWHERE)
    request = head((b"Cookie", text))
    assert found(request) == ()
    assert found(request, book(known=[text.decode()])) == (Finding("unknown", "header:cookie"),)
    assert found(head((b"Cookie", text.upper())), book(known=[text.decode()])) == (Finding("unknown", "header:cookie"),)


def test_S21_a_fixed_placeholder_is_found_in_any_spelling() -> None:
    with_fixed = book(demo="demo-placeholder")
    for spelling in SPELLINGS.values():
        request = head((b"Cookie", b"a=" + spelling(b"demo-placeholder")))
        assert [(one.place, one.credential) for one in found(request, with_fixed)] == [("header:cookie", "demo")]
    assert found(head((b"Cookie", b"a=demo")), with_fixed) == ()


def test_S21_an_older_shape_is_found_and_its_fixed_text_too() -> None:
    old = PlaceholderShape("", 0, value=PlaceholderText("an-older-placeholder"))
    older = make_book(KEY, SEED, SHAPES.items(), HEADERS, shapes=[old])
    assert found(head((b"Cookie", b"a=An-Older-Placeholder")), older) == (Finding("unknown", "header:cookie"),)


def test_S38_a_head_full_of_lookalikes_is_misuse_and_not_counted_to_the_end() -> None:
    few, many = (b" ".join(b"ghp_" + b"%036d" % number for number in range(count)) for count in (512, 513))
    assert found(head((b"X-Many", few))) == ()
    assert found(head((b"X-Many", many))) == (Finding("unknown", "header:x-many"),)


def test_S38_lookalikes_spread_over_many_headers_are_misuse_too() -> None:
    spread = [(b"x-%d" % number, b"ghp_" + b"%036d" % number) for number in range(600)]
    assert found(head(*spread)) == (Finding("unknown", "head"),)


# --- values that are not ours


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X-Api-Key", b"sk-ant-api03-real"),
        (b"x-api-key", b"a b c"),
        (b"Authorization", b"Bearer sk-real"),
        (b"Authorization", b"hunter2"),
        (b"Authorization", b"AWS4-HMAC-SHA256 Credential=AKIA/2026, SignedHeaders=host, Signature=ab"),
        (b"Authorization", basic(b"git", b"ghp_real")),
        (b"Authorization", basic(b"sk_live_real", b"")),
        (b"Authorization", basic(b"", b"real")),
        (b"Authorization", b"Basic !!!"),
        (b"Authorization", b"Basic bm9jb2xvbg=="),
    ],
)
def test_S23_another_value_in_an_owned_header_is_foreign(name: bytes, value: bytes) -> None:
    place = "header:" + name.decode().lower()
    assert found(head((name, value))) == (Finding("other", place, ANTHROPIC),)
    assert search(head((name, value)), BOOK, owned={}) == ()


@pytest.mark.parametrize("value", [b"", b"  ", b"Bearer", b"bearer ", b"Basic", b"token", b"Basic Og==", b"Basic Og"])
def test_S23_an_empty_value_is_no_credential(value: bytes) -> None:
    assert found(head((b"Authorization", value))) == ()


def test_S23_a_foreign_value_beside_a_placeholder_is_told() -> None:
    for extra in ((b"X-Api-Key", b"sk-real"), (b"Authorization", b"Bearer sk-real")):
        findings = found(head((b"X-Api-Key", held(ANTHROPIC)), extra))
        place = "header:" + extra[0].decode().lower()
        assert findings == (own("header:x-api-key", ANTHROPIC), Finding("other", place, ANTHROPIC))


def test_S23_misuse_elsewhere_does_not_hide_a_foreign_value() -> None:
    request = head((b"Cookie", held(GITHUB)), (b"X-Api-Key", b"sk-real"))
    assert found(request) == (own("header:cookie", GITHUB), Finding("other", "header:x-api-key", ANTHROPIC))


def test_S23_a_header_owned_by_a_credential_outside_the_book_is_judged_too() -> None:
    findings = search(head((b"X-Other-Key", b"real")), BOOK, owned={"x-other-key": GITHUB})
    assert findings == (Finding("other", "header:x-other-key", GITHUB),)


def test_S42_no_finding_repeats_what_was_sent() -> None:
    token = held(GITHUB)
    for place in PLACES.values():
        assert token.decode().lower() not in repr(found(place(token))).lower()


# --- whatever stands around it

around = st.text("abcXYZ019-_./=+ ;,:?&", max_size=12).map(str.encode)


@given(around, around, st.sampled_from(sorted(SHAPES)), st.sampled_from(sorted(SPELLINGS)))
def test_S21_a_planted_placeholder_is_found_whatever_stands_around_it(
    before: bytes, after: bytes, credential: str, spelling: str
) -> None:
    token = next(held(name) for name in SHAPES if name == credential)
    text = before + b" " + SPELLINGS[spelling](token) + b" " + after
    assert own("header:x-anything", credential) in found(head((b"X-Anything", text)))


@given(st.binary(max_size=300), st.binary(max_size=60))
def test_any_bytes_at_all_are_searched_without_an_error(value: bytes, name: bytes) -> None:
    request = head((b"Authorization", value), (name, value), path=b"/" + value)
    assert all(finding.kind == "other" for finding in found(request))
