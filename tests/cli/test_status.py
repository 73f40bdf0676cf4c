"""The status listener: three paths, one line, nothing else."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from keyswap.cli.status import Status


@pytest.fixture
async def checks() -> dict[str, bool]:
    return {"policy": True, "ca": True}


@pytest.fixture
async def address(checks: dict[str, bool]) -> AsyncIterator[tuple[str, int]]:
    status = Status(lambda: b"keyswap_requests_total 1\n", lambda: checks)
    yield await status.start("127.0.0.1", 0)
    await status.stop()


async def ask(address: tuple[str, int], raw: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(raw)
    answer = await asyncio.wait_for(reader.read(), 8)
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/healthz", 200, b"ok\n"),
        ("/readyz", 200, b"policy: ok\nca: ok\n"),
        ("/metrics", 200, b"keyswap_requests_total 1\n"),
        ("/healthz?now", 200, b"ok\n"),
        ("/", 404, b"/healthz, /readyz and /metrics\n"),
        ("/mitmproxy-ca.pem", 404, b"/healthz, /readyz and /metrics\n"),
        ("/../../etc/passwd", 404, b"/healthz, /readyz and /metrics\n"),
    ],
)
async def test_it_answers_three_paths(address: tuple[str, int], path: str, status: int, body: bytes) -> None:
    answer = await ask(address, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert rest == body
    assert f"Content-Length: {len(body)}".encode() in head


async def test_it_is_not_ready_where_one_thing_is_not(address: tuple[str, int], checks: dict[str, bool]) -> None:
    checks["ca"] = False
    answer = await ask(address, b"GET /readyz HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.endswith(b"policy: ok\nca: failed\n")


async def test_head_has_no_body_and_post_is_not_answered(address: tuple[str, int]) -> None:
    assert (await ask(address, b"HEAD /healthz HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")
    assert (await ask(address, b"POST /healthz HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 405 ")
    assert (await ask(address, b"HEAD /nowhere HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("raw", [b"x" * 10_000 + b"\r\n\r\n", b"\r\n\r\n", b"\x00\xff\r\n\r\n", b"GET\r\n\r\n"])
async def test_S38_junk_ends_the_connection(address: tuple[str, int], raw: bytes) -> None:
    try:
        answer = await ask(address, raw)
    except ConnectionError:
        answer = b""
    assert not answer or answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 405 "))


async def test_S38_a_client_that_says_nothing_is_sent_away(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyswap.cli.status.PATIENCE", 0.2)
    assert await asyncio.wait_for(ask(address, b"GET /hea"), 2) == b""
