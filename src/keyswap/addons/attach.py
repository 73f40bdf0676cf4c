"""Puts the chain on a master: the strict manager, the patches, the dial guard, the self-test. `serve` and the door
both come through here, so that both have all of it."""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from mitmproxy import hooks, http
from mitmproxy.connection import Client
from mitmproxy.exceptions import OptionsError
from mitmproxy.master import Master

from keyswap import log
from keyswap.addons import Chain, default_addons, engine
from keyswap.addons.dial import mark_dials, way_of
from keyswap.addons.flight import flight_of
from keyswap.addons.leaves import Leaves
from keyswap.addons.options import refuse_unsafe, safe_options
from keyswap.addons.runtime import Runtime
from keyswap.addons.selftest import check_contract, check_fails_closed, check_versions
from keyswap.addons.startup import own_names
from keyswap.addons.strict import StrictAddonManager
from keyswap.addons.watch import Watch
from keyswap.errors import AuditError, SettingsError
from keyswap.exchange import Refusal
from keyswap.settings import Listen


@dataclass(slots=True)
class Attached:
    """A chain on a master; `detach` undoes what outlives the master."""

    runtime: Runtime
    chain: Chain
    manager: StrictAddonManager
    bind_host: str = ""
    """The one address to listen on, where the user has named none."""
    undo: list[Callable[[], None]] = field(default_factory=list)

    def detach(self) -> None:
        """Take the patches and the guard away, and close what was opened."""
        while self.undo:
            self.undo.pop()()


class Lifecycle:
    """The hooks of start and end; last in the chain."""

    name = "keyswap"

    def __init__(self, attached: Attached) -> None:
        self.attached = attached

    async def running(self) -> None:
        """Prove that failures refuse, and write that we began."""
        await check_fails_closed(self.attached.manager, self.attached.chain.release)
        await self._keep_to_loopback()
        know_listeners(self.attached)
        addresses = [str(Listen(*one)) for one in self.attached.runtime.listeners]
        log.get(__name__).info("listening", at=", ".join(addresses))
        audit = self.attached.runtime.audit
        audit.write("started", **({"notes": list(audit.notes)} if audit.notes else {}))

    async def _keep_to_loopback(self) -> None:
        """Bind anew where the engine had taken its own default, every interface, before our option reached it."""
        server, host = self.attached.manager.get("proxyserver"), self.attached.bind_host
        if host and any(address[0] != host for address in server.listen_addrs()):
            await server.servers.update([])
            await server.setup_servers()

    def configure(self, updated: set[str]) -> None:
        """Refuse options that would record keys, whenever they are set; the engine then sets them back."""
        try:
            refuse_unsafe(self.attached.manager.master.options)
        except SettingsError as error:
            raise OptionsError(str(error)) from None

    def client_disconnected(self, client: Client) -> None:
        """Leave no upstream open behind a client."""
        self.attached.manager.close_rest(client)

    def done(self) -> None:
        """Write that we ended."""
        try:
            self.attached.runtime.audit.write("stopped")
        except AuditError:
            self.attached.runtime.metrics.audit_failures.inc()
        self.attached.runtime.close()
        self.attached.detach()


def attach(master: Master, runtime: Runtime) -> Attached:
    """Make this master keyswap. Must be called in the master's loop; raises keyswap.errors.Error."""
    check_versions(accept_old_h2=runtime.settings.accept_old_h2)
    check_contract()
    refuse_unsafe(master.options)
    bind_host = "" if master.options.listen_host else "127.0.0.1"
    master.options.update(**safe_options(runtime, master.options))
    manager = StrictAddonManager.take_over(master.addons, ())
    chain = default_addons(runtime, manager.abort)
    attached = Attached(runtime, chain, manager, bind_host)
    lifecycle = Lifecycle(attached)
    ours = (*chain.addons, lifecycle)
    manager.on_failure = chain.recorder.failed
    manager.respond = chain.release.failed_here
    StrictAddonManager.take_over(manager, ours)
    for addon in ours:
        manager.add(addon)
        manager.invoke_addon_sync(addon, hooks.ConfigureHook(set(master.options.keys())))
    # The engine asks its TLS addon for each handshake's certificate; ours have a key of their own.
    leaves = Leaves(runtime.settings.certs_dir, runtime.ca_passphrase)
    manager.get("tlsconfig").get_cert = leaves.entry
    attached.undo.append(engine.install(_watch(runtime, chain)))
    attached.undo.append(mark_dials())
    chain.dialer.guard_loop(asyncio.get_running_loop())
    attached.undo.append(chain.dialer.release_loop)
    return attached


def _watch(runtime: Runtime, chain: Chain) -> Watch:
    def unreadable(client: Client, refusal: Refusal, request_id: str) -> None:
        chain.recorder.unreadable(client, refusal, request_id)

    def partial(client: Client, waiting: bool) -> None:
        state = chain.clients.of(client)
        if not waiting:
            state.head_since = None
        elif state.head_since is None:
            state.head_since = runtime.clock()

    return Watch(
        head_limit=lambda: runtime.policy.limits.head,
        answer_head_limit=lambda: runtime.policy.limits.answer_head,
        on_unreadable=unreadable,
        on_partial_head=partial,
        new_id=runtime.new_id,
        on_failure=chain.release.failed_below,
        way_of=_way_of,
        ways=chain.dialer.ways,
    )


def _way_of(flow: http.HTTPFlow) -> Hashable:
    flight = flight_of(flow)
    return way_of(flight.entry if flight is not None else None)


def know_listeners(attached: Attached) -> None:
    """Tell the guard which addresses are our own, now that they are bound."""
    server = attached.manager.get("proxyserver")
    listeners = [(str(address[0]), int(address[1])) for address in server.listen_addrs()] if server else []
    runtime = attached.runtime
    runtime.listeners = tuple(listeners)
    runtime.own_names = own_names(listeners)
