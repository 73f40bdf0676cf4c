"""Paths are read in one way or not at all, and rules are read as requests are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyswap.policy.paths import MAX_DISPLAY, PathError, PathPattern, canonical_path, display, segments, split_target

PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="/;\\%"), min_size=1)
SEGMENT = PLAIN.filter(lambda text: text not in (".", ".."))
PATHS = st.lists(SEGMENT, min_size=1, max_size=6).map(tuple)
TARGETS = st.lists(
    st.sampled_from(
        [
            b"/",
            b"a",
            b"B",
            b".",
            b"..",
            b"%2F",
            b"%2f",
            b"%2e",
            b"%41",
            b"%25",
            b"%",
            b";",
            b"\\",
            b"%5c",
            b"%c3%a9",
            b"\x00",
            b"%00",
            b"\xff",
            b"%ff",
            b"*",
            b"~",
            b" ",
            b"%20",
            b"#",
            b"?",
            b"%3F",
        ]
    ),
    max_size=10,
).map(lambda parts: b"/" + b"".join(parts))


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        (b"/", ("",)),
        (b"/a", ("a",)),
        (b"/a/", ("a", "")),
        (b"/a/b", ("a", "b")),
        (b"/%61%2D%7E/b", ("a-~", "b")),
        (b"/a/.well-known/..x/...", ("a", ".well-known", "..x", "...")),
        (b"/caf%C3%A9", ("café",)),
        (b"/100%25", ("100%",)),
        (b"/a%20b", ("a b",)),
        (b"/a%3Fb%23c", ("a?b#c",)),
        (b"/!$&'()*+,=:@-._~\"<>[]^`{|}", ("!$&'()*+,=:@-._~\"<>[]^`{|}",)),
    ],
)
def test_S13_a_path_is_its_decoded_segments(raw: bytes, parts: tuple[str, ...]) -> None:
    assert segments(raw, encoded_slash=False) == parts


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"a",
        b"*",
        b"http://example.com/a",
        b"//example.com/a",
        b"/a//b",
        b"/a//",
        b"/.",
        b"/..",
        b"/a/../b",
        b"/a/./b",
        b"/a/..",
        b"/%2e%2E/b",
        b"/.%2e",
        b"/%252e%252e",
        b"/%25%32%65",
        b"/%c0%ae%c0%ae",
        b"/a;b",
        b"/..;/b",
        b"/a%3bb",
        b"/a\\b",
        b"/a%5Cb",
        b"/a\x00b",
        b"/a%00b",
        b"/a\r\nb",
        b"/a%0Ab",
        b"/a%7fb",
        b"/a b",
        b"/a\tb",
        b"/a#b",
        b"/a?b",
        b"/a\xc3\xa9",
        b"/a%E9",
        b"/a%",
        b"/a%4",
        b"/a%zz",
        b"/a%u002f",
    ],
)
@pytest.mark.parametrize("encoded_slash", [False, True])
def test_S13_what_can_be_read_in_two_ways_is_refused(raw: bytes, encoded_slash: bool) -> None:
    with pytest.raises(PathError):
        segments(raw, encoded_slash=encoded_slash)


@pytest.mark.parametrize(
    ("raw", "parts"),
    [(b"/@scope%2Fname", ("@scope/name",)), (b"/@scope%2fname/-/x", ("@scope/name", "-", "x"))],
)
def test_S13_an_encoded_slash_needs_its_entry(raw: bytes, parts: tuple[str, ...]) -> None:
    assert segments(raw, encoded_slash=True) == parts
    with pytest.raises(PathError, match="encoded_slash"):
        segments(raw, encoded_slash=False)


@pytest.mark.parametrize(
    "raw",
    [b"/..%2Fadmin", b"/a%2F..%2Fadmin", b"/a%2F.", b"/%2Fadmin", b"/a%2F%2Fb", b"/a%2F", b"/a%2F/b", b"/a%252Fb"],
)
def test_S13_an_encoded_slash_hides_no_other_path(raw: bytes) -> None:
    with pytest.raises(PathError):
        segments(raw, encoded_slash=True)


def test_S13_the_query_is_no_part_of_the_path() -> None:
    assert split_target(b"/a/b?c=/../d?e") == b"/a/b"
    assert split_target(b"/a") == b"/a"


@given(TARGETS)
def test_S13_a_segment_holds_a_slash_only_where_the_entry_says_so(raw: bytes) -> None:
    try:
        parts = segments(split_target(raw), encoded_slash=False)
    except PathError:
        return
    assert not any("/" in part for part in parts)
    assert not {".", ".."} & set(parts)
    assert "" not in parts[:-1]


@given(TARGETS, st.booleans())
def test_S13_canonicalising_twice_changes_nothing(raw: bytes, encoded_slash: bool) -> None:
    try:
        parts = segments(split_target(raw), encoded_slash=encoded_slash)
    except PathError:
        return
    canonical = canonical_path(parts)
    assert segments(canonical.encode("ascii"), encoded_slash=encoded_slash) == parts
    assert canonical_path(segments(canonical.encode("ascii"), encoded_slash=encoded_slash)) == canonical
    assert all(part not in (".", "..", "") for segment in parts[:-1] for part in segment.split("/"))


@given(PATHS)
def test_S13_every_decoded_path_has_a_canonical_spelling(parts: tuple[str, ...]) -> None:
    assert segments(canonical_path(parts).encode("ascii"), encoded_slash=False) == parts


@given(TARGETS)
def test_S13_rule_and_request_are_read_alike(raw: bytes) -> None:
    path = split_target(raw)
    try:
        parts = segments(path, encoded_slash=True)
    except PathError:
        return
    rule = path.decode("ascii").replace("*", "%2A")
    assert PathPattern.parse(rule).matches(parts)
    assert PathPattern.parse(canonical_path(parts).replace("*", "%2A")).matches(parts)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("/", ["/"], ["/a", "/a/"]),
        ("/a", ["/a", "/%61"], ["/a/", "/a/b", "/", "/A", "/ab"]),
        ("/a/", ["/a/"], ["/a", "/a/b"]),
        ("/**", ["/", "/a", "/a/", "/a/b/c"], []),
        ("/*", ["/a", "/abc"], ["/", "/a/", "/a/b"]),
        ("/a/**", ["/a", "/a/", "/a/b", "/a/b/c/"], ["/", "/ab", "/a-b/c", "/b/a"]),
        ("/a/*", ["/a/b"], ["/a", "/a/", "/a/b/c", "/a/b/"]),
        ("/a/*/c", ["/a/b/c"], ["/a/c", "/a/b/d", "/a/b/c/d"]),
        ("/a/**/c", ["/a/c", "/a/b/c", "/a/c/c", "/a/1/2/c"], ["/a", "/a/b", "/a/c/d", "/c"]),
        ("/**/a/**/b", ["/a/b", "/x/a/a/b/b", "/a/x/b"], ["/b/a", "/a", "/a/b/x"]),
        ("/a/**/", ["/a/", "/a/b/"], ["/a", "/a/b"]),
        ("/a/*/**", ["/a/b", "/a/b/c"], ["/a", "/a/"]),
        ("/%2A", ["/*", "/%2a"], ["/a"]),
        ("/café", ["/caf%C3%A9"], ["/cafe"]),
    ],
)
def test_S13_patterns_match_whole_segments(pattern: str, yes: list[str], no: list[str]) -> None:
    compiled = PathPattern.parse(pattern)
    assert compiled.text == pattern
    for path in yes:
        assert compiled.matches(segments(path.encode(), encoded_slash=False)), path
    for path in no:
        assert not compiled.matches(segments(path.encode(), encoded_slash=False)), path


def test_S13_a_star_takes_a_segment_with_an_encoded_slash() -> None:
    assert PathPattern.parse("/*").matches(segments(b"/@scope%2Fname", encoded_slash=True))
    assert PathPattern.parse("/@scope%2Fname").matches(segments(b"/@scope%2fname", encoded_slash=True))
    assert not PathPattern.parse("/@scope/**").matches(segments(b"/@scope%2Fname", encoded_slash=True))


PARTS = st.lists(st.sampled_from(["a", "b", "*", "**"]), min_size=1, max_size=6)


@given(PARTS, st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=7))
def test_S13_matching_agrees_with_its_definition(parts: list[str], path: list[str]) -> None:
    def defined(pattern: list[str], rest: list[str]) -> bool:
        if not pattern:
            return not rest
        if pattern[0] == "**":
            return any(defined(pattern[1:], rest[cut:]) for cut in range(len(rest) + 1))
        return bool(rest) and pattern[0] in ("*", rest[0]) and defined(pattern[1:], rest[1:])

    assert PathPattern.parse("/" + "/".join(parts)).matches(tuple(path)) is defined(parts, path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a/*",
        "/a*",
        "/*a",
        "/***",
        "/a/b*/c",
        "/a//b",
        "/a/../b",
        "/a?b",
        "/a;b",
        "/a#b",
        "/a\\b",
        "/a b",
        "/a\nb",
        "/%zz",
        "/%252e",
        "https://example.com/a",
        "/\ud800",
        "^/a$",
    ],
)
def test_S13_what_is_no_pattern(text: str) -> None:
    with pytest.raises(PathError) as error:
        PathPattern.parse(text)
    assert str(error.value).isascii()


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"/a/b?key=sk-1", "/a/b"),
        (b"/%61/%2f", "/%61/%2f"),
        (b"/%61/b%2fc", "/a/b%2Fc"),
        (b"/a//b", "/a//b"),
        (b"/a\r\nb\x00\xff", "/a%0D%0Ab%00%FF"),
        (b"/a b", "/a%20b"),
        (b"*", "*"),
        (b"", ""),
    ],
)
def test_S42_a_path_is_shown_printable_and_without_query(raw: bytes, shown: str) -> None:
    assert display(raw) == shown


@given(st.binary(max_size=600))
def test_S42_what_is_shown_is_bounded_and_printable(raw: bytes) -> None:
    shown = display(raw)
    assert len(shown) <= MAX_DISPLAY
    assert shown.isascii()
    assert " " not in shown
    assert shown.isprintable()


def test_S42_a_long_path_is_cut() -> None:
    assert display(b"/" + b"a" * 600) == "/" + "a" * (MAX_DISPLAY - 4) + "..."
    assert len(display(b"/" + b"a" * (MAX_DISPLAY - 1))) == MAX_DISPLAY
