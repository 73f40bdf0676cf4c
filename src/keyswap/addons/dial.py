"""The one dial guard: nothing is resolved or dialled without a permit, and what is dialled was checked.

`Dialer.permit` is asked after the verdict and before any value is looked up: it resolves the name once, checks every
address (S4) and keeps the result for the client's connection. `guard_loop` replaces `loop.create_connection`, through
which every upstream connection of the engine passes; it looks up the permit of the dialling client and connects to the
checked addresses only. A dial of the engine without a permit is refused there, whatever hook failed before.
"""

import asyncio
import contextvars
import ipaddress
import socket
import weakref
from collections.abc import Awaitable, Callable, Hashable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from mitmproxy.connection import Connection, Server
from mitmproxy.proxy import mode_servers

from keyswap import log
from keyswap.exchange import Authority, Code, Refusal
from keyswap.policy import addresses
from keyswap.policy.model import Address, Entry

logger = log.get(__name__)

FRESH_FOR = 30.0
"""Seconds for which a connection's checked addresses are used for a new dial; older ones are resolved and checked anew,
so that a client that stays for hours follows the name as it moves."""

_DIALLING: contextvars.ContextVar[tuple[str, Server] | None] = contextvars.ContextVar("keyswap_dialling", default=None)
"""The id of the client connection on whose behalf the engine is dialling, and what; None: not an upstream dial."""

HELD = 64
"""Permits kept for one client connection: one that asks for ever new names below a wildcard costs no more."""

Resolve = Callable[[str, int], Awaitable[list[Address]]]


class DialRefused(OSError):
    """A dial that has no permit, or whose address may not be reached. The text holds canonical names only."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave for one client connection to dial one authority, at these addresses."""

    authority: Authority
    entry: Entry
    addresses: tuple[Address, ...]
    port: int
    """The port to dial: the authority's, or the entry's `pin` port."""
    checked_at: float
    """Loop time in seconds."""


