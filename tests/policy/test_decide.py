"""The precedence table, row by row; `decisions.yaml` holds the plain cases."""

import time
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyswap.exchange import (
    Ask,
    Authority,
    CanonicalHost,
    Code,
    CredentialName,
    Finding,
    Refusal,
    Scheme,
    Session,
    SessionId,
    Stage,
)
from keyswap.policy import decide as table
from keyswap.policy.decide import ROWS, decide, entry_for
from keyswap.policy.load import parse
from keyswap.policy.model import Policy

SESSION = Session(SessionId("s-1"), "default", seed=b"")
HOST = CanonicalHost("api.example.com")
A = Authority(HOST, 443)
POLICY = """
version: 1
credentials:
  first: {hosts: [api.example.com], headers: [X-Api-Key, Authorization], placeholder: {prefix: f-, length: 48},
          env: [FIRST], source: env:FIRST}
egress:
  - {host: api.example.com, methods: [GET, POST], paths: [/v1/**]}
  - {host: relay.example.com, tls: passthrough}
  - {host: pinned.example.com, pin: 127.0.0.1}
deny:
  - {host: denied.example.com}
  - {host: half.example.com, paths: [/a/**]}
"""


def policy(text: str = POLICY, **changes: str) -> Policy:
    return replace(parse(text, "/etc/keyswap/policy.yaml", environ={}), **changes)


def ask(host: str = HOST, path: str = "/v1/x", *, stage: Stage = Stage.REQUEST, port: int = 443, **more: object) -> Ask:
    known: dict[str, object] = {"session": SESSION, "path": path.encode(), "scheme": "https", **more}
    return Ask(stage=stage, authority=Authority(CanonicalHost(host), port), **known)  # type: ignore[arg-type]


def code(policy: Policy, ask: Ask) -> Code | None:
    refusal = decide(policy, ask).refusal
    return refusal.code if refusal else None


def own(place: str = "header:x-api-key", name: str = "first") -> tuple[Finding, ...]:
    return (Finding("own", place, CredentialName(name)),)


@pytest.mark.parametrize("stage", list(Stage))
def test_S31_the_empty_policy_refuses(stage: Stage) -> None:
    decision = decide(policy("version: 1"), ask(stage=stage))
    assert decision.result == "refuse"
    assert decision.refusal is not None
    assert decision.refusal.code is Code.HOST_NOT_LISTED
    assert decision.refusal.reason == "api.example.com is not in egress"
    assert decision.refusal.todo == "add {host: api.example.com} to egress in policy.yaml"
    assert decision.rule is not None
    assert decision.rule.where == "policy.yaml"


def test_S12_row_1_what_the_reader_found_is_the_answer() -> None:
    problem = Refusal(Code.HEAD_TOO_LARGE, "the head is over limits.head", "send less")
    decision = decide(policy(), ask(problem=problem, session=None))
    assert decision.refusal is problem


def test_S7_row_1_no_authority_is_refused_whatever_the_caller_forgot() -> None:
    assert code(policy(), replace(ask(), authority=None)) is Code.AMBIGUOUS


@pytest.mark.parametrize("stage", list(Stage))
def test_S39_row_2_no_session(stage: Stage) -> None:
    assert code(policy(), ask(stage=stage, session=None)) is Code.SESSION_REQUIRED


def test_S39_row_2_a_session_whose_profile_is_gone() -> None:
    refusal = decide(policy(), ask(session=replace(SESSION, profile="gone"))).refusal
    assert refusal is not None
    assert refusal.code is Code.SESSION_REQUIRED
    assert "profile gone" in refusal.reason


def test_S10_row_3_our_own_listener_whatever_is_listed() -> None:
    assert code(policy(), ask(own=True)) is Code.OWN_ADDRESS
    assert code(policy(mode="observe"), ask(own=True)) is Code.OWN_ADDRESS


def test_S3_row_4_at_connect_a_deny_entry_with_paths_waits_for_the_request() -> None:
    some = policy(POLICY.replace("host: pinned.example.com, pin: 127.0.0.1", "host: half.example.com"))
    assert decide(some, ask("half.example.com", stage=Stage.CONNECT)).result == "allow"
    assert code(some, ask("half.example.com", "/a/b")) is Code.DENIED
    assert code(some, ask("half.example.com", "/b/../a")) is Code.AMBIGUOUS
    assert decide(some, ask("half.example.com", "/b")).result == "allow"


def test_S13_row_4_a_plain_deny_is_told_before_an_ambiguous_one() -> None:
    twice = policy(POLICY + "  - {host: half.example.com}\n")
    assert code(twice, ask("half.example.com", "/b/../a")) is Code.DENIED
    two = policy(POLICY + "  - {host: half.example.com, paths: [/c]}\n")
    assert decide(two, ask("half.example.com", "/b/../a")).rule == two.deny[1].rule


