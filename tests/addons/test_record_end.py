"""The audit of a house that stops, breaks and is tampered with: each test has one of its own (S33, S45, S46)."""

from pathlib import Path

from addons.shared import ask, open_house
from keyswap.audit.verify import verify
from support.house import HOST, House, Minted


def key(session: Minted) -> list[tuple[str, str]]:
    return [("X-Api-Key", session.placeholder("demo"))]


def log_file(house: House) -> Path:
    return house.state_dir / "audit.jsonl"


async def test_S46_a_request_that_runs_while_the_proxy_stops_is_ended(tmp_path: Path) -> None:
    async with open_house(tmp_path) as other:
        session = other.mint()
        async with other.tunnel(HOST, session) as wire:
            await wire.send(f"GET /sse?n=100 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            await wire.read_head()
            await other.running.stop(drain=0)
        events = [record["event"] for record in other.records()]
        assert events.count("request") == events.count("response") == 1
        assert events[-2:] == ["stopped", "checkpoint"]
        assert verify(log_file(other), state_dir=other.state_dir).ok


async def test_S45_what_was_written_verifies_and_a_change_is_found(tmp_path: Path) -> None:
    async with open_house(tmp_path) as other:
        session = other.mint()
        for path in ("/echo", "/status/404"):
            await ask(other, f"https://{HOST}{path}", session, headers=key(session))
        await ask(other, "https://unlisted.example.com/", session)
        await other.running.stop(drain=0)
        file = log_file(other)
        assert verify(file, state_dir=other.state_dir).ok
        lines = file.read_text().splitlines(keepends=True)
        at = next(number for number, line in enumerate(lines) if '"event":"request"' in line)
        for changed in (
            [*lines[:at], lines[at].replace(HOST, "api.evil.example"), *lines[at + 1 :]],
            [*lines[:at], *lines[at + 1 :]],
            [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]],
            [*lines[:at], lines[at], lines[at], *lines[at + 1 :]],
            lines[:-1],
        ):
            file.write_text("".join(changed))
            assert not verify(file, state_dir=other.state_dir).ok
