"""Route: where it is really sent. Writes `upstream`, and has its addresses checked before any value is looked up."""

from mitmproxy import http

from keyswap.addons.dial import Dialer
from keyswap.addons.flight import flight_of
from keyswap.exchange import Authority, Rule, Upstream
from keyswap.policy.hosts import HostPattern
from keyswap.policy.model import Entry


class Route:
    """The third step of the flow. Without a gateway, a request is sent where the client addressed it: U = A."""

    def __init__(self, dialer: Dialer) -> None:
        self.dialer = dialer

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Write the upstream and ask for leave to dial it (row 10)."""
        flight = flight_of(flow)
        if flight is None or flight.exchange.get("refusal") is not None:
            return
        ask = flight.exchange.ask
        if ask.authority is None:
            return
        entry = flight.entry or _observed(ask.authority)
        refusal = await self.dialer.permit(flow.client_conn.id, ask.authority, entry)
        if refusal is not None:
            flight.exchange.refusal = refusal
            return
        flight.exchange.upstream = Upstream(ask.scheme, ask.authority)


def _observed(authority: Authority) -> Entry:
    """What `mode: observe` lets through unlisted is dialled as by an entry that opens nothing."""
    host = HostPattern.parse(authority.host)
    return Entry(Rule("observe", 0, ""), host, frozenset({authority.port}), frozenset({"https", "http"}))
