"""`explain` says what the proxy would do, by the same table."""

import json

import pytest

from keyswap.errors import PolicyError
from keyswap.exchange import Authority, CanonicalHost, Code, CredentialName, Finding, Stage
from keyswap.policy.explain import Explanation, explain
from keyswap.policy.load import parse

POLICY = parse(
    """
version: 1
credentials:
  first: {hosts: [api.example.com], headers: [X-Api-Key], placeholder: {prefix: f-, length: 48}, env: [FIRST],
          source: env:FIRST}
egress:
  - {host: api.example.com, methods: [GET], paths: [/v1/**]}
  - {host: relay.example.com, tls: passthrough}
  - {host: plain.example.com, schemes: [http]}
""",
    "/etc/keyswap/policy.yaml",
    environ={},
)
OBSERVED = parse("version: 1\nmode: observe\n", "/etc/keyswap/policy.yaml", environ={})


def outcomes(explanation: Explanation) -> dict[int, str]:
    """The outcome of each row; of several under one number, the last that was asked."""
    return {step.number: step.outcome for step in explanation.steps if step.outcome != "not asked"}


def test_an_allowed_request_passes_every_row_and_names_what_may_be_swapped() -> None:
    said = explain(POLICY, "https://api.example.com/v1/x?q=1", "GET", "default")
    assert said.verdict.result == "allow"
    assert said.at is Stage.REQUEST
    assert said.connect is not None
    assert said.connect.result == "allow"
    assert outcomes(said) == dict.fromkeys([1, 2, 3, 4, 5, 6, 7, 8, 11], "pass")
    assert {step.number for step in said.steps if step.words == "taken for granted here"} == {2, 7}
    assert [(swap.credential, swap.headers) for swap in said.swaps] == [("first", ("x-api-key",))]


def test_S3_a_host_that_is_refused_at_connect_is_asked_nothing_else() -> None:
    said = explain(POLICY, "https://evil.example.com/", "GET", "default")
    assert said.at is Stage.CONNECT
    assert said.request is None
    assert outcomes(said) == {**dict.fromkeys([1, 2, 3, 4], "pass"), 5: "refused"}
    assert said.swaps == ()


def test_S13_a_path_is_refused_at_the_request() -> None:
    said = explain(POLICY, "https://api.example.com/v2", "GET", "default")
    assert said.at is Stage.REQUEST
    assert said.verdict.refusal is not None
    assert said.verdict.refusal.code is Code.PATH_NOT_LISTED
    assert said.swaps == ()


def test_S2_plain_http_has_no_connect() -> None:
    said = explain(POLICY, "HTTP://plain.example.com/x", "GET", "default")
    assert said.connect is None
    assert said.verdict.result == "allow"
    assert said.swaps == ()


def test_S8_passthrough_is_not_looked_into() -> None:
    said = explain(POLICY, "https://relay.example.com/x", "GET", "default")
    assert said.verdict.result == "passthrough"
    assert said.request is None


def test_observe_is_told_with_what_enforce_would_say() -> None:
    said = explain(OBSERVED, "https://api.example.com/v1", "GET", "default")
    assert said.verdict.would_refuse is Code.HOST_NOT_LISTED
    assert outcomes(said)[5] == "observed"
    assert any("enforce would refuse it: host_not_listed" in line for line in said.lines())


def test_S10_our_own_listener_is_known_by_what_is_passed_in() -> None:
    own = {Authority(CanonicalHost("127.0.0.1"), 8080)}
    said = explain(POLICY, "http://127.0.0.1:8080/", "GET", "default", own=own)
    assert said.verdict.refusal is not None
    assert said.verdict.refusal.code is Code.OWN_ADDRESS


def test_S21_findings_are_judged_at_the_request_only() -> None:
    stray = (Finding("own", "query", CredentialName("first")),)
    said = explain(POLICY, "https://api.example.com/v1/x", "GET", "default", findings=stray)
    assert said.connect is not None
    assert said.connect.result == "allow"
    assert said.verdict.refusal is not None
    assert said.verdict.refusal.code is Code.PLACEHOLDER_MISUSE


def test_a_method_that_is_no_token_and_a_target_with_a_space_are_row_1() -> None:
    for url, method in (("https://api.example.com/v1", "GET /x"), ("https://api.example.com/v1 x", "GET")):
        said = explain(POLICY, url, method, "default")
        assert said.at is Stage.REQUEST
        assert outcomes(said)[1] == "refused"
        assert said.verdict.refusal is not None
        assert said.verdict.refusal.code is Code.AMBIGUOUS


def test_the_lines_hold_every_row_the_verdict_and_its_rule() -> None:
    lines = explain(POLICY, "https://api.example.com/v2", "GET", "default").lines()
    assert lines[0] == "GET https://api.example.com/v2 as profile default"
    assert [line[:2].strip() for line in lines[1:17]] == [*map(str, range(1, 9)), "8", "8", *map(str, range(9, 15))]
    assert lines[17].startswith("refused at request, 403 path_not_listed: ")
    assert "policy.yaml:7: {host: api.example.com" in lines[17]
    assert lines[18] == "to do: add the path to paths in policy.yaml:7"
    allowed = explain(POLICY, "https://api.example.com/v1/x", "GET", "default").lines()
    assert allowed[17].startswith("allow: api.example.com is in egress (policy.yaml:7: ")
    assert allowed[18] == "may swap first in x-api-key (policy.yaml:4)"


def test_the_json_is_plain_and_holds_the_whole_answer() -> None:
    refused = json.loads(json.dumps(explain(POLICY, "https://evil.example.com/", "GET", "default").to_json()))
    assert (refused["result"], refused["code"], refused["status"], refused["at"]) == (
        "refuse",
        "host_not_listed",
        403,
        "connect",
    )
    assert refused["rule"] == {"file": "policy.yaml", "line": 6, "text": "egress"}
    allowed = json.loads(json.dumps(explain(POLICY, "https://api.example.com/v1/x", "GET", "default").to_json()))
    assert allowed["code"] is None
    assert allowed["rule"]["line"] == 7
    assert allowed["swaps"] == [{"credential": "first", "headers": ["x-api-key"]}]
    assert {step["number"] for step in allowed["steps"]} == set(range(1, 15))
    observed = json.loads(json.dumps(explain(OBSERVED, "http://new.example.com/", "GET", "default").to_json()))
    assert observed["would_refuse"] == "host_not_listed"


@pytest.mark.parametrize("url", ["", "api.example.com", "ftp://api.example.com/", "/v1", "https:/api.example.com"])
def test_what_is_no_url_of_the_proxy_is_an_error_of_the_caller(url: str) -> None:
    with pytest.raises(PolicyError, match="https://"):
        explain(POLICY, url, "GET", "default")


def test_an_unknown_profile_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(PolicyError, match=r"policy\.yaml: default"):
        explain(POLICY, "https://api.example.com/", "GET", "nobody")


def test_an_explanation_of_nothing_has_no_verdict() -> None:
    empty = Explanation("", "", "", steps=(), connect=None, request=None, swaps=())
    with pytest.raises(PolicyError):
        _ = empty.verdict
