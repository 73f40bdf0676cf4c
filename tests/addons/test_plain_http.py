"""S2: over plain http no credential is released, unless it says `plaintext: true`."""

import pytest

from addons.shared import News, ask, shared_house, template
from support.house import House
from support.wire import basic

POLICY = template("""\
version: 1
credentials:
  demo:
    hosts: [both.example.com]
    headers: [X-Api-Key, Authorization]
    placeholder: {prefix: demo-, length: 40}
    env: [DEMO_API_KEY]
    source: file:demo.key
  spoken:
    hosts: ["plain.example.com:80"]
    headers: [X-Api-Key, Authorization]
    placeholder: {prefix: spoken-, length: 48}
    env: [SPOKEN_API_KEY]
    source: file:demo.key
    plaintext: true
egress:
  - {host: both.example.com, schemes: [https, http], ports: [80, 443], pin: "@local", ca_file: "@ca"}
  - {host: plain.example.com, schemes: [http], pin: "@local"}
""")

pytestmark = pytest.mark.asyncio(loop_scope="module")
house = shared_house(POLICY)

BOTH, PLAIN = "both.example.com", "plain.example.com"


@pytest.mark.parametrize(
    ("url", "header", "shape"),
    [
        (f"http://{BOTH}/echo", "X-Api-Key", "{}"),
        (f"http://{BOTH}/echo", "Authorization", "Bearer {}"),
        (f"http://{BOTH}:443/echo", "X-Api-Key", "{}"),
        (f"http://{PLAIN}/echo", "X-Api-Key", "{}"),
        (f"http://{PLAIN}/echo", "Cookie", "key={}"),
    ],
)
async def test_S2_a_placeholder_over_plain_http_is_refused(house: House, url: str, header: str, shape: str) -> None:
    session, news = house.mint(), News(house)
    said = await ask(house, url, session, headers={header: shape.format(session.placeholder("demo"))})
    assert (said.code, said.answer.status) == ("placeholder_misuse", 403)
    assert news.refused("placeholder_misuse")


async def test_S2_a_placeholder_in_basic_over_plain_http_is_refused(house: House) -> None:
    session, news = house.mint(), News(house)
    value = basic(session.placeholder("demo"))
    said = await ask(house, f"http://{BOTH}/echo", session, headers={"Authorization": value})
    assert said.code == "placeholder_misuse"
    assert news.refused("placeholder_misuse")


async def test_S2_the_same_placeholder_is_swapped_over_https(house: House) -> None:
    session, _ = house.mint(), News(house)
    said = await ask(house, f"https://{BOTH}/echo", session, headers={"X-Api-Key": session.placeholder("demo")})
    assert said.answer.status == 200
    [received] = house.provider.requests
    assert received.header("x-api-key") == house.key


async def test_S2_a_request_without_a_placeholder_goes_over_plain_http(house: House) -> None:
    session, news = house.mint(), News(house)
    said = await ask(house, f"http://{BOTH}/echo", session)
    assert said.answer.status == 200
    [received] = house.provider.requests
    assert received.scheme == "http"
    [record] = news.records("request")
    assert record["swaps"] == []


@pytest.mark.parametrize("shape", ["X-Api-Key: {}", "Authorization: Bearer {}"])
async def test_S2_plaintext_true_releases_over_http_to_its_own_host(house: House, shape: str) -> None:
    session, news = house.mint(), News(house)
    name, _, value = shape.format(session.placeholder("spoken")).partition(": ")
    said = await ask(house, f"http://{PLAIN}/echo", session, headers={name: value})
    assert said.answer.status == 200
    [received] = house.provider.requests
    assert received.keys == [house.key]
    assert house.key not in said.answer.everything
    [record] = news.records("request")
    assert [swap["credential"] for swap in record["swaps"]] == ["spoken"]


@pytest.mark.parametrize("url", [f"http://{BOTH}/echo", f"https://{BOTH}/echo"])
async def test_S2_plaintext_true_opens_no_other_host(house: House, url: str) -> None:
    session, news = house.mint(), News(house)
    said = await ask(house, url, session, headers={"X-Api-Key": session.placeholder("spoken")})
    assert said.code == "placeholder_misuse"
    assert news.refused("placeholder_misuse")
