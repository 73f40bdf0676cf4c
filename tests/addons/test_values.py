"""S18, S22 and S25 on the wire: the value itself, where it comes from, and what happens when it is gone."""

import asyncio
from pathlib import Path

import pytest

from addons.shared import H1, H2, VERSIONS, Asked, News, Version, ask, open_house, template
from keyswap.credentials.slot import GRACE
from keyswap.exchange import CredentialName
from support.house import HOST, POLICY, House, Minted
from support.provider import Provider
from support.wire import basic

TOKEN = "a-token-of-a-standing-session-0123456789"


async def send(house: House, session: Minted, *pairs: tuple[str, str], version: Version = "http/1.1") -> Asked:
    return await ask(house, f"https://{HOST}/echo", session, headers=pairs, version=version)


ODD = rb'p&ss=w"o\rd%7d$1'


@pytest.mark.parametrize("version", VERSIONS)
async def test_S25_a_value_with_a_meaning_elsewhere_arrives_unharmed(tmp_path: Path, version: Version) -> None:
    async with open_house(tmp_path, key=ODD) as odd:
        assert odd.key_file.read_bytes() == ODD + b"\n"
        session = odd.mint()
        demo = session.placeholder("demo")
        for pairs in ([("X-Api-Key", demo)], [("Authorization", f"Bearer {demo}")], [("Authorization", basic(demo))]):
            assert (await send(odd, session, *pairs, version=version)).answer.status == 200
        assert [received.keys for received in odd.provider.requests] == [[ODD], [ODD], [b"keyswap", ODD]]


@pytest.mark.parametrize(("end", "value"), [(b"", b""), (b"\n", b""), (b"\r\n", b""), (b" \n", b" ")])
async def test_S25_one_newline_at_the_end_of_the_file_is_removed(tmp_path: Path, end: bytes, value: bytes) -> None:
    with Provider(tmp_path / "provider") as provider:
        odd = House(tmp_path, provider)
        odd.key_file.write_bytes(ODD + end)
        async with odd:
            session = odd.mint()
            async with odd.tunnel(HOST, session) as wire:
                await wire.request("GET", "/echo", HOST, [("Authorization", basic(session.placeholder("demo")))])
        [received] = provider.requests
        assert received.keys == [b"keyswap", ODD + value]


@pytest.mark.parametrize("left", [None, b"", b"\n", b"a\nb\n"])
async def test_S22_a_placeholder_that_cannot_be_filled_does_not_leave(tmp_path: Path, left: bytes | None) -> None:
    async with open_house(tmp_path) as short:
        session, good = short.mint(), short.key
        pair = ("X-Api-Key", session.placeholder("demo"))
        assert (await send(short, session, pair)).answer.status == 200
        if left is None:
            short.key_file.unlink()
        else:
            short.key_file.write_bytes(left)
        await asyncio.sleep(0.06)
        await send(short, session, pair)  # the source is looked at, and seen failing
        await asyncio.sleep(GRACE + 0.06)
        for version in (H1, H2):
            news = News(short)
            said = await send(short, session, pair, version=version)
            assert (said.code, said.answer.status) == ("credential_unavailable", 503)
            assert said.answer.header("x-should-retry") is None
            assert news.refused("credential_unavailable")
        [failed] = short.records("credential_failed")  # told once, however many requests met it
        assert "credential demo" in failed["notes"][0]
        assert (await send(short, session)).answer.status == 200
        short.write_key(good)
        await asyncio.sleep(0.1)
        assert (await send(short, session, pair)).answer.status == 200


async def test_S22_a_new_value_is_used_from_the_next_request_on(tmp_path: Path) -> None:
    async with open_house(tmp_path) as turning:
        session, old = turning.mint(), turning.key
        pair = ("X-Api-Key", session.placeholder("demo"))
        async with turning.tunnel(HOST, session) as wire:
            await wire.request("GET", "/echo", HOST, [pair])
            turning.write_key(b"a-new-value-0123456789")
            await asyncio.sleep(0.2)
            answer = await wire.request("GET", "/echo", HOST, [pair])
        assert [received.header("x-api-key") for received in turning.provider.requests] == [old, turning.key]
        assert turning.key not in answer.everything
        versions = [record["swaps"][0]["version"] for record in turning.records("request")]
        assert versions == [1, 2]


async def test_S18_a_standing_sessions_placeholders_survive_a_restart(tmp_path: Path) -> None:
    def standing(running: House) -> str:
        runtime = running.running.runtime
        found = runtime.session_by_token(TOKEN, "127.0.0.1")
        assert found is not None
        return runtime.placeholders(found)[CredentialName("demo")]

    standing_box = POLICY + template('sessions:\n  box: {token: "env:BOX"}\n')
    with Provider(tmp_path / "provider") as provider:
        texts = []
        for _ in range(2):
            async with House(tmp_path, provider, standing_box, environ={"BOX": TOKEN}) as running:
                texts.append(standing(running))
    assert texts[0] == texts[1]
    assert len(texts[0]) == 40
