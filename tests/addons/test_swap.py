"""The swap, on the wire."""

from support.house import HOST, House


async def test_S17_a_placeholder_becomes_the_real_value_on_the_way_out(house: House) -> None:
    session = house.mint()
    async with house.tunnel(HOST, session) as wire:
        answer = await wire.request("GET", "/echo", HOST, [("X-Api-Key", session.placeholder("demo"))])
    assert answer.status == 200
    [received] = house.provider.requests
    assert received.header("x-api-key") == house.key
    assert not received.holds(session.placeholder("demo").encode())


async def test_S26_the_answer_that_quotes_the_key_quotes_the_placeholder(house: House) -> None:
    session = house.mint()
    async with house.tunnel(HOST, session) as wire:
        answer = await wire.request("GET", "/echo", HOST, [("X-Api-Key", session.placeholder("demo"))])
    assert house.key not in answer.everything
    assert session.placeholder("demo").encode() in answer.body