def test_S6_row_5_the_nearest_miss_is_cited_with_the_line_to_add() -> None:
    refusal = decide(policy(), ask(port=8443, stage=Stage.CONNECT)).refusal
    assert refusal is not None
    assert refusal.rule == policy().egress[0].rule
    assert refusal.reason == "api.example.com is in egress, but not for https on port 8443"
    assert refusal.todo == "add {host: api.example.com, ports: [8443]} to egress in policy.yaml"


@pytest.mark.parametrize(
    ("host", "scheme", "port", "line"),
    [
        ("x.example.org", "https", 443, "{host: x.example.org}"),
        ("x.example.org", "http", 80, "{host: x.example.org, schemes: [http]}"),
        ("x.example.org", "http", 8080, "{host: x.example.org, schemes: [http], ports: [8080]}"),
        ("2001:db8::1", "https", 443, '{host: "2001:db8::1"}'),
    ],
)
def test_S3_the_line_to_add_loads_and_lets_it_pass(host: str, scheme: Scheme, port: int, line: str) -> None:
    asked = ask(host, scheme=scheme, port=port)
    refusal = decide(policy("version: 1"), asked).refusal
    assert refusal is not None
    assert refusal.todo == f"add {line} to egress in policy.yaml"
    assert decide(policy(f"version: 1\negress:\n  - {line}\n"), asked).result == "allow"


def test_S7_row_5_a_wildcard_says_that_it_leaves_its_apex_out() -> None:
    wild = policy('version: 1\negress:\n  - {host: "*.example.com"}\n')
    decision = decide(wild, ask("example.com"))
    assert decision.reason == "example.com is not in egress; *.example.com does not include it"
    assert decision.rule == wild.egress[0].rule


def test_S8_row_6_a_passthrough_host_is_relayed_and_its_requests_are_not_read() -> None:
    assert decide(policy(), ask("relay.example.com", stage=Stage.CONNECT)).result == "passthrough"
    for mode in ("enforce", "observe"):
        decision = decide(policy(mode=mode), ask("relay.example.com"))
        assert decision.refusal is not None
        assert decision.refusal.code is Code.HOST_NOT_LISTED
        assert "passthrough" in decision.reason


@pytest.mark.parametrize(
    ("lines", "result"),
    [
        (['{host: "*.example.com", tls: passthrough}', "{host: api.example.com}"], "allow"),
        (["{host: api.example.com, tls: passthrough}", '{host: "*.example.com"}'], "passthrough"),
        (['{host: "*.com.example", tls: passthrough}', "{host: api.example.com}"], "allow"),
    ],
)
def test_S8_row_6_the_more_specific_host_decides_whether_it_is_inspected(lines: list[str], result: str) -> None:
    for order in (lines, lines[::-1]):
        mixed = policy("version: 1\negress:\n" + "".join(f"  - {line}\n" for line in order))
        assert decide(mixed, ask(stage=Stage.CONNECT)).result == result
        assert (decide(mixed, ask()).result == "allow") is (result == "allow")


def test_S8_row_6_of_two_equal_hosts_the_inspected_one_decides() -> None:
    both = policy("version: 1\negress:\n  - {host: api.example.com}\n")
    twin = replace(both.egress[0], passthrough=True)
    for egress in ((both.egress[0], twin), (twin, both.egress[0])):
        profile = replace(both.profiles["default"], egress=egress)
        mixed = replace(both, egress=egress, profiles={"default": profile})
        assert decide(mixed, ask(stage=Stage.CONNECT)).result == "allow"


@pytest.mark.parametrize("claim", ["SNI", "Host", ":authority", "target"])
def test_S1_row_7_every_name_is_the_same(claim: str) -> None:
    assert decide(policy(), ask(claims=((claim, A),))).result == "allow"
    others = (None, Authority(HOST, 8443), Authority(CanonicalHost("evil.example.com"), 443))
    for other in others:
        refusal = decide(policy(), ask(claims=((claim, A), (claim, other)))).refusal
        assert refusal is not None
        assert refusal.code is Code.AUTHORITY_MISMATCH
        assert claim in refusal.reason
        assert code(policy(mode="observe"), ask(claims=((claim, other),))) is Code.AUTHORITY_MISMATCH


