"""Who is asking: tokens, networks, endings, and what one session never learns of another (S32, S39, S40)."""

import asyncio
import time

import pytest

from addons.shared import News, ask, shared_house
from keyswap.addons.roster import Roster
from support.house import HOST, House, Minted
from support.wire import Wire, basic

pytestmark = pytest.mark.asyncio(loop_scope="module")

POLICY = """\
version: 1
credentials:
  demo:
    hosts: [{host}]
    headers: [X-Api-Key, Authorization]
    placeholder: {{prefix: demo-, length: 40}}
    source: file:demo.key
  other:
    hosts: [other.example.com]
    headers: [X-Api-Key]
    placeholder: {{prefix: othr-, length: 40}}
    source: env:OTHER_KEY
egress:
  - {{host: {host}, pin: "{address}", ca_file: "{ca}"}}
  - {{host: other.example.com, pin: "{address}", ca_file: "{ca}"}}
  - {{host: plain.example.com, schemes: [http, https], ports: [80, 443], pin: "{address}", ca_file: "{ca}"}}
profiles:
  default: {{credentials: all, egress: all}}
  narrow: {{credentials: [demo], egress: [{host}]}}
  keyless: {{credentials: [], egress: all}}
"""
OTHER_KEY = "other-real-key-0123456789"
house = shared_house(POLICY, environ={"OTHER_KEY": OTHER_KEY})


def echo(session: Minted, name: str = "demo") -> list[tuple[str, str]]:
    return [("X-Api-Key", session.placeholder(name))]


# -- 407 ----------------------------------------------------------------------------------------------------------


async def test_S39_without_a_session_407_and_the_same_connection_may_try_again(house: House) -> None:
    """As git and curl do: first without credentials, then with them, on the connection that is open."""
    session = house.mint()
    news = News(house)
    async with await house.wire() as wire:
        refused = await wire.connect_tunnel(f"{HOST}:443")
        assert refused.status == 407
        assert refused.header("proxy-authenticate") == 'Basic realm="keyswap"'
        assert "session_required" in refused.reason
        assert "close" not in (refused.header("connection") or "")
        assert (await wire.connect_tunnel(f"{HOST}:443", session.token)).status == 200
        await wire.tls(HOST, ca=house.ca_pem)
        assert (await wire.request("GET", "/echo", HOST, echo(session))).status == 200
    assert [record["decision"]["code"] for record in news.records("refused")] == ["session_required"]


async def test_S39_a_plain_request_may_try_again_too(house: House) -> None:
    session = house.mint()
    url = "http://plain.example.com/echo"
    async with await house.wire() as wire:
        assert (await wire.request("GET", url, "plain.example.com")).status == 407
        signed = [("Proxy-Authorization", basic(session.token))]
        assert (await wire.request("GET", url, "plain.example.com", signed)).status == 200
        # a plain connection carries credentials with each request
        assert (await wire.request("GET", url, "plain.example.com")).status == 407


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC", "Bearer", "bearer"])
async def test_S39_a_token_comes_as_basic_password_or_bearer(house: House, scheme: str) -> None:
    session = house.mint()
    value = basic(session.token)[6:] if scheme.lower() == "basic" else session.token
    async with await house.wire() as wire:
        answer = await wire.connect_tunnel(f"{HOST}:443", fields=[("Proxy-Authorization", f"{scheme} {value}")])
    assert answer.status == 200


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic",
        "Basic !!!",
        "Basic a2V5c3dhcA==",
        "Bearer",
        "Bearer ks_wrong",
        "Digest x",
        "\x80\xff",
        "Basic " + "A" * 900,
    ],
)
async def test_S39_what_is_no_token_is_407(house: House, value: str) -> None:
    async with await house.wire() as wire:
        answer = await wire.connect_tunnel(f"{HOST}:443", fields=[("Proxy-Authorization", value)])
    assert answer.status in (407, 400)


async def test_S39_two_credentials_are_none(house: House) -> None:
    session = house.mint()
    async with await house.wire() as wire:
        fields = [("Proxy-Authorization", basic(session.token))] * 2
        answer = await wire.connect_tunnel(f"{HOST}:443", fields=fields)
    assert answer.status in (407, 400)


