import pytest

from keyswap.exchange import BASE62
from keyswap.policy.hosts import HostPattern

from .written import credential, good, told


def key(text="", egress="{host: api.example.com}"):
    return good(credential(text, egress)).credentials["key"]


# Credentials


def test_a_credential_is_compiled_as_written():
    written = """\
hosts: [api.example.com, 'api.example.com:8443']
headers: [X-Api-Key, Authorization]
env: [KEY, OTHER]
optional: true
foreign: allow"""
    found = key(written, "{host: '*.example.com', ports: [443, 8443]}")
    host = HostPattern.parse("api.example.com")
    assert found.hosts == ((host, 443), (host, 8443))
    assert (found.headers, found.env) == (("x-api-key", "authorization"), ("KEY", "OTHER"))
    assert (found.optional, found.foreign, found.plaintext, found.preset, found.dialect) == (
        True,
        "allow",
        False,
        "",
        "",
    )
    assert (found.shape.prefix, found.shape.length, found.shape.alphabet) == ("pk_", 40, BASE62)
    assert (found.rule.line, found.source) == (3, "env:KEY")


@pytest.mark.parametrize("missing", ["hosts", "headers", "placeholder"])
def test_S17_a_credential_without_preset_says_everything_itself(missing):
    body = credential("").replace(f"    {missing}:", "    env: [A] #")
    assert f"{missing}" in told(body)


def test_S17_a_credential_without_hosts_does_not_load():
    body = credential("").replace("    hosts: [api.example.com]\n", "")
    assert told(body).startswith("3:3: this credential has no hosts; write hosts: [api.example.com]")


def test_S17_an_empty_list_of_hosts_does_not_load():
    assert "an empty list has two readings" in told(credential("hosts: []"))


@pytest.mark.parametrize(
    ("hosts", "egress", "line"),
    [
        ("[a.example.com]", "{host: b.example.com}", "add {host: a.example.com} to egress"),
        ("['a.example.com:8443']", "{host: a.example.com}", "add {host: a.example.com, ports: [8443]} to egress"),
        ("[a.example.com]", "{host: a.example.com, ports: [8443]}", "add {host: a.example.com} to egress"),
        (
            "[a.example.com]",
            "{host: a.example.com, schemes: [http], ports: [443]}",
            "add {host: a.example.com} to egress",
        ),
        ("['a.example.com:80']", "{host: a.example.com, schemes: [http]}", "add {host: a.example.com, ports: [80]}"),
        ("['*.example.com']", "{host: example.com}", 'add {host: "*.example.com"} to egress'),
        ("[example.com]", "{host: '*.example.com'}", "add {host: example.com} to egress"),
        ("['[2001:db8::1]:443']", "{host: a.example.com}", 'add {host: "2001:db8::1"} to egress'),
        ("[a.example.com, b.example.com]", "{host: b.example.com}", "reaches a.example.com; add"),
        ("[box]", "{host: a.example.com}", "reaches this host; add an entry for it to egress"),
    ],
)
def test_S17_a_host_that_egress_does_not_reach_prints_the_line_to_add(hosts, egress, line):
    assert line in told(credential(f"hosts: {hosts}", egress))


@pytest.mark.parametrize(
    ("host", "egress"),
    [
        ("'*.example.com'", "'*.example.com'"),
        ("'*.example.com'", "a.example.com"),
        ("'*.example.com'", "'*.eu.example.com'"),
        ("'*.eu.example.com'", "'*.example.com'"),
        ("a.eu.example.com", "'*.example.com'"),
        ("A.Example.com.", "a.example.com"),
        ("10.0.0.5", "10.0.0.5"),
        ("'[2001:db8::1]'", "'2001:db8::1'"),
        ("'2001:db8::1'", "'2001:db8::1'"),
    ],
)
def test_S17_a_host_is_reached_where_a_pattern_overlaps(host, egress):
    assert key(f"hosts: [{host}]", f"{{host: {egress}}}")


NOT_BOUND = [
    "a.example.com:0",
    "'a.example.com:'",
    "a.example.com:65536",
    "a.example.com:0443",
    "a.example.com:x",
    "a.example.com:+1",
    "a.example.com:99999999",
    "'[::1'",
    "'*'",
]


@pytest.mark.parametrize("host", NOT_BOUND)
def test_what_is_no_host_and_port_does_not_load(host):
    assert "not a host" in told(credential(f"hosts: [{host}]"))


def test_a_preset_needs_one_of_its_hosts_in_egress():
    body = "credentials:\n  key: {preset: github, source: env:KEY}\negress:\n  - {host: api.openai.com}\n"
    assert told(body).count("no inspected entry of egress reaches") == 3


def test_hosts_written_beside_a_preset_must_all_be_reached():
    key = "{preset: github, hosts: [api.github.com, github.com], source: env:KEY}"
    body = f"credentials:\n  key: {key}\negress:\n  - {{host: github.com}}\n"
    assert told(body).count("\n") == 0


@pytest.mark.parametrize("host", ["api.example.com", "'*.example.com'"])
def test_S8_a_credential_for_a_host_that_is_passed_through_does_not_load(host):
    body = credential("") + f"  - {{host: {host}, tls: passthrough}}\n"
    assert "api.example.com has this credential and is passed through unseen by policy.yaml:10" in told(body)


def test_S8_a_preset_for_a_host_that_is_passed_through_does_not_load():
    egress = "  - {host: api.github.com}\n  - {host: github.com, tls: passthrough}\n"
    body = f"credentials:\n  key: {{preset: github, source: env:KEY}}\negress:\n{egress}"
    assert "github.com has this credential and is passed through" in told(body)