def test_S13_row_8_one_entry_must_match_all_of_it() -> None:
    halves = policy(
        "version: 1\negress:\n  - {host: api.example.com, methods: [GET]}\n"
        "  - {host: api.example.com, methods: [POST], paths: [/up/**]}\n"
    )
    assert decide(halves, ask(path="/x")).rule == halves.egress[0].rule
    assert decide(halves, ask(path="/up/x", method="POST")).rule == halves.egress[1].rule
    decision = decide(halves, ask(path="/x", method="POST"))
    assert decision.refusal is not None
    assert decision.refusal.code is Code.PATH_NOT_LISTED
    assert decision.rule == halves.egress[1].rule
    assert code(halves, ask(path="/x", method="PUT")) is Code.METHOD_NOT_LISTED


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT", "Trace"])
@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_S14_row_8_methods_that_never_pass(method: str, mode: str) -> None:
    listed = policy("version: 1\negress:\n  - {host: api.example.com}\n", mode=mode)
    assert code(listed, ask(method=method)) is Code.METHOD_NOT_LISTED


def test_S8_row_8_an_upgrade_is_refused() -> None:
    assert code(policy(), ask(upgrade=True)) is Code.UPGRADE_REFUSED
    assert code(policy(mode="observe"), ask(upgrade=True)) is Code.UPGRADE_REFUSED
    assert code(policy(), ask(path="/v2", upgrade=True)) is Code.PATH_NOT_LISTED


@pytest.mark.parametrize("place", ["header:x-api-key", "header:authorization", "basic:user", "basic:password"])
def test_S19_row_11_a_placeholder_in_a_declared_place(place: str) -> None:
    assert decide(policy(), ask(findings=own(place))).result == "allow"


@pytest.mark.parametrize(
    "place", ["header:cookie", "header:referer", "header:origin", "query", "path", "header:x-other"]
)
def test_S19_row_11_a_placeholder_anywhere_else(place: str) -> None:
    assert code(policy(), ask(findings=own(place))) is Code.PLACEHOLDER_MISUSE


def test_S19_basic_is_a_place_of_authorization_only() -> None:
    text = POLICY.replace("[X-Api-Key, Authorization]", "[X-Api-Key]")
    assert code(policy(text), ask(findings=own("basic:password"))) is Code.PLACEHOLDER_MISUSE


def test_S17_row_11_a_placeholder_of_a_credential_that_is_gone() -> None:
    assert code(policy(), ask(findings=own(name="gone"))) is Code.PLACEHOLDER_MISUSE
    assert code(policy(), ask(findings=(Finding("own", "header:x-api-key"),))) is Code.PLACEHOLDER_MISUSE


def test_S40_row_11_a_placeholder_outside_its_profile() -> None:
    some = policy()
    narrow = replace(some, profiles={"default": replace(some.profiles["default"], credentials=frozenset())})
    assert code(narrow, ask(findings=own())) is Code.PLACEHOLDER_MISUSE


def test_S21_row_11_a_placeholder_of_somebody_else() -> None:
    assert code(policy(), ask(findings=(Finding("unknown", "header:x-api-key"),))) is Code.PLACEHOLDER_MISUSE


def test_S23_row_11_a_foreign_value_where_no_credential_of_the_profile_allows_it() -> None:
    foreign = (Finding("other", "header:x-api-key", CredentialName("first")),)
    assert code(policy(), ask(findings=foreign)) is Code.FOREIGN_CREDENTIAL
    allowing = policy(POLICY.replace("env: [FIRST]", "foreign: allow, env: [FIRST]"))
    assert decide(allowing, ask(findings=foreign)).result == "allow"
    narrow = replace(allowing, profiles={"default": replace(allowing.profiles["default"], credentials=frozenset())})
    assert code(narrow, ask(findings=foreign)) is Code.FOREIGN_CREDENTIAL
    mixed = (*foreign, Finding("other", "header:x-other", None))
    assert code(allowing, ask(findings=mixed)) is Code.FOREIGN_CREDENTIAL


def test_S2_row_11_plain_http_carries_nothing_without_plaintext() -> None:
    text = """
version: 1
credentials:
  first: {hosts: ["api.example.com:80"], headers: [X-Api-Key], placeholder: {prefix: f-, length: 48}, env: [FIRST],
          source: env:FIRST, plaintext: true}
egress:
  - {host: api.example.com, schemes: [http]}
"""
    plain = policy(text)
    asked = ask(scheme="http", port=80, findings=own())
    assert decide(plain, asked).result == "allow"
    first = replace(plain.credentials[CredentialName("first")], plaintext=False)
    assert code(replace(plain, credentials={first.name: first}), asked) is Code.PLACEHOLDER_MISUSE


@pytest.mark.parametrize(
    "asked", [ask("new.example.com"), ask(port=8443), ask(path="/v2"), ask(method="DELETE")], ids=lambda a: str(a.path)
)
def test_observe_lets_pass_what_is_merely_not_listed_and_gives_it_no_credential(asked: Ask) -> None:
    enforced = code(policy(), asked)
    decision = decide(policy(mode="observe"), asked)
    assert decision.result == "allow"
    assert decision.would_refuse is enforced
    assert code(policy(mode="observe"), replace(asked, findings=own())) is Code.PLACEHOLDER_MISUSE
    unknown = (Finding("unknown", "header:cookie"),)
    assert code(policy(mode="observe"), replace(asked, findings=unknown)) is Code.PLACEHOLDER_MISUSE


