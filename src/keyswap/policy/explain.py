"""What would happen to a request, row by row, without sending it: the same `decide`, asked beforehand.

What only the wire knows (the address, the source, the audit) is named as not asked.
"""

import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import Literal

from keyswap.errors import PolicyError
from keyswap.exchange import (
    Ask,
    Authority,
    Code,
    CredentialName,
    Decision,
    Finding,
    Refusal,
    Rule,
    Scheme,
    Session,
    SessionId,
    Stage,
)
from keyswap.policy import findings as placeholders
from keyswap.policy.decide import ROWS, Answer, Row, answers, decide
from keyswap.policy.hosts import HostError, canonical_authority
from keyswap.policy.match import Case
from keyswap.policy.model import Policy

Outcome = Literal["pass", "refused", "observed", "not asked"]

_URL = re.compile(r"(https?)://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)
_DEFAULT_PORT: dict[Scheme, int] = {"https": 443, "http": 80}
# What the reader of a head takes (row 1), whatever the rule (S9, S13).
# What is not judged here but taken for granted, so that the rows behind it can be.
_ASSUMED = {2: "taken for granted here", 7: "taken for granted here"}
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"/[!-\"$-~]*")


@dataclass(frozen=True, slots=True)
class Step:
    """What one row of the table said."""

    number: int
    question: str
    outcome: Outcome
    words: str = ""
    rule: Rule | None = None


@dataclass(frozen=True, slots=True)
class Swap:
    """A credential whose placeholder is exchanged on this request, if it stands in one of these headers."""

    credential: CredentialName
    headers: tuple[str, ...]
    rule: Rule


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole answer; `lines` prints it, `to_json` is for programs."""

    url: str
    method: str
    profile: str
    steps: tuple[Step, ...]
    connect: Decision | None
    """None for plain http, which has no CONNECT."""
    request: Decision | None
    """None where CONNECT was refused, or is relayed without looking inside."""
    swaps: tuple[Swap, ...]
    """Empty unless the request is allowed."""

    @property
    def verdict(self) -> Decision:
        """The decision that counts: the request's, or CONNECT's where there was no request to judge."""
        verdict = self.request or self.connect
        if verdict is None:
            raise PolicyError("neither a CONNECT nor a request was judged")
        return verdict

    @property
    def at(self) -> Stage:
        """Where the verdict fell."""
        return Stage.REQUEST if self.request else Stage.CONNECT

    def lines(self) -> tuple[str, ...]:
        """The explanation for a person: the question, the rows, the verdict, what may be swapped."""
        rows = (f"{step.number:>2}  {step.outcome:<9}  {step.question}{_told(step)}" for step in self.steps)
        swaps = (f"may swap {swap.credential} in {', '.join(swap.headers)} ({swap.rule.where})" for swap in self.swaps)
        return (f"{self.method} {self.url} as profile {self.profile}", *rows, *_verdict(self.verdict, self.at), *swaps)

    def to_json(self) -> dict[str, object]:
        """The explanation as plain values, ready for `json.dumps`."""
        return {
            "url": self.url,
            "method": self.method,
            "profile": self.profile,
            "at": self.at.value,
            **_decision_json(self.verdict),
            "steps": [{**asdict(step), "rule": _rule(step.rule)} for step in self.steps],
            "swaps": [{"credential": swap.credential, "headers": list(swap.headers)} for swap in self.swaps],
        }


def explain(
    policy: Policy,
    url: str,
    method: str,
    profile: str,
    *,
    own: Collection[Authority] = (),
    findings: tuple[Finding, ...] = (),
    upgrade: bool = False,
) -> Explanation:
    """What the proxy would do with this request of a living session of that profile.

    `own` are our listeners, `findings` what would stand in the head. A URL that cannot be read is an answer of row 1;
    what is no http or https URL, or a profile that does not exist, raises PolicyError.
    """
    if profile not in policy.profiles:
        names = ", ".join(sorted(policy.profiles)) or "none"
        raise PolicyError("there is no such profile", f"write one of those in {PurePath(policy.file).name}: {names}")
    scheme, authority, path, problem = _read(url)
    request = Ask(
        stage=Stage.REQUEST,
        scheme=scheme,
        authority=authority,
        problem=problem,
        session=Session(SessionId("explain"), profile, seed=b""),
        own=authority in own,
        method=method,
        path=path.encode("utf-8", "surrogateescape"),
        upgrade=upgrade,
        findings=findings,
    )
    return _judged(policy, url, request, path)


def _judged(policy: Policy, url: str, request: Ask, path: str) -> Explanation:
    said: list[Answer] = []
    connect: Decision | None = None
    verdict: Decision | None = None
    if request.scheme == "https":
        asked = replace(request, stage=Stage.CONNECT, method="CONNECT", path=b"", findings=(), upgrade=False)
        connect = decide(policy, asked)
        said.extend(answers(Case(policy, asked)))
    if connect is None or connect.result == "allow":
        request = _head_read(request, path)
        verdict = decide(policy, request)
        said.extend(answers(Case(policy, request)))
    swaps = _swaps(policy, request) if verdict and verdict.result == "allow" and not verdict.would_refuse else ()
    name = request.session.profile if request.session else ""
    return Explanation(url, request.method, name, _steps(said), connect, verdict, swaps)


def _read(url: str) -> tuple[Scheme, Authority | None, str, Refusal | None]:
    """Scheme, A, target and row 1's refusal of a URL; nothing is repaired, so `explain` sees what the wire would."""
    found = _URL.fullmatch(url)
    if found is None:
        raise PolicyError("it is not a URL that goes through the proxy", "write https://host/path or http://host/path")
    scheme: Scheme = "https" if found[1].lower() == "https" else "http"
    target = found[3] if found[3].startswith("/") else "/" + found[3]
    try:
        return scheme, canonical_authority(found[2], _DEFAULT_PORT[scheme]), target, None
    except HostError as error:
        return scheme, None, target, Refusal(Code.AMBIGUOUS, f"the host is not one: {error}", "write a plain host name")


