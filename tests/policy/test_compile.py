from ipaddress import ip_network

import pytest

from .written import entry, good, told

# Clashes


def two(first, second, tail=""):
    parts = "hosts: [api.example.com], source: env:KEY"
    one, other = (f"{{{parts}, {text}}}" for text in (first, second))
    return f"credentials:\n  one: {one}\n  other: {other}\negress:\n  - {{host: api.example.com}}\n{tail}"


PLAIN = "headers: [Authorization], placeholder: {prefix: pk_, length: 40}"
APART = "profiles:\n  default: {credentials: [one], egress: all}\n  second: {credentials: [other], egress: all}\n"


def test_two_credentials_that_look_alike_on_one_header_do_not_load():
    assert "4:3: one has the same header (authorization), host (api.example.com:443) and prefix" in told(
        two(PLAIN, PLAIN)
    )


@pytest.mark.parametrize(
    "second",
    [
        "headers: [X-Api-Key], placeholder: {prefix: pk_, length: 40}",
        "headers: [Authorization], placeholder: {prefix: sk_, length: 40}",
        "headers: [Authorization], placeholder: {value: a-fixed-placeholder}",
    ],
)
def test_two_credentials_that_can_be_told_apart_load(second):
    assert good(two(PLAIN, second))


def test_two_credentials_of_different_profiles_may_look_alike():
    assert good(two(PLAIN + ", env: [A]", PLAIN + ", env: [A]", APART))


def test_two_fixed_placeholders_that_are_equal_do_not_load_in_any_profile():
    fixed = "headers: [{}], placeholder: {{value: a-fixed-placeholder}}"
    text = told(two(fixed.format("X-A"), fixed.format("X-B"), APART))
    assert text == "4:3: the same fixed placeholder as one; give each its own"


def test_one_variable_for_two_placeholders_does_not_load():
    text = told(two(PLAIN + ", env: [A, B]", "headers: [X-B], placeholder: {prefix: b_, length: 40}, env: [B]"))
    assert text == "4:3: one is given to a sandbox in B too; write another env: [NAME] for one"


def test_ports_keep_credentials_apart():
    body = two(PLAIN, PLAIN).replace("  other: {hosts: [api.example.com]", "  other: {hosts: ['api.example.com:8443']")
    assert good(body.replace("- {host: api.example.com}", "- {host: api.example.com, ports: [443, 8443]}"))


# Profiles


ALL = """\
credentials:
  one: {hosts: [a.example.com], headers: [X-A], placeholder: {length: 40}, source: env:A}
  two: {hosts: [b.example.com], headers: [X-A], placeholder: {length: 40}, source: env:B}
egress:
  - {host: a.example.com}
  - {host: a.example.com, ports: [8443]}
  - {host: b.example.com}
  - {host: "*.example.org"}
"""


def test_without_profiles_there_is_one_with_everything():
    policy = good(ALL)
    (only_one,) = policy.profiles.values()
    assert (only_one.name, only_one.credentials, only_one.egress) == ("default", {"one", "two"}, policy.egress)


def test_a_profile_narrows_to_what_it_names():
    policy = good(ALL + "profiles:\n  reader: {credentials: [one], egress: [A.example.com, '*.example.org']}\n")
    reader = policy.profiles["reader"]
    assert reader.credentials == {"one"}
    assert [entry.rule.line for entry in reader.egress] == [6, 7, 9]
    assert "default" not in policy.profiles


def test_S40_a_key_left_out_of_a_profile_means_none():
    policy = good(ALL + "profiles:\n  none: {}\n  keys: {credentials: all}\n  hosts: {egress: all}\n")
    assert (policy.profiles["none"].credentials, policy.profiles["none"].egress) == (frozenset(), ())
    assert (policy.profiles["keys"].credentials, policy.profiles["keys"].egress) == ({"one", "two"}, ())
    assert (policy.profiles["hosts"].credentials, policy.profiles["hosts"].egress) == (frozenset(), policy.egress)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("credentials: [onn]", "no credential of this name; did you mean `one`?"),
        ("credentials: [zzz]", "no credential of this name; write one of: one, two"),
        ("egress: [a.example.co]", "no egress entry has exactly this host; did you mean `a.example.com`?"),
        ("egress: [c.example.org]", "no egress entry has exactly this host"),
        ("egress: ['*']", "no egress entry has exactly this host"),
    ],
)
def test_a_profile_that_names_what_is_not_there_does_not_load(text, line):
    assert line in told(ALL + f"profiles:\n  default: {{{text}}}\n")


