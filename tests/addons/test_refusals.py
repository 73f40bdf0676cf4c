"""Every refusal of tests/vectors/refusals.yaml, provoked on the wire: what the client is told, and what is recorded."""

import asyncio
import contextlib
import errno
import json
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import pytest_asyncio
import yaml

from addons.shared import H1, H2, News, Version, ask, free_port, template
from keyswap.credentials.slot import GRACE
from keyswap.exchange import Code
from keyswap.settings import Listen, Settings
from support.counting import CountingResolver
from support.house import House, Minted
from support.provider import Provider
from support.wire import WireResponse, basic

VECTORS = yaml.safe_load((Path(__file__).parent.parent / "vectors" / "refusals.yaml").read_text("utf-8"))
CASES: list[dict[str, Any]] = VECTORS["cases"]
REQUEST_ID = re.compile(r"req_[0-9a-f]{16}")
WRONG = "ks_" + "A" * 43
ADDRESSES = {"inside.example.com": ["10.0.0.5"]}

pytestmark = pytest.mark.asyncio(loop_scope="module")


class FixedHouse(House):
    """A house whose port is known before it is opened, so that its policy can name it."""

    port = 0

    @property
    def settings(self) -> Settings:
        return replace(super().settings, listen=Listen("127.0.0.1", self.port))