def _head_read(request: Ask, path: str) -> Ask:
    """With row 1's refusal where the reader of the head would not take this method or target."""
    if not _METHOD.fullmatch(request.method):
        reason, todo = "the method is not a token", "send a method such as GET or POST"
    elif not _TARGET.fullmatch(path):
        reason, todo = "the path holds a character that must not stand in one", "percent-encode it"
    else:
        return request
    return replace(request, problem=Refusal(Code.AMBIGUOUS, reason, todo))


def _steps(said: list[Answer]) -> tuple[Step, ...]:
    """All rows in order; of a row asked at CONNECT and again at the request, the later answer."""
    latest = {id(answer.row): answer for answer in said}
    refused = any(answer.refusal is not None and not answer.observed for answer in said)
    return tuple(_step(row, latest.get(id(row)), refused) for row in ROWS)


def _step(row: Row, answer: Answer | None, refused: bool) -> Step:
    if answer is None:
        return Step(row.number, row.question, "not asked", "" if refused else row.elsewhere)
    if answer.refusal is None:
        return Step(row.number, row.question, "pass", _ASSUMED.get(row.number, ""))
    refusal = answer.refusal
    outcome: Outcome = "observed" if answer.observed else "refused"
    return Step(row.number, row.question, outcome, f"{refusal.code}: {refusal.reason}; {refusal.todo}", refusal.rule)


def _swaps(policy: Policy, request: Ask) -> tuple[Swap, ...]:
    case = Case(policy, request)
    return tuple(
        Swap(credential.name, credential.headers, credential.rule)
        for credential in policy.credentials.values()
        if placeholders.releasable(case, credential)
    )


def _told(step: Step) -> str:
    where = f" ({step.rule.where})" if step.rule else ""
    return f"\n{'':15}{step.words}{where}" if step.words else ""


def _verdict(decision: Decision, at: Stage) -> tuple[str, ...]:
    where = f" ({decision.rule.where}: {decision.rule.text})" if decision.rule and decision.rule.text else ""
    if decision.refusal is None:
        remark = f", but enforce would refuse it: {decision.would_refuse}" if decision.would_refuse else ""
        return (f"{decision.result}{remark}: {decision.reason}{where}",)
    code = decision.refusal.code
    return (f"refused at {at}, {code.status} {code}: {decision.reason}{where}", f"to do: {decision.refusal.todo}")


def _decision_json(decision: Decision) -> dict[str, object]:
    refusal = decision.refusal
    return {
        "result": decision.result,
        "code": refusal.code.value if refusal else None,
        "status": refusal.code.status if refusal else None,
        "would_refuse": decision.would_refuse.value if decision.would_refuse else None,
        "reason": decision.reason,
        "todo": refusal.todo if refusal else None,
        "rule": _rule(decision.rule),
    }


def _rule(rule: Rule | None) -> dict[str, object] | None:
    return {"file": rule.file, "line": rule.line, "text": rule.text} if rule else None
