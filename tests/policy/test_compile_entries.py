import os
import ssl
import subprocess
from ipaddress import ip_address, ip_network

import pytest

from keyswap.policy.addresses import METADATA

from .written import credential, entry, good, told


def only(text):
    """The one entry that a line of egress means."""
    (found,) = good(entry(text)).egress
    return found


# Entries


def test_an_entry_is_https_on_443_and_any_method_and_path():
    found = only("host: api.example.com")
    assert (found.ports, found.schemes, found.methods, found.paths) == ({443}, {"https"}, None, None)
    assert (found.passthrough, found.private, found.pin, found.ca_file) == (False, (), None, None)


def test_http_is_port_80():
    found = only("host: a.example.com, schemes: [http]")
    assert (found.ports, found.schemes) == ({80}, {"http"})


def test_S6_both_schemes_open_each_its_own_port_only():
    https, http = good(entry("host: a.example.com, schemes: [http, https]")).egress
    assert (https.ports, https.schemes, http.ports, http.schemes) == ({443}, {"https"}, {80}, {"http"})
    assert https.rule == http.rule


def test_ports_that_are_written_hold_for_all_schemes():
    found = only("host: a.example.com, schemes: [http, https], ports: [8080, 8443]")
    assert (found.ports, found.schemes) == ({8080, 8443}, {"http", "https"})


def test_S14_methods_are_upper_case():
    assert only("host: a.example.com, methods: [get, Post, HEAD]").methods == {"GET", "POST", "HEAD"}


@pytest.mark.parametrize(
    ("method", "line"),
    [
        ("TRACE", "TRACE is refused always"),
        ("track", "TRACK is refused always"),
        ("CONNECT", "CONNECT is refused always"),
        ("'GET POST'", "not a method"),
        ("'*'", "not a method"),
        ("'GET,POST'", "not a method"),
        ("''", "not a method"),
    ],
)
def test_S14_methods_that_are_none_do_not_load(method, line):
    assert line in told(entry(f"host: a.example.com, methods: [{method}]"))


def test_paths_are_parsed_and_encoded_slash_is_kept():
    found = only("host: a.example.com, paths: [/a/**, /b], encoded_slash: segment")
    assert [path.text for path in found.paths] == ["/a/**", "/b"]
    assert found.encoded_slash


@pytest.mark.parametrize("path", ["a", "/a//b", "/a/../b", "/a?b", "/a;b", "/a/b*", "/a%zz"])
def test_S13_paths_that_could_be_read_in_two_ways_do_not_load(path):
    assert "3:35: not a path: " in told(entry(f"host: a.example.com, paths: ['{path}']"))


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ("'*'", "list the hosts; there is no entry that means all of them"),
        ("'*.com'", "write one host, or *.example.com"),
        ("'a*.example.com'", "not a host: a * stands for whole labels"),
        ("'*.*.example.com'", "not a host: a * stands"),
        ("'^api.*$'", "not a host"),
        ("https://api.example.com", "write the host alone, without scheme and path"),
        ("api.example.com:8443", "write the host alone, and its port as ports: [8443]"),
        ("api.example.com/v1", "not a host"),
        ("me@api.example.com", "not a host"),
        ("127.1", "it is not plain text for YAML"),
        ("'127.1'", "not a host"),
        ("''", "not a host"),
        ("keyswap.internal", "names under keyswap.internal are keyswap's own"),
        ("llm.keyswap.internal", "names under keyswap.internal are keyswap's own"),
        ("'*.keyswap.internal'", "names under keyswap.internal are keyswap's own"),
    ],
)
def test_S7_hosts_that_are_none_do_not_load(host, line):
    assert line in told(entry(f"host: {host}"))


def test_S7_a_homograph_loads_as_what_it_is_and_is_told():
    policy = good(entry("host: \u0430pi.example.com"))
    assert policy.egress[0].host.text.startswith("xn--")
    assert f"letters outside ASCII and means {policy.egress[0].host.text}" in policy.warnings[0]


def test_an_ip_literal_is_a_host():
    assert only("host: 10.0.0.5, private: [10.0.0.0/8]").host.text == "10.0.0.5"
    assert only('host: "2001:db8::1"').host.text == "2001:db8::1"


