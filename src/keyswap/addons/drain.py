"""The orderly end: no new connections, open requests finish, the rest is closed, the end is recorded (S34)."""

import asyncio

from keyswap.addons.attach import Attached

LOOK_EVERY = 0.02
"""Seconds between two looks."""
CLOSING_LIMIT = 2.0
"""Seconds for closed connections to write their last record."""


async def drain(attached: Attached, seconds: float) -> None:
    """Stop listening, wait up to `seconds` for open requests, close every connection, and end the master."""
    runtime, manager = attached.runtime, attached.manager
    server = manager.get("proxyserver")
    runtime.draining = True
    await server.servers.update([])
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    # What ends is counted by many hooks; a look 50 times a second is cheap.
    while loop.time() < end and any(state.flights for _, state in attached.chain.clients):  # noqa: ASYNC110
        await asyncio.sleep(LOOK_EVERY)
    for handler in list(server.connections.values()):
        if handler.client in handler.transports:
            handler.close_connection(handler.client)
    end = loop.time() + CLOSING_LIMIT
    while loop.time() < end and server.connections:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_EVERY)
    manager.master.shutdown()