@dataclass(slots=True)
class Dialer:
    """Hands out permits and holds them per client connection."""

    connect_timeout: Callable[[], float]
    own_listeners: Callable[[], Iterable[tuple[str, int]]]
    resolve: Resolve | None = None
    """Replaces the system's resolver, in tests."""
    ways: MutableMapping[Connection, Hashable] = field(default_factory=weakref.WeakKeyDictionary)
    """How each upstream connection is dialled, as `way_of` says; filled by `reuse`."""
    _permits: dict[str, dict[tuple[str, int, Hashable], Permit]] = field(default_factory=dict)
    _loop: asyncio.AbstractEventLoop | None = None

    async def permit(self, client_id: str, authority: Authority, entry: Entry) -> Refusal | None:
        """Resolve and check `authority` for this client connection; None: it may be dialled."""
        held = self._permits.get(client_id, {}).get((authority.host, authority.port, way_of(entry)))
        now = asyncio.get_running_loop().time()
        if held is not None and now - held.checked_at < FRESH_FOR:
            return None
        return await self._check(client_id, authority, entry)

    async def _check(self, client_id: str, authority: Authority, entry: Entry) -> Refusal | None:
        port = authority.port if entry.pin_port is None else entry.pin_port
        # Taken before the wait: what is written for a client that leaves meanwhile goes where nobody keeps it.
        permits = self._permits.setdefault(client_id, {})
        try:
            found = await self._addresses(authority, entry)
        except OSError:
            return Refusal(
                Code.UPSTREAM_FAILED,
                f"{authority.host} does not resolve",
                "check the name, and the proxy's DNS",
                entry.rule,
            )
        for address in found:
            why = addresses.refusal_of(address, private=entry.private, pin=entry.pin)
            if why is not None:
                # Which address that is, the log says: a sandbox must not map our network by asking for names.
                logger.warning("address_denied", host=authority.host, what=why)
                return Refusal(
                    Code.ADDRESS_DENIED,
                    f"{authority.host} resolves to an address that is not public",
                    "if that is meant, open its range with private: [...] on the entry",
                    entry.rule,
                )
            if self._is_own(address, port):
                return Refusal(
                    Code.LOOP, f"{authority} is this proxy itself", "address the upstream instead", entry.rule
                )
        now = asyncio.get_running_loop().time()
        key = (authority.host, authority.port, way_of(entry))
        permits.pop(key, None)  # the latest stands last
        permits[key] = Permit(authority, entry, tuple(found), port, now)
        if len(permits) > HELD:
            del permits[next(iter(permits))]
        return None

    async def _addresses(self, authority: Authority, entry: Entry) -> list[Address]:
        if entry.pin is not None:
            return [entry.pin]
        try:
            return [ipaddress.ip_address(authority.host)]
        except ValueError:
            pass
        async with asyncio.timeout(self.connect_timeout()):
            found = await (self.resolve or _system_resolve)(authority.host, authority.port)
        if not found:
            raise OSError("no address")
        return found

    def _is_own(self, address: Address, port: int) -> bool:
        for host, own_port in self.own_listeners():
            if port != own_port:
                continue
            own = ipaddress.ip_address(host)
            if own == address or (own.is_unspecified and _is_local(address)):
                return True
        return False

    def forget(self, client_id: str) -> None:
        """Drop a client connection's permits."""
        self._permits.pop(client_id, None)

    def permitted(self, client_id: str, server: Server) -> Permit | None:
        """The permit this client connection holds for that upstream connection."""
        held = self._permits.get(client_id, {})
        if server.address is None:
            return None
        host, port = server.address[:2]
        if server in self.ways:
            return held.get((host, port, self.ways[server]))
        # What is relayed unopened is dialled for no request.
        return next((held[key] for key in reversed(held) if key[:2] == (host, port)), None)

    # -- the guard itself ---------------------------------------------------------------------------------------

    def guard_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Police every upstream dial of this loop from now on. Undone by `release_loop`."""
        if self._loop is not None:
            return
        original = loop.create_connection

        async def create_connection(factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
            dialling = _DIALLING.get()
            if dialling is None:
                return await original(factory, host, port, **options)
            if dialling[1].address is None or dialling[1].address[:2] != (host, port):
                raise DialRefused("no permit for this destination")
            return await self._dial(original, *dialling, factory, options)

        setattr(loop, "create_connection", create_connection)  # noqa: B010  # a method of this one loop is replaced
        self._loop = loop

    def release_loop(self) -> None:
        """Give the loop its own `create_connection` back."""
        if self._loop is not None:
            del self._loop.create_connection
            self._loop = None

    async def _dial(self, original: Any, client_id: str, server: Server, factory: Any, options: dict[str, Any]) -> Any:
        permit = self.permitted(client_id, server)
        if permit is None:
            raise DialRefused("no permit for this destination")
        loop = asyncio.get_running_loop()
        if loop.time() - permit.checked_at >= FRESH_FOR:
            refusal = await self._check(client_id, permit.authority, permit.entry)
            if refusal is not None:
                raise DialRefused(refusal.reason)
            permit = self.permitted(client_id, server) or permit
        failure: OSError = OSError("no address")
        for address in permit.addresses:
            try:
                async with asyncio.timeout(self.connect_timeout()):
                    return await original(factory, str(address), permit.port, **options)
            except OSError as error:
                failure = error
        raise failure


def mark_dials() -> Callable[[], None]:
    """Let the engine's upstream dials be recognised as such; returns the call that undoes it.

    Replaces `ProxyConnectionHandler.open_connection` (contract-tested): a context variable names the client connection
    for as long as the engine's own coroutine runs.
    """
    handler = mode_servers.ProxyConnectionHandler
    original = handler.open_connection

    async def open_connection(self: Any, command: Any) -> None:
        _DIALLING.set((self.client.id, command.connection))
        await original(self, command)

    setattr(handler, "open_connection", open_connection)  # noqa: B010

    def undo() -> None:
        setattr(handler, "open_connection", original)  # noqa: B010

    return undo


def way_of(entry: Entry | None) -> Hashable:
    """What an entry says about dialling; equal where what was checked, or dialled, for one holds for the other.

    A reload moves lines, and paths split hosts; that alone changes nothing. None opens nothing.
    """
    if entry is None:
        return (None, None, (), None)
    return (entry.pin, entry.pin_port, tuple(entry.private), entry.ca_file)


async def _system_resolve(host: str, port: int) -> list[Address]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    unique = dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found)
    return [ipaddress.ip_address(text) for text in unique]


def _is_local(address: Address) -> bool:
    """Whether this machine has that address; the kernel knows, where a look-up of our host name would only guess."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
