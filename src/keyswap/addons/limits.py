"""Limits of time: heads that never end, answers that never begin, connections nobody speaks on.

Silence on a whole connection is the engine's own `tcp_timeout`, which `limits.idle` sets.
"""

from collections.abc import Callable

from mitmproxy import ctx
from mitmproxy.connection import Client

from keyswap.addons.flight import Clients, ClientState, flight_of
from keyswap.addons.options import idle_seconds
from keyswap.addons.periodic import Periodic
from keyswap.addons.runtime import Runtime


class Limits(Periodic):
    """Ends connections that are over a limit of time, at most one period late."""

    period = 0.5
    subject = "limits"

    def __init__(self, runtime: Runtime, clients: Clients, abort: Callable[..., None]) -> None:
        super().__init__(runtime)
        self.clients = clients
        self.abort = abort

    def look(self) -> None:
        """Look once."""
        limits = self.runtime.policy.limits
        if ctx.options.tcp_timeout != idle_seconds(limits):
            ctx.options.update(tcp_timeout=idle_seconds(limits))
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
