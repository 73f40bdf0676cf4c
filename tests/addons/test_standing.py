"""Standing sessions, known by their network or by a token of the admin's (S32, S39)."""

from pathlib import Path

from addons.shared import open_house
from addons.test_identify import OTHER_KEY, POLICY, ended_within
from support.house import HOST, House

STANDING = (
    POLICY
    + """\
sessions:
  loop: {{profile: narrow, source: [127.0.0.0/8]}}
  box: {{profile: keyless, token: "env:BOX_TOKEN"}}
"""
)
BOX_TOKEN = "box-token-of-the-admin-0123456789"


async def test_S39_a_standing_session_is_known_by_its_network_or_token(tmp_path: Path) -> None:
    environ = {"OTHER_KEY": OTHER_KEY, "BOX_TOKEN": BOX_TOKEN}
    async with open_house(tmp_path, STANDING, environ=environ) as other:
        minted = other.mint()

        async def who(token: str | None, host: str = HOST) -> tuple[int, str | None]:
            async with await other.wire() as wire:
                status = (await wire.connect_tunnel(f"{host}:443", token)).status
                if status != 200:
                    return status, None
                await wire.tls(host)
                await wire.request("GET", "/echo", host)
            return status, other.records("request")[-1]["session"]["id"]

        assert await who(None) == (200, "loop")
        assert await who(BOX_TOKEN) == (200, "box")
        assert await who(minted.token) == (200, minted.id)
        # a wrong token is not helped out by the network it comes from
        assert await who("ks_" + "A" * 43) == (407, None)
        # the network's session is narrow, the box's is not
        assert await who(None, "plain.example.com") == (403, None)
        assert await who(BOX_TOKEN, "plain.example.com") == (200, "box")


async def test_S32_a_standing_session_ends_with_its_entry(tmp_path: Path) -> None:
    environ = {"OTHER_KEY": OTHER_KEY, "BOX_TOKEN": BOX_TOKEN}
    async with open_house(tmp_path, STANDING, environ=environ) as other:
        async with await other.wire() as wire:
            assert (await wire.connect_tunnel(f"{HOST}:443")).status == 200
            await wire.tls(HOST)
            assert (await wire.request("GET", "/echo", HOST)).status == 200
            other.write_policy(STANDING.replace("  loop: {{profile: narrow, source: [127.0.0.0/8]}}\n", ""))
            assert await ended_within(wire, 3)
        async with await other.wire() as wire:
            assert (await wire.connect_tunnel(f"{HOST}:443")).status == 407


async def test_a_standing_sessions_placeholders_are_the_same_after_a_restart(tmp_path: Path) -> None:
    from keyswap.addons.situation import Situation
    from keyswap.exchange import Session

    def placeholders(house: House) -> object:
        runtime = house.running.runtime
        session = runtime.session_by_source("127.0.0.1")
        assert isinstance(session, Session)
        assert isinstance(runtime.situation, Situation)
        return dict(runtime.placeholders(session))

    environ = {"OTHER_KEY": OTHER_KEY, "BOX_TOKEN": BOX_TOKEN}
    async with open_house(tmp_path, STANDING, environ=environ) as first:
        before = placeholders(first)
        again = House(tmp_path, first.provider, STANDING, environ=environ)
        await first.running.stop(drain=0)
        async with again:
            assert placeholders(again) == before
