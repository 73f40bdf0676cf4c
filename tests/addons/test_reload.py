"""Edits while the proxy runs: whole or not at all, within a second, with nobody failing (S31, S32)."""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from addons.logged import logged
from keyswap.errors import CredentialError, Error, PolicyError
from support.house import HOST, POLICY, House, Minted
from support.provider import Provider
from support.wire import Wire

OPEN = POLICY
NARROW = POLICY.replace("{{host: {host}, pin", '{{host: {host}, paths: ["/echo"], pin')
OTHER = "other.example.com"
ADDED = POLICY + f'  - {{{{host: {OTHER}, pin: "{{address}}", ca_file: "{{ca}}"}}}}\n'
BROKEN = POLICY.replace("mode: enforce", "mode: enforced")

RATE = 50
"""Requests a second."""


async def until(holds: Callable[[], bool] | Callable[[], Awaitable[bool]], within: float = 1.0) -> float:
    """Seconds until something holds; fails where it does not `within` so many."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        found = holds()
        if found if isinstance(found, bool) else await found:
            return loop.time() - began
        assert loop.time() - began < within, f"not within {within} s"
        await asyncio.sleep(0.02)


async def status(house: House, session: Minted, path: str, host: str = HOST) -> int:
    """The status of one request on a connection of its own; 0 where CONNECT is refused."""
    async with await house.wire() as wire:
        if (await wire.connect_tunnel(f"{host}:443", session.token)).status != 200:
            return 0
        await wire.tls(host)
        return (await wire.request("GET", path, host, [("X-Api-Key", session.placeholder("demo"))])).status


async def tunnels(house: House, session: Minted, stack: AsyncExitStack, count: int) -> list[Wire]:
    return [await stack.enter_async_context(house.tunnel(HOST, session)) for _ in range(count)]


async def load(house: House, session: Minted, seconds: float) -> tuple[Counter[int], Counter[bytes]]:
    """`RATE` requests a second on ten open connections; how they were answered, and by which key they arrived."""
    loop = asyncio.get_running_loop()
    statuses: Counter[int] = Counter()
    placeholder = [("X-Api-Key", session.placeholder("demo"))]

    async def one(wire: Wire, busy: asyncio.Lock) -> None:
        async with busy:
            answer = await wire.request("GET", "/echo?form=raw", HOST, placeholder)
        statuses[answer.status if answer.complete else -1] += 1

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        wires = [(wire, asyncio.Lock()) for wire in await tunnels(house, session, stack, 10)]
        began = loop.time()
        for number in range(int(RATE * seconds)):
            await asyncio.sleep(max(0.0, began + number / RATE - loop.time()))
            wire, busy = wires[number % len(wires)]
            group.create_task(one(wire, busy))
        while sum(statuses.values()) < int(RATE * seconds):
            await asyncio.sleep(0.02)
    return statuses, Counter(request.header("x-api-key") or b"" for request in house.provider.recorder.to("/echo"))


# -- the policy -------------------------------------------------------------------------------------------------


async def test_S31_edits_under_load_count_within_a_second_and_fail_no_request(house: House) -> None:
    session = house.mint()
    under_load = asyncio.create_task(load(house, session, 4))
    took = []
    for text, expected in ((NARROW, 403), (OPEN, 200), (NARROW, 403), (OPEN, 200)):
        house.write_policy(text)

        async def in_force(expected: int = expected) -> bool:
            return await status(house, session, "/status/200") == expected

        took.append(await until(in_force))
        await asyncio.sleep(0.3)
    statuses, _ = await under_load
    assert statuses == {200: 4 * RATE}
    assert max(took) < 1.0
    assert [record["policy"]["generation"] for record in house.records("policy_loaded")] == [1, 2, 3, 4, 5]


async def test_S31_fast_edits_end_with_the_last_one(house: House) -> None:
    session = house.mint()
    for number in range(25):
        house.write_policy((NARROW, BROKEN, OPEN, ADDED)[number % 4] + f"# edit {number}\n")
        await asyncio.sleep(0.01)
    house.write_policy(ADDED)

    async def added() -> bool:
        return await status(house, session, "/status/200", OTHER) != 0

    await until(added)


async def test_S31_a_broken_edit_changes_nothing_and_is_reported(house: House) -> None:
    session = house.mint()
    runtime = house.running.runtime
    in_force = runtime.policy
    with logged(house) as log:
        house.write_policy(BROKEN)
        await until(lambda: bool(house.records("policy_rejected")), 2)
    assert runtime.policy is in_force
    assert await status(house, session, "/echo") == 200
    [record] = house.records("policy_rejected")
    assert record["policy"] == {"sha256": in_force.sha256, "generation": 1}
    assert "policy.yaml:2:7" in record["decision"]["reason"]
    assert "policy_rejected" in log.getvalue()
    assert "policy.yaml:2:7" in log.getvalue()
    assert b'keyswap_policy_loads_total{result="rejected"} 1.0' in runtime.metrics.render()
    house.write_policy(NARROW)
    await until(lambda: runtime.policy.generation == 2)
    assert await status(house, session, "/status/200") == 403


async def test_S31_a_policy_that_vanishes_stays_in_force_until_the_next_good_one(house: House) -> None:
    session = house.mint()
    house.policy_file.unlink()
    await until(lambda: bool(house.records("policy_rejected")), 2)
    assert await status(house, session, "/status/200") == 200
    house.write_policy(NARROW)
    await until(lambda: house.running.runtime.policy.generation == 2)
    assert await status(house, session, "/status/200") == 403


async def test_S31_an_edit_whose_source_is_missing_is_rejected_whole(house: House) -> None:
    session = house.mint()
    extra = POLICY.replace("    source: file:demo.key\n", "    source: file:missing.key\n")
    house.write_policy(extra.replace("{{host: {host}, pin", '{{host: {host}, paths: ["/echo"], pin'))
    await until(lambda: bool(house.records("policy_rejected")), 2)
    assert await status(house, session, "/status/200") == 200
    assert "missing.key" in str(house.records("policy_rejected"))


async def test_S31_an_edit_that_says_the_same_is_no_new_policy(house: House) -> None:
    before = house.running.runtime.policy
    house.write_policy(OPEN)
    await asyncio.sleep(1)
    assert house.running.runtime.policy is before
    assert len(house.records("policy_loaded")) == 1


async def test_S31_a_swapped_symlink_is_seen(tmp_path: Path, provider: Provider) -> None:
    """A Kubernetes volume: policy.yaml → ..data/policy.yaml, and `..data` is what is replaced."""
    house = House(tmp_path, provider)
    volume = house.policy_file.parent
    texts = {}
    for name, text in (("one", OPEN), ("two", NARROW)):
        house.write_policy(text)
        texts[name] = house.policy_file.read_text()
        (volume / name).mkdir(mode=0o700)
        (volume / name / "policy.yaml").write_text(texts[name])
        (volume / name / "policy.yaml").chmod(0o600)
        (volume / name / "demo.key").write_bytes(house.key)
        (volume / name / "demo.key").chmod(0o600)
    house.policy_file.unlink()
    os.symlink("one", volume / "..data")
    os.symlink("..data/policy.yaml", house.policy_file)
    async with house:
        session = house.mint()
        assert await status(house, session, "/status/200") == 200
        os.symlink("two", volume / "..new")
        os.replace(volume / "..new", volume / "..data")
        await until(lambda: house.running.runtime.policy.generation == 2)
        assert await status(house, session, "/status/200") == 403


async def test_S32_the_next_request_of_an_old_connection_is_judged_by_the_new_policy(house: House) -> None:
    session = house.mint()
    async with house.tunnel(HOST, session) as wire:
        placeholder = [("X-Api-Key", session.placeholder("demo"))]
        assert (await wire.request("GET", "/status/200", HOST, placeholder)).status == 200
        house.write_policy(NARROW)
        await until(lambda: house.running.runtime.policy.generation == 2)
        assert (await wire.request("GET", "/status/200", HOST, placeholder)).status == 403
        assert (await wire.request("GET", "/echo", HOST, placeholder)).status == 200
    assert [record["policy"]["generation"] for record in house.records("request")] == [1, 2]


async def test_S32_an_answer_that_is_running_finishes_under_its_own_policy(house: House) -> None:
    session = house.mint()
    async with house.tunnel(HOST, session) as wire:
        head = f"GET /sse?n=8&delay=0.2 HTTP/1.1\r\nHost: {HOST}\r\nX-Api-Key: {session.placeholder('demo')}\r\n\r\n"
        await wire.send(head.encode())
        await wire.read_head()
        house.write_policy(NARROW)
        await until(lambda: house.running.runtime.policy.generation == 2)
        rest = b""
        while not rest.endswith(b"0\r\n\r\n"):
            rest += await wire.receive()
    assert rest.count(b"data: ") == 8
    [ended] = house.records("response")
    assert (ended["policy"]["generation"], ended["upstream"]["status"]) == (1, 200)


# -- the keys ---------------------------------------------------------------------------------------------------


async def test_S31_a_key_that_is_renamed_into_place_drops_no_request(house: House) -> None:
    session = house.mint()
    under_load = asyncio.create_task(load(house, session, 2))
    keys = [house.key]
    for number in range(6):
        await asyncio.sleep(0.25)
        house.write_key(b"renamed-%d-0123456789abcdef" % number)
        keys.append(house.key)
    statuses, arrived = await under_load
    assert statuses == {200: 2 * RATE}
    assert set(arrived) == set(keys)


async def test_S31_a_key_that_is_truncated_and_written_drops_no_request(house: House) -> None:
    session = house.mint()
    under_load = asyncio.create_task(load(house, session, 2))
    keys = [house.key]
    for number in range(6):
        await asyncio.sleep(0.15)
        new = b"written-%d-0123456789abcdef" % number
        with house.key_file.open("wb") as file:
            file.flush()
            await asyncio.sleep(0.1)
            file.write(new + b"\n")
        keys.append(new)
    statuses, arrived = await under_load
    assert statuses == {200: 2 * RATE}
    assert set(arrived) <= set(keys)
    assert len(arrived) > 4


async def test_S47_the_fingerprint_tells_the_versions_apart(house: House) -> None:
    session = house.mint()
    for key in (None, b"another-0123456789abcdef", None):
        if key is not None:
            house.write_key(key)
            await asyncio.sleep(0.1)
        assert await status(house, session, "/echo") == 200
    swaps = [record["swaps"][0] for record in house.records("request")]
    assert [swap["version"] for swap in swaps] == [1, 2, 2]
    assert swaps[0]["fingerprint"] != swaps[1]["fingerprint"] == swaps[2]["fingerprint"]
    assert b"another-0123456789abcdef" not in (house.state_dir / "audit.jsonl").read_bytes()


async def test_S22_a_source_that_goes_away_refuses_and_comes_back(house: House) -> None:
    session = house.mint()
    assert await status(house, session, "/echo") == 200
    house.key_file.unlink()

    async def refused() -> bool:
        return await status(house, session, "/echo") == 503

    await until(refused, 3)
    before = len(house.provider.requests)
    assert await status(house, session, "/echo") == 503
    assert len(house.provider.requests) == before
    house.write_key(b"back-again-0123456789abcdef")
    await asyncio.sleep(0.2)
    assert await status(house, session, "/echo") == 200


# -- the start --------------------------------------------------------------------------------------------------


async def _does_not_start(house: House, kind: type[Error]) -> Error:
    with pytest.raises(kind) as raised:
        async with house:
            pass
    assert not (house.state_dir / "audit.jsonl").exists()
    return raised.value


@pytest.mark.parametrize("text", [BROKEN, "", "version: 2\n", "version: 1\negress: {{}}\n"])
async def test_S31_without_a_valid_policy_there_is_no_start(tmp_path: Path, provider: Provider, text: str) -> None:
    await _does_not_start(House(tmp_path, provider, text), PolicyError)


async def test_S31_without_a_policy_there_is_no_start(tmp_path: Path, provider: Provider) -> None:
    house = House(tmp_path, provider)
    house.policy_file.unlink()
    error = await _does_not_start(house, PolicyError)
    assert "policy.yaml" in str(error)


@pytest.mark.parametrize("value", [None, "", "a\nb", "\x00"])
async def test_S31_without_the_value_of_an_env_source_there_is_no_start(
    tmp_path: Path, provider: Provider, value: str | None
) -> None:
    text = POLICY.replace("source: file:demo.key", "source: env:REAL_KEY")
    house = House(tmp_path, provider, text, environ={} if value is None else {"REAL_KEY": value})
    error = await _does_not_start(house, CredentialError)
    assert "REAL_KEY" in str(error)


@pytest.mark.parametrize("value", [None, b"", b"\n", b"a\nb\n"])
async def test_S31_without_the_value_of_a_file_source_there_is_no_start(
    tmp_path: Path, provider: Provider, value: bytes | None
) -> None:
    house = House(tmp_path, provider)
    if value is None:
        house.key_file.unlink()
    else:
        house.key_file.write_bytes(value)
    error = await _does_not_start(house, CredentialError)
    assert "demo.key" in str(error)


async def test_S31_an_optional_credential_may_be_missing_and_is_then_refused_a_request(
    tmp_path: Path, provider: Provider
) -> None:
    text = POLICY.replace("source: file:demo.key", "source: env:REAL_KEY\n    optional: true")
    async with House(tmp_path, provider, text) as house:
        session = house.mint()
        assert await status(house, session, "/echo") == 503
        assert house.provider.requests == []
        [refused] = house.records("refused")
        assert refused["decision"]["code"] == "credential_unavailable"
        async with house.tunnel(HOST, session) as wire:
            assert (await wire.request("GET", "/echo", HOST)).status == 200
