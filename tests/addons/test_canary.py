"""Three canaries, the real value, the token and the placeholder, and every place where they must not turn up (S42)."""

import asyncio
import contextlib
import io
import logging
import pickle
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from addons.logged import logged
from addons.shared import Asked, ask, open_house
from addons.test_strict import AFTER, BEFORE, ENDING, Raises, added, attempt
from support.encode import FORMS
from support.house import HOST, POLICY, House, Minted
from support.wire import Closed, basic
from support.wire_h2 import StreamBroken

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Life:
    """A house that has been through everything, and what it has said."""

    house: House
    session: Minted
    log: io.StringIO
    refusals: list[Asked] = field(default_factory=list)
    seen: list[bytes] = field(default_factory=list)
    """What clients got to see of failures."""

    def canaries(self) -> dict[str, bytes]:
        return {
            "real value": self.house.key,
            "token": self.session.token.encode(),
            "placeholder": self.session.placeholder("demo").encode(),
        }


def found(data: bytes, canary: bytes) -> list[str]:
    """The forms of a canary that stand in the data, without the characters that a neighbour decides."""
    return [name for name, form in FORMS.items() if form(canary).rstrip(b"=")[4:-4] in data]


async def live(life: Life) -> None:
    """A swapped request, refused ones of every kind, failed ones, and an exception in every hook."""
    house, session = life.house, life.session
    placeholder, token = session.placeholder("demo"), session.token
    good = [("X-Api-Key", placeholder)]
    assert (await ask(house, f"https://{HOST}/echo?form=raw", session, headers=good)).answer.status == 200
    assert (await ask(house, f"https://{HOST}/echo", session, headers=good, version="h2")).answer.status == 200
    asked = [
        (f"https://{HOST}/echo?key={placeholder}", good),
        (f"https://{HOST}/{placeholder}", []),
        (f"https://{HOST}/echo?t={token}", [("X-Api-Key", token)]),
        (f"https://{HOST}/echo", [("X-Api-Key", house.key.decode())]),
        (f"https://{HOST}/echo", [("Cookie", f"a={placeholder}"), ("Referer", placeholder)]),
        (f"https://{HOST}/echo", [("Authorization", basic(placeholder, user=placeholder)), ("Cookie", placeholder)]),
        (f"https://{HOST}/echo", [("Host", f"{placeholder}.example.com")]),
        (f"https://{placeholder}.example.com/", []),
        (f"https://{HOST}:22/", []),
        ("https://plain.example.com/", good),
        ("http://plain.example.com/", good),
        (f"https://{HOST}/echo", [*good, (placeholder, placeholder), ("Upgrade", placeholder)]),
    ]
    for url, headers in asked:
        refused = await ask(house, url, session, headers=headers)
        if refused.code is not None:
            life.refusals.append(refused)
    wrong = Minted(session.session, token[:-1] + "x", session.placeholders)
    life.refusals.append(await ask(house, f"https://{HOST}/", wrong))
    for raw in (
        f"GET /{placeholder} HTTP/1.1\nProxy-Authorization: {basic(token)}\n\n",
        f"{placeholder} {token}\r\n\r\n",
        f"GET /{house.key.decode()} HTTP/1.1\r\nX-Api-Key : {placeholder}\r\n\r\n",
        f"CONNECT {placeholder}@{HOST}:443 HTTP/1.1\r\nProxy-Authorization: {basic(token)}\r\n\r\n",
        f"GET http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\nProxy-Authorization: Bearer {token}\r\nX: {placeholder}",
    ):
        async with await house.wire() as wire:
            await wire.send(raw.encode())
            with contextlib.suppress(TimeoutError):
                life.seen.append(await wire.read_to_end(timeout=0.2))
    for kind in ("header", "status", "chunk", "extra"):
        for alpn in ("http/1.1", "h2"):
            life.seen.append(await attempt(house, session, f"/malformed?kind={kind}", alpn=alpn))
    life.seen.append(await attempt(house, session, "/drop"))
    for hook in (*BEFORE, *AFTER, *ENDING):
        for alpn in ("http/1.1", "h2"):
            text = " ".join(canary.decode() for canary in life.canaries().values())
            with added(house, Raises(hook, text)), contextlib.suppress(Closed, StreamBroken, OSError):
                life.seen.append(await attempt(house, session, "/echo?form=raw", alpn=alpn))
    house.key_file.write_bytes(b"two\nlines")
    for _ in range(40):
        refused = await ask(house, f"https://{HOST}/echo", session, headers=good)
        if refused.answer.status == 503:
            break
        await asyncio.sleep(0.1)
    life.refusals.append(refused)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["as served", "engine at DEBUG"])
async def life(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Life]:
    level = logging.WARNING if request.param == "as served" else logging.DEBUG
    async with open_house(tmp_path_factory.mktemp("life"), POLICY) as house:
        with logged(house, engine_at=level) as log:
            made = Life(house, house.mint(), log)
            await live(made)
        yield made


async def test_S42_the_log_holds_no_canary(life: Life) -> None:
    text = life.log.getvalue().encode()
    assert len(text) > 1000
    at_debug = b"client connect" in text
    for name, canary in life.canaries().items():
        if at_debug and name == "placeholder":
            continue  # nobody but its session can use it, and `serve` never lets the engine speak at DEBUG
        assert found(text, canary) == [], name


async def test_S42_the_log_tells_failures_by_their_type(life: Life) -> None:
    text = life.log.getvalue()
    assert "failed: Broken" in text
    assert "Traceback" not in text
    assert 'File "' not in text


async def test_S42_no_line_of_the_log_is_split_or_endless(life: Life) -> None:
    assert all(len(line) < 2500 for line in life.log.getvalue().splitlines())


async def test_S42_the_audit_and_every_file_of_the_state_hold_no_canary(life: Life) -> None:
    files = [path for path in life.house.state_dir.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"audit.jsonl", "audit.jsonl.head", "key", "sessions.db"}
    for path in files:
        for name, canary in life.canaries().items():
            assert found(path.read_bytes(), canary) == [], f"{name} in {path.name}"


async def test_S42_no_refusal_quotes_a_canary(life: Life) -> None:
    assert len(life.refusals) >= 10
    for refused in life.refusals:
        assert refused.code is not None
        for name, canary in life.canaries().items():
            assert found(refused.answer.everything, canary) == [], f"{name}: {refused.answer.reason}"


async def test_S42_no_failure_shows_the_real_value_or_the_token(life: Life) -> None:
    for seen in life.seen:
        for name in ("real value", "token"):
            assert found(seen, life.canaries()[name]) == []


async def test_S42_metrics_hold_no_canary_and_no_word_of_a_sandbox(life: Life) -> None:
    text = life.house.running.runtime.metrics.render()
    for name, canary in life.canaries().items():
        assert found(text, canary) == [], name
    assert b"unlisted" not in text
    assert b"example.com" not in text


async def test_S42_nothing_the_process_can_print_of_itself_holds_the_real_value(life: Life) -> None:
    runtime = life.house.running.runtime
    value = runtime.keyring.recent(next(iter(runtime.policy.credentials)))
    shown = [runtime, runtime.situation, runtime.keyring, runtime.policy, runtime.state, runtime.audit, *value]
    for one in shown:
        for name in ("real value", "token"):
            assert found(f"{one!r} {one}".encode(), life.canaries()[name]) == []
    with pytest.raises((TypeError, pickle.PicklingError)):
        pickle.dumps(value[0])
