"""A running proxy answers tests/vectors/decisions.yaml as `policy explain` does: result, code, status and rule."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from addons.shared import H1, H2, Asked, News, Version, ask, open_house, pinned
from keyswap.exchange import Authority, CanonicalHost, CredentialName, Finding
from keyswap.policy.explain import Explanation, explain
from support.house import House, Minted

VECTORS = yaml.safe_load((Path(__file__).parent.parent / "vectors" / "decisions.yaml").read_text("utf-8"))["policies"]
CASES = [(name, case) for name, policy in VECTORS.items() for case in policy["cases"] if case.get("only") != "explain"]
CREDENTIALS = sorted(
    {name for policy in VECTORS.values() for name in yaml.safe_load(policy["text"]).get("credentials", {})}
)
KEYS = {f"{name.upper()}_API_KEY": f"the-real-value-of-{name}" for name in CREDENTIALS}

pytestmark = pytest.mark.asyncio(loop_scope="module")


def fits_h2(case: dict[str, Any]) -> bool:
    """Whether there is a request inside a tunnel, and nothing in it that HTTP/2 has no word for."""
    inside = case["url"].startswith("https:") and case["expect"].get("at") != "connect"
    return (
        inside
        and not {"Host", "Connection"} & set(case.get("headers", {}))
        and case["expect"]["result"] != "passthrough"
    )


ASKED = [(name, case, version) for name, case in CASES for version in (H1, H2) if version == H1 or fits_h2(case)]


class Street:
    """The house of each policy in turn: the engine's patches allow one at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = AsyncExitStack()
        self._name = ""
        self._house: House | None = None
        self._sessions: dict[str, Minted] = {}

    async def house(self, name: str) -> House:
        if self._house is None or name != self._name:
            await self.close()
            folder = self._folder / name
            folder.mkdir()
            opened = open_house(folder, pinned(VECTORS[name]["text"]), environ=KEYS)
            self._house, self._name = await self._open.enter_async_context(opened), name
            self._house.provider.route("/", lambda call: call.whole(200, b"here", b"text/plain"))
            self._house.provider.tells = False
        return self._house

    def session(self, profile: str) -> Minted:
        """One session a profile and house, so that none is minted for every case."""
        assert self._house is not None
        if profile not in self._sessions:
            self._sessions[profile] = self._house.mint(profile)
        return self._sessions[profile]

    async def close(self) -> None:
        await self._open.aclose()
        self._house = None
        self._sessions = {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def street(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    street = Street(tmp_path_factory.mktemp("street"))
    yield street
    await street.close()


@pytest.mark.parametrize(
    ("name", "case", "version"), [pytest.param(n, c, v, id=f"{n}: {c['name']} ({v})") for n, c, v in ASKED]
)
async def test_the_wire_answers_as_explain_does(
    street: Street, name: str, case: dict[str, Any], version: Version
) -> None:
    house = await street.house(name)
    session = None if case.get("session") == "none" else street.session(case.get("profile", "default"))
    news = News(house)
    said = await ask(
        house,
        case["url"].replace("{own}", str(own(house))) if session is None else filled(case["url"], house, session),
        session,
        method=case.get("method", "GET"),
        headers={key: filled(value, house, session) for key, value in case.get("headers", {}).items()}
        if session
        else {},
        version=version,
        sni=case.get("sni"),
    )
    expect = case["expect"]
    outcome = (result(said), said.code, said.answer.status if said.code else None)
    assert outcome == (expect["result"], expect.get("code"), expect.get("status")), said.answer.everything
    if expect["result"] == "refuse":
        assert said.at == expect["at"]
        assert news.nothing_left
    [record] = news.records("request", "refused", "placeholder_misuse")
    check_rule(record, expect)
    if "only" not in case:
        check_explained(record, explained(house, case), case)
    if session and expect["result"] == "allow":
        check_swaps(house, case, record)


def own(house: House) -> Authority:
    host, port = house.running.address
    return Authority(CanonicalHost(host), port)


def filled(text: str, house: House, session: Minted) -> str:
    """The text with what stands for credentials in it."""
    text = text.replace("{own}", str(own(house)))
    text = re.sub(r"\{placeholder:(\w+)\}", lambda found: session.placeholder(found[1]), text)
    return re.sub(r"\{stranger:(\w+)\}", lambda found: house.mint(session.session.profile).placeholder(found[1]), text)


def result(said: Asked) -> str:
    if said.code is not None:
        return "refuse"
    return "passthrough" if said.relayed else "allow"


def check_rule(record: dict[str, Any], expect: dict[str, Any]) -> None:
    decision = record["decision"]
    assert (decision["result"], decision.get("code")) == (expect["result"], expect.get("code"))
    assert decision.get("would_refuse") == expect.get("would_refuse")
    if isinstance(expect.get("rule"), int):
        assert decision["rule"]["where"] == f"policy.yaml:{expect['rule']}"
    elif "rule" in expect:
        assert expect["rule"] in decision["rule"]["text"]


def explained(house: House, case: dict[str, Any]) -> Explanation:
    findings = tuple(
        Finding(found[0], found[1], CredentialName(found[2]) if len(found) > 2 else None)
        for found in case.get("findings", ())
    )
    return explain(
        house.running.runtime.policy,
        case["url"].replace("{own}", str(own(house))),
        case.get("method", "GET"),
        case.get("profile", "default"),
        own={own(house)},
        findings=findings,
        upgrade="Upgrade" in case.get("headers", {}),
    )


def check_explained(record: dict[str, Any], said: Explanation, case: dict[str, Any]) -> None:
    """The proxy's own policy, asked by `explain`, gives the verdict that the proxy has recorded."""
    verdict, decision = said.verdict, record["decision"]
    assert (decision["result"], decision.get("code")) == (
        verdict.result,
        verdict.refusal.code if verdict.refusal else None,
    )
    rule = {"where": verdict.rule.where, "text": verdict.rule.text} if verdict.rule else None
    assert decision.get("rule") == rule
    if case["expect"].get("code") != "ambiguous":  # the wire's reader has words of its own for row 1
        assert decision["reason"] == verdict.reason


def check_swaps(house: House, case: dict[str, Any], record: dict[str, Any]) -> None:
    """Placeholders that were sent arrive as the real values, and no other credential is released."""
    sent = [
        found for value in case.get("headers", {}).values() for found in re.findall(r"\{placeholder:(\w+)\}", value)
    ]
    assert [swap["credential"] for swap in record["swaps"]] == sent
    assert set(sent) <= set(case["expect"].get("swaps", sent))
    if sent:
        [received] = house.provider.requests
        assert all(received.holds(KEYS[f"{name.upper()}_API_KEY"].encode()) for name in sent)


async def test_enough_cases_go_both_ways() -> None:
    assert sum("only" not in case for _, case in CASES) >= 120