async def test_S39_the_token_reaches_no_upstream_on_any_kind_of_request(house: House) -> None:
    session = house.mint()
    house.provider.recorder.forget()
    signed = [("Proxy-Authorization", basic(session.token))]
    async with await house.wire() as wire:
        assert (await wire.request("GET", "http://plain.example.com/echo", "plain.example.com", signed)).status == 200
    async with house.tunnel(HOST, session) as wire:
        assert (await wire.request("GET", "/echo", HOST, [*echo(session), *signed])).status == 200
    for request in house.provider.requests:
        assert request.header("proxy-authorization") is None
        assert not request.holds(session.token.encode())
        assert not request.holds(basic(session.token)[6:].encode())


async def test_S39_guessing_is_slowed_and_a_valid_session_is_not(house: House) -> None:
    session = house.mint()
    throttle = house.running.runtime.throttle
    throttle._marks.clear()
    try:
        took = []
        for number in range(13):
            began = time.monotonic()
            async with await house.wire() as wire:
                assert (await wire.connect_tunnel(f"{HOST}:443", f"ks_{number:043d}")).status == 407
            took.append(time.monotonic() - began)
        assert max(took[:8]) < 0.2
        assert took[-1] > 0.4
        for _ in range(3):
            began = time.monotonic()
            async with house.tunnel(HOST, session) as wire:
                assert (await wire.request("GET", "/echo", HOST, echo(session))).status == 200
            assert time.monotonic() - began < 0.4
        began = time.monotonic()
        async with await house.wire() as wire:
            assert (await wire.connect_tunnel(f"{HOST}:443")).status == 407
        assert time.monotonic() - began < 0.2, "no credentials are no failed attempt"
    finally:
        throttle._marks.clear()


# -- the end of a session -----------------------------------------------------------------------------------------


async def ended_within(wire: Wire, seconds: float) -> bool:
    """Whether the other side ends the connection by itself."""
    try:
        async with asyncio.timeout(seconds):
            return await wire.receive(timeout=seconds) == b""
    except TimeoutError:
        return False


