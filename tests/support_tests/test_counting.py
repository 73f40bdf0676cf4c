"""The counters count: they would see the question or the connection that must not happen."""

import asyncio
import socket

import pytest

from support.counting import CountingListener, CountingResolver


async def test_the_resolver_counts_questions_and_asks_nobody() -> None:
    loop = asyncio.get_running_loop()
    with CountingResolver(loop, {"a.example.com": ["192.0.2.1", "2001:db8::1"]}) as resolver:
        found = await loop.getaddrinfo("a.example.com", 443, type=socket.SOCK_STREAM)
        assert [info[4][0] for info in found] == ["192.0.2.1", "2001:db8::1"]
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("elsewhere.example.com", 443)
        await loop.getaddrinfo("127.0.0.1", 1)
    assert resolver.questions == ["a.example.com", "elsewhere.example.com"]
    assert resolver.count == 2


async def test_the_resolver_answers_in_turns() -> None:
    loop = asyncio.get_running_loop()
    with CountingResolver(loop, {"a.example.com": [["192.0.2.1"], ["127.0.0.1"]]}):
        seen = [(await loop.getaddrinfo("a.example.com", 1))[0][4][0] for _ in range(3)]
    assert seen == ["192.0.2.1", "127.0.0.1", "127.0.0.1"]


async def test_the_resolver_is_asked_by_a_connection() -> None:
    with (
        CountingListener() as listener,
        CountingResolver(asyncio.get_running_loop(), {"a.example.com": ["127.0.0.1"]}) as resolver,
    ):
        _, writer = await asyncio.open_connection("a.example.com", listener.port)
        writer.close()
        assert (resolver.count, listener.count) == (1, 1)


async def test_the_loop_is_left_as_it_was() -> None:
    loop = asyncio.get_running_loop()
    with CountingResolver(loop):
        assert "getaddrinfo" in vars(loop)
    assert "getaddrinfo" not in vars(loop)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_listener_counts_connections_and_keeps_what_they_say(host: str) -> None:
    with CountingListener(host) as listener:
        assert listener.count == 0
        with socket.create_connection((host, listener.port)) as connection:
            connection.sendall(b"hello")
            assert listener.count == 1
            assert listener.received() == b"hello"
        assert listener.count == 1
