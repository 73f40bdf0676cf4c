"""Public addresses in a test: each leads to the provider on loopback, and what was dialled is remembered."""

import asyncio
from typing import Any

PUBLIC, OTHER_PUBLIC, PUBLIC_6 = "93.184.215.14", "93.184.215.15", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
"""Real ones, since those for documentation are denied; no packet is sent there."""


class Internet:
    """Every address that a test may meet beyond loopback leads to the provider; what was dialled is remembered."""

    def __init__(self) -> None:
        self.dialled: list[tuple[str, int]] = []
        self.port = 0

    def take_over(self, loop: asyncio.AbstractEventLoop) -> None:
        original = loop.create_connection

        async def create_connection(factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
            if host is None or str(host) == "127.0.0.1":
                return await original(factory, host, port, **options)
            self.dialled.append((str(host), port))
            return await original(factory, "127.0.0.1", self.port, **options)

        setattr(loop, "create_connection", create_connection)  # noqa: B010