async def test_S32_the_next_request_of_a_revoked_session_is_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request asks anew; that the connection is closed as well is another matter, and held off here."""
    session = house.mint()
    monkeypatch.setattr(Roster, "look", lambda self: None)
    async with house.tunnel(HOST, session) as wire:
        assert (await wire.request("GET", "/echo", HOST, echo(session))).status == 200
        house.running.runtime.sessions.revoke(session.id)
        assert (await wire.request("GET", "/echo", HOST, echo(session))).status == 407
    async with await house.wire() as wire:
        assert (await wire.connect_tunnel(f"{HOST}:443", session.token)).status == 407


async def test_S32_its_tunnels_and_streams_close_within_a_second(house: House) -> None:
    session, neighbour = house.mint(), house.mint()
    news = News(house)
    async with (
        house.tunnel(HOST, session) as idle,
        house.tunnel(HOST, session) as busy,
        house.tunnel(HOST, neighbour) as other,
    ):
        await busy.send(
            f"GET /sse?n=100&delay=0.1 HTTP/1.1\r\nHost: {HOST}\r\n"
            f"X-Api-Key: {session.placeholder('demo')}\r\n\r\n".encode()
        )
        await busy.read_head()
        house.running.runtime.sessions.revoke(session.id)
        began = time.monotonic()
        assert await ended_within(idle, 2)
        await busy.read_to_end()
        assert time.monotonic() - began < 1
        assert (await other.request("GET", "/echo", HOST, echo(neighbour))).status == 200
    await asyncio.sleep(0.3)
    revoked = [record["session"]["id"] for record in news.records("session_revoked")]
    assert (session.id in revoked, neighbour.id in revoked) == (True, False)
    assert all(seen.closed for seen in house.provider.connections if _only_of(house, seen.id, "/sse"))


def _only_of(house: House, connection: int, path: str) -> bool:
    return {request.path for request in house.provider.requests if request.connection == connection} == {path}


async def test_S32_a_session_that_expires_ends_like_a_revoked_one(house: House) -> None:
    session = house.mint(ttl=1)
    async with house.tunnel(HOST, session) as wire:
        assert (await wire.request("GET", "/echo", HOST, echo(session))).status == 200
        assert await ended_within(wire, 3)


async def test_S32_a_revocation_by_another_process_counts_within_a_second(house: House) -> None:
    """As `keyswap session revoke` does it: through the database alone."""
    from keyswap.identity.sessions import Sessions
    from keyswap.store.sqlite import SqliteStore

    session = house.mint()
    async with house.tunnel(HOST, session) as wire:
        assert (await wire.request("GET", "/echo", HOST, echo(session))).status == 200
        elsewhere = Sessions(SqliteStore(house.state_dir / "sessions.db"))
        assert elsewhere.revoke(session.id)
        elsewhere.close()
        began = time.monotonic()
        assert await ended_within(wire, 3)
        assert time.monotonic() - began < 1


async def test_S46_the_lives_of_sessions_are_recorded(house: House) -> None:
    news = News(house)
    session = house.mint(tenant="acme", labels={"team": "search"})
    await asyncio.sleep(0.6)
    house.running.runtime.sessions.revoke(session.id)
    await asyncio.sleep(0.6)
    mine = [(record["event"], record["session"]) for record in news.records() if record["session"]["id"] == session.id]
    told = {"id": session.id, "tenant": "acme", "profile": "default", "labels": {"team": "search"}}
    assert mine == [("session_minted", told), ("session_revoked", told)]


# -- what a profile leaves ----------------------------------------------------------------------------------------


async def test_S40_a_profile_narrows_hosts_and_credentials(house: House) -> None:
    narrow, keyless = house.mint("narrow"), house.mint("keyless")
    assert (await ask(house, f"https://{HOST}/echo", narrow, headers=echo(narrow))).answer.status == 200
    refused = await ask(house, "https://plain.example.com/", narrow)
    assert (refused.answer.status, refused.at) == (403, "connect")
    refused = await ask(house, f"https://{HOST}/echo", keyless, headers=echo(keyless))
    assert (refused.answer.status, refused.code) == (403, "placeholder_misuse")


async def test_S40_a_placeholder_is_good_for_its_own_session_and_host_only(house: House) -> None:
    one, two = house.mint(), house.mint()
    house.provider.recorder.forget()
    for session, headers, host in (
        (one, echo(two), HOST),
        (one, echo(one, "other"), HOST),
        (one, echo(one), "other.example.com"),
    ):
        refused = await ask(house, f"https://{host}/echo", session, headers=headers)
        assert (refused.answer.status, refused.code) == (403, "placeholder_misuse")
    assert house.provider.requests == []


async def test_S40_nothing_of_one_session_is_kept_for_another(house: House) -> None:
    """Two sessions take turns at two hosts: each gets its own placeholder back, and only its own key leaves."""
    sessions = [house.mint(), house.mint("narrow"), house.mint()]
    house.provider.recorder.forget()
    for turn in range(9):
        session = sessions[turn % 3]
        name, host, real = [("demo", HOST, house.key), ("other", "other.example.com", OTHER_KEY.encode())][
            turn % 2 if session is not sessions[1] else 0
        ]
        asked = await ask(house, f"https://{host}/echo?form=raw", session, headers=echo(session, name))
        assert asked.answer.body == session.placeholder(name).encode()[: len(real)].ljust(len(real), b"*")
        assert house.provider.requests[-1].header("x-api-key") == real
        for other in sessions:
            if other is not session:
                assert other.placeholder(name).encode() not in asked.answer.everything


async def test_S40_a_session_of_a_profile_that_is_gone_is_refused(house: House) -> None:
    session = house.mint()
    house.write_policy(POLICY.replace("  default: {{", "  wide: {{"))
    for _ in range(50):
        if "wide" in house.running.runtime.policy.profiles:
            break
        await asyncio.sleep(0.05)
    refused = await ask(house, f"https://{HOST}/echo", session)
    assert refused.answer.status == 407
    house.write_policy(POLICY)
    for _ in range(50):
        if "default" in house.running.runtime.policy.profiles:
            break
        await asyncio.sleep(0.05)
    assert (await ask(house, f"https://{HOST}/echo", session)).answer.status == 200
