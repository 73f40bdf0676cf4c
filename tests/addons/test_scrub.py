"""What comes back, on the wire: every form, every place, every framing (S26, S27, S28)."""

import asyncio
import json
import ssl

import pytest

from addons.logged import logged
from addons.shared import shared_house
from support.call import Call
from support.encode import FORMS
from support.house import HOST, House, Minted
from support.provider import Provider
from support.wire import Closed, Wire, WireResponse, basic
from support.wire_h2 import StreamBroken, Wire2

KEY = b'p&ss=w"o\\rd%7d$1/' + b"k" * 20 + b"ey?~"
"""A value that every encoding has to escape somewhere (S25)."""

WORDS = b"the quick brown fox jumps over the lazy dog. " * 40


pytestmark = pytest.mark.asyncio(loop_scope="module")
house = shared_house(key=KEY)


@pytest.fixture(autouse=True)
def forgotten(house: House) -> None:
    """Each test begins with an empty record at the provider."""
    house.provider.recorder.forget()


@pytest.fixture
def provider(house: House) -> Provider:
    return house.provider


async def ask(house: House, session: Minted, target: str, method: str = "GET") -> WireResponse:
    """One request with the session's placeholder, and its answer."""
    async with house.tunnel(HOST, session) as wire:
        return await wire.request(method, target, HOST, [("X-Api-Key", session.placeholder("demo"))])


def get(target: str, session: Minted) -> bytes:
    """The bytes of a GET, for a client that reads the answer piece by piece."""
    return f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\nX-Api-Key: {session.placeholder('demo')}\r\n\r\n".encode()


def masked(session: Minted, size: int) -> bytes:
    """What stands where `size` bytes of a key stood."""
    return session.placeholder("demo").encode()[:size].ljust(size, b"*")


def holds_key(data: bytes, key: bytes) -> list[str]:
    """The forms of `key` that `data` holds, without the characters that a neighbour decides."""
    return [name for name, form in FORMS.items() if form(key).rstrip(b"=")[4:-4] in data]


# -- every form, every place --------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["body", "header", "location"])
async def test_S27_every_form_in_every_place_comes_back_as_the_placeholder(house: House, place: str) -> None:
    session = house.mint()
    async with house.tunnel(HOST, session) as wire:
        for form, written in FORMS.items():
            target = f"/echo?form={form}&in={place}"
            answer = await wire.request("GET", target, HOST, [("X-Api-Key", session.placeholder("demo"))])
            found = {"body": answer.body, "header": answer.header("x-echo"), "location": answer.header("location")}
            said = found[place]
            text = said.encode("latin-1") if isinstance(said, str) else said or b""
            assert holds_key(answer.everything, KEY) == [], form
            assert session.placeholder("demo").encode()[2:20] in text, form
            prefix = b"https://elsewhere.example.com/next?key=" if place == "location" else b""
            assert len(text) == len(prefix) + len(written(KEY)), form


async def test_S26_an_error_page_of_the_upstream_is_scrubbed(house: House) -> None:
    session = house.mint()
    answer = await ask(house, session, "/echo?form=raw&status=500")
    assert (answer.status, answer.body) == (500, masked(session, len(KEY)))


async def test_S26_a_key_in_both_halves_of_basic_is_scrubbed(house: House) -> None:
    session = house.mint()
    placeholder = session.placeholder("demo")
    async with house.tunnel(HOST, session) as wire:
        answer = await wire.request("GET", "/echo", HOST, [("Authorization", basic(placeholder, user="git"))])
        other = await wire.request("GET", "/echo", HOST, [("Authorization", basic("x", user=placeholder))])
    seen = [request.keys for request in house.provider.requests]
    assert seen == [[b"git", house.key], [house.key, b"x"]]
    for one in (answer, other):
        assert holds_key(one.everything, house.key) == []
        assert placeholder.encode() in one.body


async def test_S26_the_reason_phrase_and_odd_headers_are_scrubbed_too(house: House, provider: Provider) -> None:
    async def reply(call: Call) -> None:
        key = call.request.keys[0]
        await call.garbage(
            b"HTTP/1.1 200 %b\r\nset-cookie: k=%b\r\nserver: %b\r\ncontent-type: text/%b\r\n"
            b"content-length: 2\r\nconnection: close\r\n\r\nok" % (key, key, key, key),
            (),
        )

    provider.route("/reply", reply)
    session = house.mint()
    answer = await ask(house, session, "/reply")
    assert (answer.status, answer.body) == (200, b"ok")
    assert house.key not in answer.everything
    assert answer.everything.count(session.placeholder("demo").encode()) >= 3


