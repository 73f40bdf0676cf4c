"""`policy explain` answers as tests/vectors/decisions.yaml says; another test asks a running proxy for the same."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyswap.exchange import Authority, CanonicalHost, CredentialName, Finding, Rule
from keyswap.policy.explain import Explanation, explain
from keyswap.policy.load import parse
from keyswap.policy.model import Policy

VECTORS = yaml.safe_load((Path(__file__).parent.parent / "vectors" / "decisions.yaml").read_text("utf-8"))["policies"]
CASES = [(name, case) for name, policy in VECTORS.items() for case in policy["cases"]]
OWN = Authority(CanonicalHost("127.0.0.1"), 8080)


@cache
def policy(name: str) -> Policy:
    return parse(VECTORS[name]["text"], "/etc/keyswap/policy.yaml", environ={})


def explained(name: str, case: dict[str, Any]) -> Explanation:
    findings = tuple(
        Finding(found[0], found[1], CredentialName(found[2]) if len(found) > 2 else None)
        for found in case.get("findings", ())
    )
    return explain(
        policy(name),
        case["url"].replace("{own}", str(OWN)),
        case.get("method", "GET"),
        case.get("profile", "default"),
        own={OWN},
        findings=findings,
        upgrade="Upgrade" in case.get("headers", {}),
    )


@pytest.mark.parametrize(
    ("name", "case"), [pytest.param(n, c, id=f"{n}: {c['name']}") for n, c in CASES if c.get("only") != "wire"]
)
def test_explain_answers_as_the_vector_says(name: str, case: dict[str, Any]) -> None:
    said = explained(name, case)
    verdict, expect = said.verdict, case["expect"]
    code = verdict.refusal.code if verdict.refusal else None
    assert (verdict.result, code, code.status if code else None) == (
        expect["result"],
        expect.get("code"),
        expect.get("status"),
    )
    assert verdict.would_refuse == expect.get("would_refuse")
    if "at" in expect:
        assert said.at == expect["at"]
    if "rule" in expect:
        assert cites(verdict.rule, expect["rule"])
    if "swaps" in expect:
        assert [swap.credential for swap in said.swaps] == expect["swaps"]


def cites(rule: Rule | None, expected: str | int) -> bool:
    if rule is None:
        return False
    return rule.line == expected if isinstance(expected, int) else expected in rule.text


def test_enough_cases_are_asked_of_both() -> None:
    assert len(CASES) >= 150
    assert sum("only" not in case for _, case in CASES) >= 120
    assert len({case["name"] for _, case in CASES}) == len(CASES)


def test_every_case_says_all_that_the_other_test_needs() -> None:
    keys = {"name", "url", "method", "profile", "headers", "findings", "only", "sni", "session", "expect"}
    for _, case in CASES:
        assert set(case) <= keys
        assert case.get("only", "wire") in ("explain", "wire")
        if case["expect"]["result"] == "refuse":
            assert set(case["expect"]) >= {"code", "status", "at"}
        if case.get("only") != "wire" and case.get("findings"):
            assert case.get("only") == "explain" or "headers" in case or "{placeholder" in case["url"]