def test_observe_keeps_the_first_remark() -> None:
    decision = decide(policy(mode="observe"), ask("new.example.com", path="/a//b", method="DELETE"))
    assert decision.would_refuse is Code.HOST_NOT_LISTED
    assert decide(policy(mode="observe"), ask()).would_refuse is None


ASKS = st.builds(
    ask,
    st.sampled_from([HOST, "relay.example.com", "denied.example.com", "half.example.com", "new.example.com"]),
    st.sampled_from(["/v1/x", "/v2", "/a/b", "/v1/../x", "/a%2Fb"]),
    stage=st.sampled_from(Stage),
    port=st.sampled_from([443, 80]),
    scheme=st.sampled_from(["https", "http"]),
    method=st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "TRACE", "DELETE"]),
    session=st.sampled_from([None, SESSION, replace(SESSION, profile="gone")]),
    own=st.booleans(),
    upgrade=st.booleans(),
    claims=st.sampled_from([(), (("Host", A),), (("Host", None),)]),
    findings=st.sampled_from([(), own(), own("query"), (Finding("unknown", "path"),), (Finding("other", "path"),)]),
)


@given(ASKS)
def test_observe_relaxes_four_codes_and_nothing_else(asked: Ask) -> None:
    enforced, observed = decide(policy(), asked), decide(policy(mode="observe"), asked)
    if enforced.refusal is None:
        assert observed == enforced
    elif enforced.refusal.code not in table.OBSERVED:
        assert observed.refusal is not None
    elif observed.refusal is None:
        assert observed.would_refuse is enforced.refusal.code
        carries = any(finding.kind == "own" for finding in asked.findings)
        assert asked.stage is Stage.CONNECT or not carries


@given(ASKS)
def test_S42_a_refusal_is_canonical_bounded_and_quotes_no_path(asked: Ask) -> None:
    refusal = decide(policy(), replace(asked, path=b"/secret-in-the-path/%2F")).refusal
    if refusal is not None:
        for words in (refusal.reason, refusal.todo):
            assert words
            assert words.isascii()
            assert words.isprintable()
            assert "secret-in-the-path" not in words
            assert len(words) < 700


def test_S42_an_unknown_method_is_not_quoted() -> None:
    refusal = decide(policy(), ask(method="sk-0123456789")).refusal
    assert refusal is not None
    assert refusal.code is Code.METHOD_NOT_LISTED
    assert "0123456789" not in (refusal.reason + refusal.todo).lower()


def test_the_rows_stand_in_the_order_of_the_table() -> None:
    numbers = [row.number for row in ROWS]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1, 15))
    assert {row.number for row in ROWS if row.observe} == {5, 8}
    assert all(row.elsewhere for row in ROWS if row.ask is None)
    assert table.__doc__ is not None
    assert all(f"\n    {number:<2} " in table.__doc__ for number in numbers)


def test_S30_silence_of_every_row_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "ROWS", ())
    assert decide(policy(), ask("new.example.com")).result == "refuse"


def test_S4_a_dial_follows_the_entry_that_allowed_it() -> None:
    some = policy()
    entry = entry_for(some, ask("pinned.example.com"))
    assert entry is not None
    assert entry.pin == ip_address("127.0.0.1")
    assert entry_for(some, ask("pinned.example.com", stage=Stage.CONNECT)) == entry
    assert entry_for(some, ask("relay.example.com", stage=Stage.CONNECT)) == some.egress[1]
    assert entry_for(some, ask("relay.example.com")) is None


def test_S4_only_observe_dials_by_an_entry_that_did_not_match() -> None:
    assert entry_for(policy(), ask(path="/v2")) is None
    assert entry_for(policy(mode="observe"), ask(path="/v2")) == policy().egress[0]
    assert entry_for(policy(mode="observe"), ask("new.example.com")) is None


def test_a_thousand_entries_cost_what_one_does() -> None:
    many = policy("version: 1\negress:\n" + "".join(f'  - {{host: "*.h{n}.example.com"}}\n' for n in range(1000)) + FEW)
    few = policy(f"version: 1\negress:\n{FEW}")
    asked = ask()
    decide(many, asked)
    assert _seconds(many, asked) < 5 * _seconds(few, asked)


FEW = "  - {host: api.example.com}\n"


def _seconds(policy: Policy, asked: Ask) -> float:
    def once() -> float:
        begun = time.perf_counter()
        for _ in range(200):
            decide(policy, asked)
        return time.perf_counter() - begun

    return min(once() for _ in range(5))