def test_S8_the_quoted_host_is_never_one_that_may_be_a_key():
    body = credential("hosts: [a9b8c7d6e5f4a9b8c7d6e5f4]", "{host: a9b8c7d6e5f4a9b8c7d6e5f4, tls: passthrough}")
    assert "a9b8" not in told(body)


def test_S2_plaintext_reaches_http_and_is_warned_about():
    policy = good(credential("hosts: ['a.example.com:80']\nplaintext: true", "{host: a.example.com, schemes: [http]}"))
    assert policy.credentials["key"].plaintext
    assert "may travel unencrypted" in policy.warnings[0]
    line = told(credential("hosts: ['a.example.com:80']\nplaintext: true"))
    assert "add {host: a.example.com, schemes: [http]} to egress" in line


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("Cookie", "this header never carries a credential"),
        ("referer", "this header never carries a credential"),
        ("Origin", "this header never carries a credential"),
        ("Host", "this header never carries a credential"),
        ("Proxy-Authorization", "this header never carries a credential"),
        ("X-Keyswap-Key", "this header never carries a credential"),
        ("Content-Length", "this header never carries a credential"),
        ("'X Key'", "not the name of a header"),
        ("'X-Key:'", "not the name of a header"),
        ("':authority'", "not the name of a header"),
        ("'X-Kéy'", "not the name of a header"),
        ("X-Key, x-key", "this header stands here twice"),
    ],
)
def test_S19_headers_that_cannot_carry_a_key_do_not_load(header, line):
    assert line in told(credential(f"headers: [{header}]"))


@pytest.mark.parametrize("name", ["A-B", "1A", "'A=B'", "''", "'A B'"])
def test_what_is_no_variable_does_not_load(name):
    assert "not the name of a variable" in told(credential(f"env: [{name}]"))


@pytest.mark.parametrize("name", ["'a b'", "'-a'", "'a/b'", "'.a'", "ä", "''", "a" * 65])
def test_names_are_short_and_plain(name):
    assert "not a name" in told(credential("").replace("  key:\n", f"  {name}:\n"))
    assert "not a name" in told(f"profiles:\n  {name}: {{}}\n  default: {{}}\n")
    assert "not a name" in told(f"sessions:\n  {name}: {{source: [10.0.0.1]}}\n")


# Placeholders


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("length: 22", None),
        ("length: 21", 22),
        ("prefix: ghp_, length: 26", None),
        ("prefix: ghp_, length: 25", 26),
        ("prefix: a, suffix: b, length: 23", 24),
        ("length: 32, alphabet: hex", None),
        ("length: 31, alphabet: hex", 32),
        ("length: 25, alphabet: base36", None),
        ("length: 24, alphabet: base36", 25),
    ],
)
def test_S18_a_shape_needs_room_for_128_bits(text, least):
    body = credential(f"placeholder: {{{text}}}")
    if least is None:
        assert good(body)
    else:
        assert f"too short for 128 random bits; write at least length: {least}" in told(body)


@pytest.mark.parametrize("text", ["prefix: 'a b', length: 40", "suffix: 'ä', length: 40", "prefix: 'a:', length: 40",
                                  "value: 'a placeholder with spaces'", "prefix: 'a%', length: 40"])  # fmt: skip
def test_a_placeholder_is_made_of_what_headers_carry(text):
    assert "a character that not every header carries" in told(credential(f"placeholder: {{{text}}}"))


def test_a_shape_without_length_does_not_load():
    assert "`length` is missing" in told(credential("placeholder: {prefix: a}"))


def test_S18_a_fixed_placeholder_is_warned_about():
    policy = good(credential("placeholder: {value: demo-placeholder-1}"))
    shape = policy.credentials["key"].shape
    assert (shape.value, shape.length, shape.prefix) == ("demo-placeholder-1", 18, "")
    assert "a fixed placeholder is shared by all sessions" in policy.warnings[0]


def test_S18_a_fixed_placeholder_has_at_least_16_characters():
    assert "this text is too short; write at least 16 characters" in told(
        credential("placeholder: {value: fifteen-letters}")
    )
    assert good(credential("placeholder: {value: sixteen-letters-}"))


def test_a_fixed_placeholder_has_no_shape_beside_it():
    assert "write `value` alone" in told(credential("placeholder: {value: demo-placeholder-1, prefix: a}"))


# References


def test_a_relative_file_stands_beside_the_policy():
    assert key("source: file:keys/one").source == "file:/srv/keyswap/keys/one"
    assert key("source: file:../one").source == "file:/srv/one"
    assert key("source: file:/run/secrets/one").source == "file:/run/secrets/one"
    assert good("sessions: {box: {token: file:box}}\n").sessions["box"].token == "file:/srv/keyswap/box"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("exec:op read x", "sources of the kind `exec:` are not in this version"),
        ("vault:secret/x", "sources of the kind `vault:` are not in this version"),
        ("https://vault.example.com", "sources of the kind `https:` are not in this version"),
        ("'env:'", "not the name of a variable"),
        ("env:A-B", "not the name of a variable"),
        ("'file:'", "not the path of a file"),
        ("file:~/key", "not the path of a file"),
        ("OPENAI_API_KEY", "not a reference; a secret itself must not stand in a policy"),
        ("/run/secrets/key", "not a reference"),
        ("ENV:KEY", "not a reference"),
        ("''", "not a reference"),
    ],
)
def test_what_is_no_reference_does_not_load(text, line):
    assert line in told(credential(f"source: {text}"))
    assert line in told(f"sessions: {{box: {{token: {text}}}}}\n")