class Street:
    """The house of each policy in turn."""

    def __init__(self, folder: Path, closed: int) -> None:
        self._folder = folder
        self._closed = closed
        self._open = AsyncExitStack()
        self._house: FixedHouse | None = None
        self._name = ""

    async def house(self, name: str) -> FixedHouse:
        if self._house is None or self._name != name:
            await self._open.aclose()
            folder = Path(mkdtemp(dir=self._folder))
            provider = self._open.enter_context(Provider(folder / "provider"))
            with free_port() as own:
                marks = {"closed": f"127.0.0.1:{self._closed}", "own": f"127.0.0.1:{own}"}
            house = FixedHouse(folder, provider, template(VECTORS["policies"][name], **marks))
            house.port = own
            self._house, self._name = await self._open.enter_async_context(house), name
        return self._house

    async def close(self) -> None:
        await self._open.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def street(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    with free_port() as closed, CountingResolver(asyncio.get_running_loop(), ADDRESSES):
        street = Street(tmp_path_factory.mktemp("street"), closed)
        yield street
        await street.close()


# -- faults: each breaks something for real, and mends it ----------


@contextlib.asynccontextmanager
async def no_key_file(house: House, session: Minted) -> AsyncIterator[None]:
    key = house.key_file.read_bytes()
    house.key_file.unlink()
    with contextlib.suppress(Exception):  # the keyring notices
        house.running.runtime.keyring.current("demo")
    for name in ("anthropic", "openai", "gemini"):
        with contextlib.suppress(Exception):
            house.running.runtime.keyring.current(name)
    await asyncio.sleep(GRACE + 0.05)
    yield
    house.key_file.write_bytes(key)
    house.key_file.chmod(0o600)
    await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def full_disk(house: House, session: Minted) -> AsyncIterator[None]:
    """write(2) to the audit's file answers ENOSPC."""
    log = os.stat(house.state_dir / "audit.jsonl").st_ino
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if os.fstat(descriptor).st_ino == log:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", full)
        yield


@contextlib.asynccontextmanager
async def one_open_connection(house: House, session: Minted) -> AsyncIterator[None]:
    async with house.tunnel("api.demo.example", session):
        yield


class Raising:
    """A part of the proxy whose every use fails, with a key in the text of the exception."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise RuntimeError(self._text)


@contextlib.asynccontextmanager
async def a_step_that_raises(house: House, session: Minted) -> AsyncIterator[None]:
    with broken(house.running.runtime, "keyring", Raising(house.key)):
        yield


@contextlib.asynccontextmanager
async def sessions_that_raise(house: House, session: Minted) -> AsyncIterator[None]:
    with broken(house.running.runtime, "sessions", Raising(session.token.encode())):
        yield


@contextlib.contextmanager
def broken(owner: Any, name: str, part: Any) -> Iterator[None]:
    whole = getattr(owner, name)
    setattr(owner, name, part)
    try:
        yield
    finally:
        setattr(owner, name, whole)


@contextlib.asynccontextmanager
async def nothing(house: House, session: Minted) -> AsyncIterator[None]:
    yield


FAULTS = {
    "": nothing,
    "no key file": no_key_file,
    "full disk": full_disk,
    "one open connection": one_open_connection,
    "a step that raises": a_step_that_raises,
    "sessions that raise": sessions_that_raise,
}


# -- the test ----------


def versions(case: dict[str, Any]) -> list[Version]:
    if "version" in case:
        return [H1 if case["version"] == "h1" else H2]
    at_request = case["code"] not in BEFORE_TLS or case["name"] in INSIDE
    return [H1, H2] if case.get("url", "").startswith("https:") and at_request else [H1]


BEFORE_TLS = {
    "ambiguous",
    "session_required",
    "own_address",
    "denied",
    "host_not_listed",
    "port_not_listed",
    "rate_limited",
}
"""Codes of the vector's https cases that are answered at CONNECT, where there is no second version of HTTP…"""
INSIDE = {"a path that a rule can read in two ways", "a denied path", "a refused HEAD"}
"""… but for these cases."""
ASKED = [(case, version) for case in CASES for version in versions(case)]


@pytest.mark.parametrize(("case", "version"), [pytest.param(c, v, id=f"{c['name']} ({v})") for c, v in ASKED])
async def test_S46_a_refusal_is_told_and_recorded(street: Street, case: dict[str, Any], version: Version) -> None:
    house = await street.house(case.get("policy", "standard"))
    session = house.mint()
    await drained(house)
    async with FAULTS[case.get("fault", "")](house, session):
        news = News(house)
        answer = await provoke(house, case, session, version)
    await settled(news, case)
    check_head(answer, Code(case["code"]), version)
    if case.get("method") != "HEAD":
        check_body(answer, case)
    check_record(news, answer, case)
    check_silence(house, session, answer, news)
    assert news.nothing_left or case.get("records") == "failed"
    assert case["code"] == "upstream_failed" or not any(request.complete for request in house.provider.requests)


async def drained(house: House) -> None:
    """Connections of earlier cases have ended, with whatever they record at their end."""
    async with asyncio.timeout(5):
        while len(house.running.attached.chain.clients):
            await asyncio.sleep(0.002)


async def settled(news: News, case: dict[str, Any]) -> None:
    """What is recorded at the end of a request is recorded a moment after its answer."""
    if case.get("records") == "failed":
        async with asyncio.timeout(5):
            while not news.records("response"):
                await asyncio.sleep(0.005)


async def provoke(house: House, case: dict[str, Any], session: Minted, version: Version) -> WireResponse:
    if "raw" in case:
        return await provoke_raw(house, case, session)
    asking = {"none": None, "wrong": Minted(session.session, WRONG, session.placeholders)}.get(
        case.get("session", ""), session
    )
    pairs = [
        (name, filled(value, house, session))
        for name, value in case.get("headers", {"X-Api-Key": "{placeholder:demo}"}).items()
        for _ in range(50 if value == "{50 times}" else 1)
    ]
    said = await ask(
        house,
        filled(case["url"], house, session),
        asking,
        method=case.get("method", "GET"),
        headers=pairs,
        body=b"x" * case.get("body", 0),
        version=version,
        sni=case.get("sni"),
        announced=case.get("announced", True),
    )
    return said.answer


async def provoke_raw(house: House, case: dict[str, Any], session: Minted) -> WireResponse:
    raw = filled(case["raw"], house, session).encode("latin-1")
    if "inside" in case:
        async with house.tunnel(case["inside"], session) as wire:
            await wire.send(raw)
            return await wire.read_response()
    async with await house.wire() as wire:
        await wire.send(raw)
        return await wire.read_response()


def filled(text: str, house: House, session: Minted) -> str:
    host, port = house.running.address
    text = text.replace("@own", f"{host}:{port}").replace("{5000}", "x" * 5000)
    text = text.replace("{authorization}", f"Proxy-Authorization: {basic(session.token)}")
    text = re.sub(r"\{placeholder:(\w+)\}", lambda found: session.placeholder(found[1]), text)
    return re.sub(r"\{stranger:(\w+)\}", lambda found: house.mint().placeholder(found[1]), text)


def check_head(answer: WireResponse, code: Code, version: Version) -> None:
    assert answer.status == code.status, answer.everything
    status = re.fullmatch(r'keyswap; error=(\w+); details="(\w+): [^"\\]+"', answer.header("proxy-status") or "")
    assert status, answer.everything
    assert status.groups() == (code.proxy_error, code.value)
    assert answer.header("x-should-retry") == (None if code.retry_helps else "false")
    assert (answer.header("retry-after") is not None) == (code is Code.RATE_LIMITED)
    assert (answer.header("proxy-authenticate") == 'Basic realm="keyswap"') == (code.status == 407)
    assert answer.values("content-type") == ["application/json"]
    assert answer.header("server") is None
    if version == H1:
        assert answer.reason.startswith(f"keyswap {code.value}: ")
        assert answer.reason.isascii()
        assert answer.reason.isprintable()
        assert len(answer.reason) <= 120


def check_body(answer: WireResponse, case: dict[str, Any]) -> None:
    said = json.loads(answer.body)
    assert said["code"] == case["code"]
    assert REQUEST_ID.fullmatch(said["request_id"])
    assert said["request_id"] == answer.header("x-keyswap-request-id")
    assert said["message"].startswith("keyswap: ")
    assert case["hint"] in said["message"]
    error = said["error"]
    assert error["message"] == said["message"]
    match case.get("dialect"):
        case "anthropic":
            assert said["type"] == "error"
            assert error["type"] in {"invalid_request_error", "permission_error", "api_error"}
        case "gemini":
            assert error["code"] == answer.status
            assert error["status"] in {"PERMISSION_DENIED", "UNAVAILABLE", "INVALID_ARGUMENT"}
        case _:
            assert (error["type"], error["code"], error["param"]) == ("keyswap_refused", case["code"], None)


EVENTS_BESIDE = ("session_minted", "checkpoint", "credential_failed")
"""Events that are no record of a request."""


def check_record(news: News, answer: WireResponse, case: dict[str, Any]) -> None:
    request_id = answer.header("x-keyswap-request-id")
    kinds = case.get("records", "refused")
    records = [record for record in news.records() if record["event"] not in EVENTS_BESIDE]
    if kinds == "nothing":
        assert records == []
    elif kinds == "failed":
        start, end = records
        assert (start["event"], start["id"]) == ("request", request_id)
        assert (end["event"], end["id"]) == ("response", request_id)
        assert end["upstream"]["error"]
        assert case["code"] == "upstream_failed" or end["decision"]["code"] == case["code"]
    else:
        [record] = records
        assert record["event"] == ("placeholder_misuse" if case["code"] == "placeholder_misuse" else "refused")
        assert record["id"] == request_id
        assert record["client"] == "127.0.0.1"
        assert (record["decision"]["result"], record["decision"]["code"]) == ("refuse", case["code"])
        assert record["decision"]["reason"]


def check_silence(house: House, session: Minted, answer: WireResponse, news: News) -> None:
    written = json.dumps(news.records()).encode()
    for secret in (house.key, session.token.encode(), *(text.encode() for text in session.placeholders.values())):
        assert secret not in answer.everything
        assert secret not in written


async def test_every_code_is_provoked() -> None:
    assert {case["code"] for case in CASES} == {code.value for code in Code}
    assert len({case["name"] for case in CASES}) == len(CASES)


async def test_a_dialect_of_every_provider_is_provoked() -> None:
    assert {case.get("dialect") for case in CASES} >= {"anthropic", "openai", "gemini"}
