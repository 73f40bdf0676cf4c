"""The addon manager that fails closed.

mitmproxy's own manager logs an exception of a hook and lets the traffic pass as if the hook had agreed. Here an
exception refuses the request (or closes the connection), skips nothing that records it, and is told by type only.
It also keeps a table from hook to handlers instead of asking every addon for every event.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable
from typing import Any, cast

from mitmproxy import addonmanager, exceptions, flow, hooks, http
from mitmproxy.connection import Connection

from keyswap.addons import answer

logger = logging.getLogger(__name__)

LIFECYCLE = frozenset({"load", "configure", "running", "done"})

ENGINE_ADDONS = frozenset({"core", "proxyserver", "nextlayer", "tlsconfig", "disableh2c", "errorcheck"})
"""The engine's own addons that still hear about traffic. The others record, replay, modify or serve pages."""

_ENDINGS = frozenset({"done", "client_disconnected", "server_disconnected"})
"""Hooks that let go of things: whoever fails there does not keep the others from it."""

_ANSWERABLE = frozenset({"http_connect", "requestheaders", "request"})
_CLIENT_HOOKS = frozenset(
    {
        "client_connected",
        "tls_clienthello",
        "tls_start_client",
        "tls_established_client",
        "tls_failed_client",
        "next_layer",
    }
)

Handler = Callable[..., Any]