async def test_S27_a_value_of_another_upstream_is_not_searched_for(house: House) -> None:
    """An answer is searched for what may be released to that upstream, nothing else."""
    session = house.mint()
    async with house.tunnel("plain.example.com", session) as wire:
        answer = await wire.request("POST", "/echo?body64=1", "plain.example.com", body=house.key)
    assert FORMS["base64"](house.key) in answer.body


# -- HTTP/2 -------------------------------------------------------------------------------------------------------


async def test_S26_headers_body_and_trailers_of_http2_are_scrubbed(house: House) -> None:
    session = house.mint()
    placeholder = session.placeholder("demo")
    async with house.tunnel(HOST, session, alpn="h2") as wire:
        client = await Wire2.start(wire)
        for place in ("trailer", "header", "body", "location"):
            answer = await client.request("GET", f"/echo?form=raw&in={place}", HOST, [("x-api-key", placeholder)])
            assert answer.complete
            assert house.key not in answer.everything, place
            assert placeholder.encode() in answer.everything, place
            if place == "trailer":
                assert dict(answer.trailers)[b"x-echo"] == masked(session, len(house.key))
    assert {request.version for request in house.provider.requests} == {"HTTP/2.0"}
    assert all(request.header("x-api-key") == house.key for request in house.provider.requests)


async def test_S29_trailers_of_http1_are_dropped(house: House) -> None:
    session = house.mint()
    async with house.tunnel(HOST, session) as wire:
        headers = [("X-Api-Key", session.placeholder("demo"))]
        answer = await wire.request("GET", "/echo?form=raw&in=trailer", HOST, headers)
        again = await wire.request("GET", "/status/200", HOST, headers)
    assert (answer.complete, answer.trailers, again.status) == (True, (), 200)
    assert house.key not in answer.everything


# -- streams ------------------------------------------------------------------------------------------------------


async def test_S26_events_arrive_one_by_one_and_unharmed(house: House) -> None:
    """Each event is there long before the next is sent."""
    session = house.mint()
    loop = asyncio.get_running_loop()
    async with house.tunnel(HOST, session) as wire:
        await wire.send(get("/sse?n=6&delay=0.25", session))
        status, _, _, _ = await wire.read_head()
        assert status == 200
        text, arrived = b"", []
        while b"0\r\n\r\n" not in text[-8:]:
            text += await wire.receive()
            arrived += [loop.time()] * (text.count(b"data: ") - len(arrived))
    sent = [json.loads(line[6:])["at"] for line in text.split(b"\n") if line.startswith(b"data: ")]
    assert [json.loads(line[6:])["i"] for line in text.split(b"\n") if line.startswith(b"data: ")] == list(range(6))
    assert all(there - gone < 0.2 for there, gone in zip(arrived, sent, strict=True))


async def test_S26_an_event_that_quotes_the_key_is_whole_before_the_next_is_sent(
    house: House, provider: Provider
) -> None:
    async def reply(call: Call) -> None:
        await call.start(200, [(b"content-type", b"text/event-stream")])
        for number in range(3):
            await call.send(b"data: %d %b\n\n" % (number, call.request.keys[0]))
            await asyncio.sleep(0.3)
        await call.end()

    provider.route("/reply", reply)
    session = house.mint()
    async with house.tunnel(HOST, session) as wire:
        await wire.send(get("/reply", session))
        await wire.read_head()
        first = await wire.receive(timeout=5)
    assert first.split(b"\r\n")[1] == b"data: 0 %b\n\n" % masked(session, len(house.key))


async def test_S26_the_first_byte_is_not_held_back(house: House, provider: Provider) -> None:
    """Even one byte goes out at once, unless a form begins with it."""

    async def reply(call: Call) -> None:
        await call.start(200)
        await call.send(b"!")
        await asyncio.sleep(1.5)
        await call.send(b"done")
        await call.end()

    provider.route("/reply", reply)
    session = house.mint()
    loop = asyncio.get_running_loop()
    async with house.tunnel(HOST, session) as wire:
        await wire.send(get("/reply", session))
        began = loop.time()
        await wire.read_head()
        assert b"!" in await wire.receive()
        assert loop.time() - began < 1.2


