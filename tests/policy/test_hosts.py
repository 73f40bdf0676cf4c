"""Hosts are read by one strict grammar, and patterns match what they name and nothing else."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keyswap.exchange import Authority, CanonicalHost
from keyswap.policy.hosts import HostError, HostIndex, HostPattern, canonical_authority, canonical_host, is_ip

LABELS = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,12}[a-z0-9_])?", fullmatch=True).filter(
    lambda label: not label.startswith("xn--")
)
NAMES = st.builds(
    lambda labels, last: CanonicalHost(".".join([*labels, last])),
    st.lists(LABELS, min_size=0, max_size=5),
    st.from_regex(r"[a-z]{2,8}", fullmatch=True),
)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("api.example.com", "api.example.com"),
        ("API.Example.COM", "api.example.com"),
        ("api.example.com.", "api.example.com"),
        ("localhost", "localhost"),
        ("under_score.example.com", "under_score.example.com"),
        ("_dmarc.example.com", "_dmarc.example.com"),
        ("r3---sn.example.com", "r3---sn.example.com"),
        ("4chan.example", "4chan.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.Example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("аpple.com", "xn--pple-43d.com"),
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1.", "192.0.2.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("[2001:0DB8:0:0:0:0:0:7]", "2001:db8::7"),
        ("a" * 63 + ".example.com", "a" * 63 + ".example.com"),
        (".".join(["a" * 49] * 5) + ".xyz.", ".".join(["a" * 49] * 5) + ".xyz"),
    ],
)
def test_S7_a_host_has_one_spelling(text: str, host: str) -> None:
    assert canonical_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        ".example.com",
        "api..example.com",
        "api.example.com..",
        "-api.example.com",
        "api-.example.com",
        "user@example.com",
        "example.com#",
        "example.com/",
        "example.com\\",
        "example.com?",
        "exam ple.com",
        " example.com",
        "example.com\n",
        "example.com\x00",
        "api%2eexample.com",
        "example.com:443",
        "*.example.com",
        "a" * 64 + ".example.com",
        "ü" * 64 + ".example",
        ".".join(["a" * 63] * 4),
        ".".join(["".join(chr(0x4E00 + 37 * i) for i in range(15))] * 8)[:254],
        "a" * 100_000,
        "xn--a.example",
        "xn--apple--x.example",
        "xn--api-abc.example",
        "xn--ls8h.example",
        "ａｐｉ.example.com",
        "api。example.com",
        "a\u00adpi.example.com",
        "\u212aernel.example.com",
        "a\u200db.example.com",
        "x\udc80.example.com",
        "\u0660\u0661.example",
    ],
)
def test_S7_what_the_grammar_does_not_know_is_no_host(text: str) -> None:
    with pytest.raises(HostError) as error:
        canonical_host(text)
    assert len(str(error.value)) < 120
    assert str(error.value).isascii()


@pytest.mark.parametrize(
    "text",
    [
        "0177.0.0.1",
        "2130706433",
        "127.1",
        "127.0.1",
        "0x7f.1",
        "0x7f000001",
        "0X7F.1",
        "0x",
        "127.0.0.01",
        "127.0.0.0x1",
        "256.0.0.1",
        "1.2.3.4.5",
        "example.1",
        "bücher.1",
        "١٢٧.0.0.1",
        "1２7.0.0.1",
        "127.0.0.１",
        "::ffff:192.0.2.1",
        "[::ffff:c000:201]",
        "[fe80::1%eth0]",
        "fe80::1%25eth0",
        "[::1",
        "::1]",
        "[[::1]]",
        "[192.0.2.1]",
        "[example.com]",
        "1:2:3",
        ":",
    ],
)
def test_S5_an_address_has_one_spelling(text: str) -> None:
    with pytest.raises(HostError):
        canonical_host(text)


@given(st.text(max_size=80))
@example("BÜCHER.example.")
@example("[::1]")
def test_S7_canonical_host_is_idempotent(text: str) -> None:
    try:
        host = canonical_host(text)
    except HostError:
        return
    assert canonical_host(host) == host
    assert host.isascii()
    assert host == host.lower()
    assert not set(host) - set(string.ascii_lowercase + string.digits + "-._:")


@given(NAMES)
def test_S7_a_name_in_canonical_form_is_itself(host: CanonicalHost) -> None:
    assert canonical_host(host) == host
    assert not is_ip(host)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6).filter(lambda ip: not ip.ipv4_mapped)))
def test_S5_an_address_is_known_as_one(address: object) -> None:
    assert is_ip(canonical_host(str(address)))


@pytest.mark.parametrize(
    ("text", "authority"),
    [
        ("api.example.com", Authority(CanonicalHost("api.example.com"), 443)),
        ("API.example.com.:8443", Authority(CanonicalHost("api.example.com"), 8443)),
        ("192.0.2.1:1", Authority(CanonicalHost("192.0.2.1"), 1)),
        ("[::1]", Authority(CanonicalHost("::1"), 443)),
        ("[::1]:65535", Authority(CanonicalHost("::1"), 65535)),
    ],
)
def test_S7_an_authority_is_a_host_and_a_port(text: str, authority: Authority) -> None:
    assert canonical_authority(text, 443) == authority


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":443",
        "example.com:",
        "example.com:0",
        "example.com:0443",
        "example.com:65536",
        "example.com:99999",
        "example.com:443:443",
        "example.com: 443",
        "example.com:+443",
        "example.com:4_4",
        "example.com:４４３",
        "example.com:443\n",
        "::1",
        "2001:db8::7",
        "[::1",
        "[::1]443",
        "[::1]:",
        "[::1]]:443",
        "user:pass@example.com:443",
    ],
)
def test_S7_what_is_no_authority(text: str) -> None:
    with pytest.raises(HostError):
        canonical_authority(text, 443)


@given(NAMES, st.integers(1, 65535))
def test_S7_an_authority_reads_back_as_itself(host: CanonicalHost, port: int) -> None:
    authority = Authority(host, port)
    assert canonical_authority(str(authority), 1) == authority


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "*.",
        "*.com",
        "*.com.",
        "**.example.com",
        "*.*.example.com",
        "a*.example.com",
        "api.*.com",
        "api.example.*",
        "*example.com",
        "*.1.2.3.4",
        "*.0x7f.1",
        "*.[::1]",
        "^api\\.example\\.com$",
        "(a|b).example.com",
        "[a-z].example.com",
        "api.example.com:443",
        "https://api.example.com",
        "",
    ],
)
def test_S7_what_is_no_pattern(text: str) -> None:
    with pytest.raises(HostError):
        HostPattern.parse(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("API.example.com.", "api.example.com"),
        ("*.Example.com", "*.example.com"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("[::1]", "::1"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_S7_a_pattern_is_canonical(text: str, canonical: str) -> None:
    pattern = HostPattern.parse(text)
    assert pattern.text == canonical
    assert HostPattern.parse(pattern.text) == pattern


@pytest.mark.parametrize(
    ("pattern", "host", "matches"),
    [
        ("example.com", "example.com", True),
        ("example.com", "api.example.com", False),
        ("example.com", "evil-example.com", False),
        ("example.com", "example.com.evil.test", False),
        ("*.example.com", "api.example.com", True),
        ("*.example.com", "a.b.c.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "evilexample.com", False),
        ("*.example.com", "evil-example.com", False),
        ("*.example.com", "api.example.com.evil.test", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.11", False),
    ],
)
def test_S7_a_pattern_matches_whole_labels(pattern: str, host: str, matches: bool) -> None:
    assert HostPattern.parse(pattern).matches(canonical_host(host)) is matches


@given(NAMES, st.sampled_from(["", "."]), st.data())
def test_S7_every_spelling_of_a_host_matches_as_its_canonical_one(
    host: CanonicalHost, dot: str, data: st.DataObject
) -> None:
    spelled = "".join(data.draw(st.sampled_from([char, char.upper()])) for char in host) + dot
    assert HostPattern.parse(spelled).matches(host)
    assert HostPattern.parse(host).matches(canonical_host(spelled))


@given(NAMES, NAMES)
def test_S7_a_wildcard_matches_exactly_what_lies_below(base: CanonicalHost, host: CanonicalHost) -> None:
    pattern = HostPattern(base, wildcard=True)
    below = host.split(".")[-len(base.split(".")) :] == base.split(".") and host.count(".") > base.count(".")
    assert pattern.matches(host) is below
    assert pattern.matches(CanonicalHost(f"x.{base}"))
    assert not pattern.matches(base)


@given(st.lists(st.tuples(NAMES, st.booleans()), max_size=12), NAMES)
def test_S7_an_index_finds_what_asking_each_pattern_finds(
    items: list[tuple[CanonicalHost, bool]], host: CanonicalHost
) -> None:
    patterns = [HostPattern(base, wildcard) for base, wildcard in items]
    index = HostIndex((pattern, number) for number, pattern in enumerate(patterns))
    for asked in (host, *(base for base, _ in items), *(CanonicalHost(f"a.b.{base}") for base, _ in items)):
        expected = tuple(number for number, pattern in enumerate(patterns) if pattern.matches(asked))
        assert index.matching(asked) == expected
        assert index.below(asked) == tuple(n for n, p in enumerate(patterns) if p.wildcard and p.host == asked)
