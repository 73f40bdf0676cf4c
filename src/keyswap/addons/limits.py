"""Limits of time: heads that never end, answers that never begin, connections nobody speaks on.

One task looks at all connections once a second. Silence on a whole connection is the engine's own `tcp_timeout`, which
`limits.idle` sets.
"""

import asyncio
import logging
from collections.abc import Callable

from mitmproxy import ctx
from mitmproxy.connection import Client

from keyswap.addons.flight import Clients, ClientState, flight_of
from keyswap.addons.runtime import Runtime

logger = logging.getLogger(__name__)

PERIOD = 0.5
"""Seconds between two looks; a limit is at most so much late."""


class Limits:
    """Ends connections that are over a limit of time."""

    def __init__(self, runtime: Runtime, clients: Clients, abort: Callable[..., None]) -> None:
        self.runtime = runtime
        self.clients = clients
        self.abort = abort
        self._task: asyncio.Task[None] | None = None

    def running(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._watch())

    def done(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            try:
                self.look()
            except Exception as error:  # a look that fails must not be the last one (S30)
                self.runtime.metrics.hook_failures.inc()
                logger.error("the look at limits failed: %s", type(error).__name__)

    def look(self) -> None:
        """Look once."""
        limits = self.runtime.policy.limits
        if ctx.options.tcp_timeout != int(limits.idle):
            ctx.options.update(tcp_timeout=max(1, int(limits.idle)))
        now = self.runtime.clock()
        for client, state in self.clients:
            # Who has shown no session may not hold a connection for longer than it takes to show one.
            unknown = not state.heard or state.session is None
            waiting_since = state.opened if unknown else state.head_since
            if waiting_since is not None and now - waiting_since > limits.client_head:
                self.abort(client)
            else:
                self._check_flights(client, state, now, limits.first_byte)

    def _check_flights(self, client: Client, state: ClientState, now: float, first_byte: float) -> None:
        for flow in list(state.flights.values()):
            flight = flight_of(flow)
            if flight is None or flight.counters.released is None or flight.counters.first_byte is not None:
                continue
            if now - flight.counters.released > first_byte:
                self.abort(client, flow.server_conn)