@pytest.mark.parametrize("form", ["raw", "base64-shift1", "json-unicode", "percent-lower"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 31])
async def test_S26_a_key_is_found_wherever_the_chunks_split_it(house: House, form: str, size: int) -> None:
    session = house.mint()
    answer = await ask(house, session, f"/echo?form={form}&split={size}")
    assert answer.complete
    assert holds_key(answer.everything, KEY) == []
    assert len(answer.body) == len(FORMS[form](KEY))
    assert session.placeholder("demo").encode()[2:20] in answer.body


# -- malformed answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["header", "status", "chunk", "extra"])
@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
async def test_S26_a_key_in_a_malformed_answer_reaches_neither_client_nor_log(
    house: House, kind: str, alpn: str
) -> None:
    session = house.mint()
    placeholder = session.placeholder("demo")
    with logged(house) as log:
        async with house.tunnel(HOST, session, alpn=alpn) as wire:
            answer: WireResponse | None = None
            try:
                if alpn == "h2":
                    client = await Wire2.start(wire)
                    answer = await client.request("GET", f"/malformed?kind={kind}", HOST, [("x-api-key", placeholder)])
                else:
                    answer = await wire.request("GET", f"/malformed?kind={kind}", HOST, [("X-Api-Key", placeholder)])
                    await wire.read_to_end(timeout=2)
            except (Closed, StreamBroken, TimeoutError):
                pass
            assert house.key not in wire.everything
    [received] = house.provider.requests
    assert received.header("x-api-key") == house.key
    if answer is not None and answer.status >= 500:
        assert json.loads(answer.body)["code"] == "upstream_failed"
    assert holds_key(log.getvalue().encode(), house.key) == []


# -- whose placeholder, which values ------------------------------------------------------------------------------


async def test_S26_each_session_gets_its_own_placeholder_back(house: House) -> None:
    one, two = house.mint(), house.mint()
    for session in (one, two, one, two):
        answer = await ask(house, session, "/echo?form=raw")
        assert answer.body == masked(session, len(house.key))
    assert one.placeholder("demo") != two.placeholder("demo")


async def test_S26_an_older_version_of_a_rotated_key_is_still_scrubbed(house: House, provider: Provider) -> None:
    keys: list[bytes] = []

    async def reply(call: Call) -> None:
        keys.extend(call.request.keys)
        await call.whole(200, b"; ".join(keys), b"text/plain")

    provider.route("/reply", reply)
    session = house.mint()
    old = house.key
    await ask(house, session, "/reply")
    house.write_key(b"real-newer-0123456789abcdef")
    await asyncio.sleep(0.1)
    answer = await ask(house, session, "/reply")
    assert keys == [old, b"real-newer-0123456789abcdef"]
    assert answer.body == masked(session, len(old)) + b"; " + masked(session, len(keys[1]))
    house.write_key(old)
    await asyncio.sleep(0.1)


async def test_S26_an_upstreams_own_session_headers_do_not_come_back(house: House, provider: Provider) -> None:
    """A 407 of an upstream would ask the client for its session token."""

    async def reply(call: Call) -> None:
        await call.whole(407, b"", b"text/plain", [(b"proxy-authenticate", b'Basic realm="give"')])

    provider.route("/reply", reply)
    session = house.mint()
    answer = await ask(house, session, "/reply")
    assert (answer.status, answer.header("proxy-authenticate")) == (407, None)


async def test_S26_words_without_a_key_arrive_as_they_are(house: House, provider: Provider) -> None:
    async def reply(call: Call) -> None:
        await call.whole(200, WORDS, b"text/plain")

    provider.route("/reply", reply)
    session = house.mint()
    assert (await ask(house, session, "/reply")).body == WORDS


async def test_S28_a_client_that_sees_the_scrubbed_answer_can_verify_tls(house: House) -> None:
    session = house.mint()
    wire: Wire
    async with house.tunnel(HOST, session) as wire:
        assert wire.ssl_object.context.verify_mode == ssl.CERT_REQUIRED