def test_a_rule_is_the_entry_as_one_line():
    found = only('host: "*.example.com", ports: [443, 8443], paths: [/a/**]').rule
    assert (found.where, found.text) == (
        "policy.yaml:3",
        '{host: "*.example.com", ports: [443, 8443], paths: ["/a/**"]}',
    )


def test_the_line_of_the_list_is_kept_for_refusals_that_no_entry_comes_near():
    assert good("# a comment\n" + entry("host: a.example.com")).egress_line == 3
    assert good("").egress_line == 0


def test_the_line_of_an_entry_in_block_style_is_its_first():
    policy = good("egress:\n  # a comment\n  - host: a.example.com\n    tls: passthrough\n")
    assert (policy.egress[0].rule.line, policy.egress[0].rule.text) == (4, "{host: a.example.com, tls: passthrough}")


def test_S42_a_rule_is_bounded_ascii_and_hides_references_and_placeholders():
    paths = ", ".join(f"/path/{number}" for number in range(100))
    text = only(f"host: a.example.com, paths: [{paths}]").rule.text
    assert (len(text), text[-3:]) == (200, "...")
    assert only("host: a.example.com, paths: ['/caf\u00e9']").rule.text.isascii()
    hidden = credential("source: env:NAME\nplaceholder: {value: a-fixed-placeholder-1}")
    rule = good(hidden).credentials["key"].rule
    assert rule.text.startswith("key: {hosts: [api.example.com]")
    assert "NAME" not in rule.text
    assert "fixed" not in rule.text


def test_passthrough_loads_for_https():
    found = only("host: a.example.com, tls: passthrough, ports: [443, 8443], private: [10.0.0.0/8]")
    assert found.passthrough


@pytest.mark.parametrize(
    "text", ["methods: [GET]", "paths: [/a]", "encoded_slash: segment", "ca_file: x.pem", "schemes: [http]"]
)
def test_S8_what_cannot_be_checked_in_passthrough_does_not_load(text):
    assert "pass" in told(entry(f"host: a.example.com, tls: passthrough, {text}"))


# Deny


def test_a_deny_entry_means_any_port_and_scheme_unless_written():
    policy = good(
        "deny:\n  - {host: a.example.com}\n  - {host: b.example.com, ports: [80], schemes: [http], paths: [/x]}\n"
    )
    assert (policy.deny[0].ports, policy.deny[0].schemes) == (set(), set())
    assert (policy.deny[1].ports, policy.deny[1].schemes) == ({80}, {"http"})
    assert policy.deny[1].paths[0].text == "/x"


def test_a_deny_entry_that_is_no_host_does_not_load():
    assert "3:12: not a host" in told("deny:\n  - {host: '*'}\n")


# Addresses


def test_private_ranges_are_networks():
    found = only("host: a.example.com, private: [10.20.0.0/16, 'fd12:3456::/32', 192.168.1.7]")
    assert found.private == tuple(ip_network(text) for text in ("10.20.0.0/16", "fd12:3456::/32", "192.168.1.7/32"))


@pytest.mark.parametrize("address", sorted(map(str, METADATA)))
def test_S4_metadata_addresses_never_open(address):
    assert "never opens" in told(entry(f"host: a.example.com, private: ['{address}']"))
    assert "never opens" in told(entry(f"host: a.example.com, pin: '{address}'"))


@pytest.mark.parametrize("text", ["169.254.0.0/16", "100.64.0.0/10", "fd00::/8"])
def test_S4_a_range_around_metadata_addresses_is_warned_about(text):
    policy = good(entry(f"host: a.example.com, private: ['{text}']"))
    assert "metadata addresses in this range stay closed" in policy.warnings[0]
    assert policy.egress[0].private == (ip_network(text),)


