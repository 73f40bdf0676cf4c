"""Identify: who is asking. Writes `session` on the Exchange, or leaves it out.

A tunnel is identified by its CONNECT, a plain request by itself; either way every request asks anew whether the
session still lives (S32). A token that is wrong is never helped out by the network it comes from.
"""

import asyncio
from collections.abc import Sequence

from mitmproxy import http

from keyswap.addons.flight import KEY, Clients, ClientState, Flight
from keyswap.addons.runtime import Runtime
from keyswap.exchange import Exchange, Session
from keyswap.identity.token import presented

PROXY_AUTHORIZATION = b"proxy-authorization"


class Identify:
    """The first step of the flow."""

    def __init__(self, runtime: Runtime, clients: Clients) -> None:
        self.runtime = runtime
        self.clients = clients

    async def http_connect(self, flow: http.HTTPFlow) -> None:
        """Open the notebook of a CONNECT."""
        client = self.clients.of(flow.client_conn)
        client.heard = True
        self._open(flow, client, await self._session(client, flow.request))

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Open the notebook of a request."""
        client = self.clients.of(flow.client_conn)
        client.heard = True
        if client.tunnel:
            session = client.session if client.session and self.runtime.alive(client.session) else None
        else:
            session = await self._session(client, flow.request)
        self._open(flow, client, session)
        client.flights[flow.id] = flow

    def _open(self, flow: http.HTTPFlow, client: ClientState, session: Session | None) -> None:
        exchange = Exchange()
        exchange.id = self.runtime.new_id()
        exchange.client = client.peer
        exchange.started = self.runtime.clock()
        situation = self.runtime.situation
        exchange.generation = situation.policy.generation
        if session is not None:
            exchange.session = session
        flow.metadata[KEY] = Flight(exchange, situation)

    async def _session(self, client: ClientState, request: http.Request) -> Session | None:
        values = _values(request)
        if not values:
            return self.runtime.session_by_source(client.peer)
        token = presented(values)
        session = self.runtime.session_by_token(token, client.peer) if token else None
        if session is None:
            await asyncio.sleep(self.runtime.throttle.failed(client.peer))
        return session


def _values(request: http.Request) -> Sequence[bytes]:
    return [value for name, value in request.data.headers.fields if name.lower() == PROXY_AUTHORIZATION]
