"""The audit of a house that stops, breaks and is tampered with: each test has one of its own (S33, S45, S46)."""

from pathlib import Path
from typing import Any

import pytest

from addons.shared import ask, open_house
from keyswap.audit.file import LogFile
from keyswap.audit.verify import verify
from keyswap.errors import AuditError
from support.house import HOST, POLICY, House, Minted


def key(session: Minted) -> list[tuple[str, str]]:
    return [("X-Api-Key", session.placeholder("demo"))]


def log_file(house: House) -> Path:
    return house.state_dir / "audit.jsonl"


async def test_S33_machine_durability_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `durability: machine` the release waits for fdatasync; where that fails, it is refused."""
    async with open_house(tmp_path, POLICY + "audit: {{durability: machine}}\n") as other:
        session = other.mint()
        async with other.tunnel(HOST, session) as wire:
            assert (await wire.request("GET", "/echo", HOST, key(session))).status == 200
            assert verify(log_file(other), state_dir=other.state_dir).ok
            with monkeypatch.context() as patched:

                def fails(self: Any, *about: object) -> None:
                    raise AuditError("the disk is gone")

                patched.setattr(LogFile, "sync", fails)
                patched.setattr("os.fdatasync", _no_space)
                before = len(other.provider.requests)
                answer = await wire.request("GET", "/echo", HOST, key(session))
                assert answer.status == 503
                assert len(other.provider.requests) == before


def _no_space(descriptor: int) -> None:
    raise OSError(28, "No space left on device")


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