def test_a_credential_that_its_profile_cannot_use_is_warned_about():
    policy = good(ALL + "profiles:\n  default: {credentials: [one], egress: [b.example.com]}\n")
    assert "no host of one is in the egress of this profile" in policy.warnings[0]


def test_profiles_without_any_do_not_load():
    assert "no profile is defined" in told("profiles: {}\n")


# Sessions


def test_standing_sessions_are_networks_or_tokens_or_both():
    body = """\
sessions:
  ci: {source: [172.20.0.0/24, 'fd00::/8', 10.0.0.7]}
  box: {token: env:BOX}
  both: {source: [172.20.0.0/24], token: env:BOTH}
"""
    policy = good(body)
    ci, box, both = policy.sessions.values()
    assert (ci.name, ci.profile, ci.token) == ("ci", "default", None)
    assert ci.source == tuple(map(ip_network, ("172.20.0.0/24", "fd00::/8", "10.0.0.7/32")))
    assert (box.source, box.token) == ((), "env:BOX")
    assert (both.source, both.token) == ((ip_network("172.20.0.0/24"),), "env:BOTH")


def test_a_token_file_is_watched():
    assert good("sessions: {box: {token: file:/run/secrets/box}}\n").files[1:] == ("/run/secrets/box",)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("sessions:\n  ci: {}\n", "3:3: nobody is this session; write source: [NETWORK], token: file:PATH, or both"),
        (
            "sessions:\n  ci: {source: [10.0.0.1], profile: reader}\n",
            "3:37: no profile of this name; write one of: default",
        ),
        ("profiles: {reader: {}}\nsessions:\n  ci: {source: [10.0.0.1]}\n", "4:3: this session names no profile"),
        ("profiles: {reader: {}}\nsessions:\n  ci: {source: [10.0.0.1], profile: readr}\n", "did you mean `reader`?"),
        ("sessions:\n  ci: {source: [nowhere]}\n", "3:17: not a network"),
        ("sessions:\n  ci: {source: []}\n", "an empty list has two readings"),
        (
            "sessions:\n  a: {source: [10.0.0.0/8]}\n  b: {source: [10.0.0.0/8]}\n",
            "4:15: 10.0.0.0/8 is session a already",
        ),
    ],
)
def test_a_session_that_means_nobody_in_particular_does_not_load(body, line):
    assert line in told(body)


def test_S39_networks_may_lie_inside_one_another_or_be_told_apart_by_tokens():
    assert good("sessions:\n  a: {source: [10.0.0.0/8]}\n  b: {source: [10.1.0.0/16]}\n")
    assert good("sessions:\n  a: {source: [10.0.0.0/8]}\n  b: {source: [10.0.0.0/8], token: env:B}\n")
    assert good("sessions:\n  a: {source: [10.0.0.0/8, 10.0.0.0/8]}\n")


def test_S39_a_session_that_is_everybody_is_warned_about():
    assert "whoever reaches the proxy is this session" in good("sessions: {a: {source: [0.0.0.0/0]}}\n").warnings[0]
    assert good("sessions: {a: {source: ['::/0'], token: env:A}}\n").warnings == ()


# The rest


def test_limits_and_audit_have_defaults_and_may_be_written():
    policy = good(
        "limits: {head: 32KiB, idle: 10m, body: 1MiB}\naudit: {durability: machine, rotate: 1MiB, path: a.jsonl}\n"
    )
    assert (policy.limits.head, policy.limits.idle, policy.limits.body) == (32768, 600, 1048576)
    assert (policy.limits.headers, policy.limits.first_byte, policy.limits.drain) == (200, 1200, 30)
    assert (policy.audit.durability, policy.audit.rotate, policy.audit.path) == ("machine", 1048576, "a.jsonl")
    assert good("").limits.body is None


def test_observe_is_warned_about():
    policy = good("mode: observe\n")
    assert policy.mode == "observe"
    assert "observe refuses nothing for not being listed" in policy.warnings[0]


def test_warnings_stand_in_the_order_of_the_file_with_their_place():
    body = (
        "sessions: {a: {source: [0.0.0.0/0]}}\n"
        + entry("host: a.example.com, private: [8.8.8.0/24]")
        + "mode: observe\n"
    )
    assert [warning.split(":")[1] for warning in good(body).warnings] == ["2", "4", "5"]


def test_the_policy_does_not_change_under_its_readers():
    policy = good(ALL)
    for table in (policy.credentials, policy.profiles, policy.sessions):
        with pytest.raises(TypeError):
            table["x"] = None