class StrictAddonManager(addonmanager.AddonManager):
    """An AddonManager whose failures refuse.

    `take_over` turns a manager that exists (under `mitmdump`) into this one; `serve` makes it from the start.
    """

    _ours: frozenset[int] = frozenset()
    _table: dict[str, list[Handler]] | None = None
    probing: bool = False
    """Set by the self-test, whose failures are meant and not worth a log line."""
    respond: Callable[[http.HTTPFlow], http.Response] | None = None
    """Makes the answer to a request that a hook's exception has stopped."""
    start_failure: Exception | None = None
    """Why the start, or the end, of this chain failed."""
    on_failure: Callable[[str, Any], None] | None = None
    """Told the hook's name and what it was about, after it was failed closed."""

    @classmethod
    def take_over(cls, manager: addonmanager.AddonManager, ours: Iterable[object]) -> "StrictAddonManager":
        """Make this manager strict in place, and name the addons whose hooks count besides the engine's."""
        manager.__class__ = cls
        strict = cast(StrictAddonManager, manager)
        strict._ours = frozenset(map(id, ours))
        strict._table = {}
        return strict

    def register(self, addon: object) -> object:
        """Register an addon as usual, and forget the table."""
        self._table = {}
        return super().register(addon)

    def remove(self, addon: object) -> None:
        """Remove an addon as usual, and forget the table."""
        self._table = {}
        super().remove(addon)

    def clear(self) -> None:
        """Remove all addons as usual, and forget the table."""
        self._table = {}
        super().clear()

    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        """Call an event's handlers; no `update` event, since nobody here shows flows."""
        await self.trigger_event(event)

    def handlers(self, name: str) -> list[Handler]:
        """The handlers of an event, in the order of the chain."""
        if self._table is None:
            self._table = {}
        found = self._table.get(name)
        if found is None:
            found = self._table[name] = [
                handler
                for addon in addonmanager.traverse(self.chain)
                if name in LIFECYCLE or self._hears_traffic(addon)
                if callable(handler := getattr(addon, name, None))
            ]
        return found

    def _hears_traffic(self, addon: object) -> bool:
        return id(addon) in self._ours or addonmanager._get_name(addon) in ENGINE_ADDONS

    async def trigger_event(self, event: hooks.Hook) -> None:
        """Call every handler in turn; the first that raises fails the event closed and, but for endings, ends it."""
        args = event.args()
        for handler in self.handlers(event.name):
            try:
                result = handler(*args)
                if result is not None and inspect.isawaitable(result):
                    await result
            except exceptions.AddonHalt:
                return
            except asyncio.CancelledError:
                raise
            except exceptions.OptionsError:
                if event.name in LIFECYCLE:
                    raise
                self._failed(event, "OptionsError")
                return
            except Exception as error:
                if event.name in LIFECYCLE:
                    self.start_failure = error
                self._failed(event, type(error).__name__)
                if event.name not in _ENDINGS:
                    return

    def _failed(self, event: hooks.Hook, kind: str) -> None:
        if not self.probing:
            logger.error("hook %s failed: %s", event.name, kind)
        if event.name in LIFECYCLE:
            if event.name in ("configure", "running"):  # a chain that is not set up must not serve
                self.master.should_exit.set()
            return
        self._fail_closed(event.name, event.args()[0])
        if self.on_failure is not None:
            self.on_failure(event.name, event.args()[0])

    def _fail_closed(self, name: str, data: Any) -> None:
        if name in _ANSWERABLE and isinstance(data, http.HTTPFlow):
            if name == "request" and data.server_conn.connected:  # its head and body have left already
                self.abort(data.client_conn, data.server_conn)
            data.request.stream = False
            data.metadata.pop("keyswap.released", None)
            data.response = self._answer(data)
        elif name == "responseheaders" and isinstance(data, http.HTTPFlow):
            self.abort(data.client_conn, data.server_conn)
            if data.killable:
                data.kill()
        elif name == "client_connected":
            data.error = "internal error"
        elif name in _CLIENT_HOOKS:
            self.abort(data.context.client)
        elif name in ("tls_start_server", "tls_established_server"):
            data.ssl_conn = None
            self.abort(data.context.client, data.conn)
        elif name == "server_connect":
            data.server.error = "internal error"
        elif name == "server_connected":
            self.abort(data.client, data.server)
        elif isinstance(data, flow.Flow):  # response, websocket_message, tcp_message, error, …
            message = getattr(getattr(data, "websocket", None), "messages", None)
            if message:
                message[-1].drop()
            self.abort(data.client_conn, data.server_conn)
            if data.killable:  # else the end of an answer, trailers included, goes out in this very turn
                data.kill()

    def _answer(self, flow: http.HTTPFlow) -> http.Response:
        if self.respond is not None:
            try:
                return self.respond(flow)
            except Exception as error:  # the answer is only words; the refusal stands
                logger.error("the answer to a failure failed: %s", type(error).__name__)
        return answer.response(answer.FAILED, "", close=True, bodiless=flow.request.method == "HEAD")

    def abort(self, client: Connection, *upstreams: Connection, spare_client: bool = False) -> None:
        """Close these connections: upstreams at once, the client at the end of a layer's turn that may be under way."""
        server = self.get("proxyserver")
        handler = server.connections.get(client.id) if server is not None else None
        if handler is None:
            return
        for connection in upstreams if spare_client else (*upstreams, client):
            io = handler.transports.get(connection)
            if io is None:
                continue
            if connection is not client and io.writer is not None:
                io.writer.transport.abort()  # what the rest of the turn writes goes nowhere
            else:
                asyncio.get_running_loop().call_soon(_close, handler, connection)

    def close_rest(self, client: Connection) -> None:
        """Close the upstream connections that a client which has gone leaves open.

        The engine cancels their handlers, but one that is cancelled twice ends without closing its connection, which
        then stays open for good.
        """
        server = self.get("proxyserver")
        handler = server.connections.get(client.id) if server is not None else None
        for connection, io in list(handler.transports.items()) if handler is not None else ():
            if connection is not client and io.writer is not None:
                io.writer.transport.abort()

    def trigger(self, event: hooks.Hook) -> None:
        """Call an event's handlers in a synchronous context; used by the engine for options."""
        for handler in self.handlers(event.name):
            try:
                handler(*event.args())
            except exceptions.AddonHalt:
                return


def _close(handler: Any, connection: Connection) -> None:
    if connection in handler.transports:
        handler.close_connection(connection)