def test_a_range_that_is_open_anyway_is_warned_about():
    assert (
        "this range is not denied anyway; remove it"
        in good(entry("host: a.example.com, private: [8.8.8.0/24]")).warnings[0]
    )


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "10.0.0.0/7", "128.0.0.0/1"])
def test_S4_a_range_wider_than_what_is_denied_does_not_load(text):
    assert "wider than any that is denied" in told(entry(f"host: a.example.com, private: ['{text}']"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("10.20.0.1/16", "not a network; write 10.20.0.0/16, without bits behind the mask"),
        ("10.20", "not a network; write it like 10.20.0.0/16"),
        ("private", "not a network"),
        ("010.0.0.0/8", "not a network"),
        ("fe80::1%eth0", "second spelling"),
        ("::ffff:10.0.0.0/104", "second spelling"),
    ],
)
def test_what_is_no_network_does_not_load(text, line):
    assert line in told(entry(f"host: a.example.com, private: ['{text}']"))


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("127.0.0.1", "127.0.0.1", None),
        ("127.0.0.1:8444", "127.0.0.1", 8444),
        ("::1", "::1", None),
        ("[::1]", "::1", None),
        ("[::1]:8444", "::1", 8444),
    ],
)
def test_a_pin_is_an_address_and_perhaps_a_port(text, address, port):
    found = only(f"host: a.example.com, pin: '{text}'")
    assert (found.pin, found.pin_port) == (ip_address(address), port)


@pytest.mark.parametrize(
    "text",
    ["localhost", "127.1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:", "::1:8444:x", "[127.0.0.1]:x", "0.0.0.0",
     "::", "224.0.0.1", "ff02::1", "fe80::1%lo", "::ffff:127.0.0.1", "0177.0.0.1"],
)  # fmt: skip
def test_S4_a_pin_that_is_not_one_machine_does_not_load(text):
    assert "3:32: " in told(entry(f"host: a.example.com, pin: '{text}'"))


# CA files


@pytest.fixture
def ca(tmp_path):
    """A CA certificate, and its key, beside where the policy stands."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=test", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "ca.pem"],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return tmp_path


def ca_entry(name):
    return entry(f"host: a.example.com, ca_file: {name}")


def test_S11_a_ca_file_is_found_beside_the_policy_and_watched(ca):
    policy = good(ca_entry("ca.pem"), ca / "policy.yaml")
    assert policy.egress[0].ca_file == str(ca / "ca.pem")
    assert policy.files == (str(ca / "policy.yaml"), str(ca / "ca.pem"))
    assert good(ca_entry("../ca.pem"), ca / "sub" / "policy.yaml").egress[0].ca_file == str(ca / "ca.pem")
    assert good(ca_entry(ca / "ca.pem"), "/elsewhere/policy.yaml").egress[0].ca_file == str(ca / "ca.pem")


def test_S11_a_missing_ca_file_names_the_command_that_makes_it(tmp_path):
    line = (
        "3:36: the CA file does not exist; put the CA's certificate there; keyswap's own is made by `keyswap ca init`"
    )
    assert told(ca_entry("ca.pem"), tmp_path / "policy.yaml") == line


def test_S11_a_ca_file_without_certificate_does_not_load(ca):
    (ca / "empty.pem").write_text("")
    (ca / "latin.pem").write_bytes(b"\xe9" + (ca / "ca.pem").read_bytes())
    (ca / "torn.pem").write_text((ca / "ca.pem").read_text()[:200] + "\n-----END CERTIFICATE-----\n")
    for name in ("empty.pem", "latin.pem", "torn.pem"):
        assert "the CA file holds no PEM certificate" in told(ca_entry(name), ca / "policy.yaml")


def test_S41_a_ca_file_with_the_private_key_in_it_does_not_load(ca):
    (ca / "both.pem").write_text((ca / "key.pem").read_text() + (ca / "ca.pem").read_text())
    assert "the CA file holds a private key" in told(ca_entry("both.pem"), ca / "policy.yaml")


def test_S43_a_ca_file_writable_by_others_does_not_load(ca):
    os.chmod(ca / "ca.pem", 0o666)
    assert "the CA file is not safe from others" in told(ca_entry("ca.pem"), ca / "policy.yaml")


def test_a_bundle_of_many_certificates_is_a_ca_file(ca):
    roots = ssl.create_default_context(cafile=str(ca / "ca.pem")).get_ca_certs(binary_form=True)
    assert len(roots) == 1
    (ca / "many.pem").write_text((ca / "ca.pem").read_text() * 3)
    assert good(ca_entry("many.pem"), ca / "policy.yaml")
