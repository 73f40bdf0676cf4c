"""An upstream connection serves the requests that would be dialled in the same way, and no others.

The engine takes any open connection of a client to the same host and port. Two entries of one host may name different
addresses or CA files, and an edit of the policy may move an address away from where it should never have been; the
value of a request must then not go over the connection that was opened before (S4, S17).
"""

from collections.abc import Callable, Hashable, MutableMapping
from typing import Any

from mitmproxy import http
from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, layer
from mitmproxy.proxy.layers.http import GetHttpConnection

Commands = layer.CommandGenerator[Any]
Ways = MutableMapping[Connection, Hashable]
"""How each upstream connection was dialled."""

_WAY = "keyswap_way"


def asking(original: Callable[..., Any], way_of: Callable[[http.HTTPFlow], Hashable]) -> Callable[..., Commands]:
    """`HttpStream.make_server_connection` that says how its request would be dialled."""

    def make_server_connection(self: Any) -> Commands:
        wanted, reply = original(self), None
        while True:
            try:
                command = wanted.send(reply)
            except StopIteration as end:
                return end.value
            if isinstance(command, GetHttpConnection):
                setattr(command, _WAY, way_of(self.flow))
            reply = yield command

    return make_server_connection


def opening(original: Callable[..., Any], ways: Ways) -> Callable[..., Commands]:
    """`HttpLayer.get_connection` that keeps how a new connection is dialled."""

    def get_connection(self: Any, event: Any, *, reuse: bool = True) -> Commands:
        # None of these commands waits for an answer here: the engine brings it as an event.
        for command in original(self, event, reuse=reuse):
            if isinstance(command, commands.OpenConnection):
                ways[command.connection] = getattr(event, _WAY, None)
            yield command

    return get_connection


def matching(original: Callable[..., bool], ways: Ways) -> Callable[..., bool]:
    """`GetHttpConnection.connection_spec_matches` that asks for the same way, too."""

    def connection_spec_matches(self: Any, connection: Connection) -> bool:
        return original(self, connection) and ways.get(connection) == getattr(self, _WAY, None)

    return connection_spec_matches
