"""A whole proxy in one call: a master with nothing but what keyswap needs, and its orderly end (S34)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from mitmproxy import master
from mitmproxy.addons import core, disable_h2c, next_layer, proxyserver, tlsconfig
from mitmproxy.options import Options

from keyswap.addons.attach import Attached, attach
from keyswap.addons.drain import drain as drained
from keyswap.addons.engine import EngineError
from keyswap.addons.runtime import Runtime
from keyswap.addons.startup import own_names, start
from keyswap.errors import Error, SettingsError
from keyswap.settings import Settings

STARTUP_LIMIT = 20.0
"""Seconds a listener may take to come up."""


@dataclass(slots=True)
class Proxy:
    """A running proxy."""

    master: master.Master
    attached: Attached
    task: "asyncio.Task[None]"

    @property
    def runtime(self) -> Runtime:
        """What the proxy knows."""
        return self.attached.runtime

    @property
    def server(self) -> proxyserver.Proxyserver:
        """The engine's listener."""
        found: proxyserver.Proxyserver = self.attached.manager.get("proxyserver")
        return found

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it listens on."""
        host, port, *_ = self.server.listen_addrs()[0]
        return host, port

    def add_listener(self, address: tuple[str, int]) -> None:
        """Name another listener of ours, so that it is refused through the proxy."""
        runtime = self.runtime
        runtime.listeners = (*runtime.listeners, address)
        runtime.own_names = own_names(runtime.listeners)

    async def stop(self, drain: float | None = None) -> None:
        """End: no new connections, open requests finish within `drain` seconds, then the rest is closed."""
        limit = self.runtime.policy.limits.drain if drain is None else drain
        await drained(self.attached, limit)
        await asyncio.wait([self.task], timeout=10)


async def open_proxy(settings: Settings, environ: Mapping[str, str]) -> Proxy:
    """Start a proxy; returns once it listens. Raises keyswap.errors.Error for whatever is not right."""
    runtime = start(settings, environ)
    # The confdir's config.yaml is not read here: it could switch verification off.
    options = Options(confdir=str(settings.certs_dir))
    made = master.Master(options)
    made._legacy_log_events.uninstall()  # formats every log line a second time for a console nobody has
    server = proxyserver.Proxyserver()
    made.addons.add(core.Core(), server, next_layer.NextLayer(), disable_h2c.DisableH2C(), tlsconfig.TlsConfig())
    options.update(listen_host=settings.listen.host, listen_port=settings.listen.port)
    try:
        attached = attach(made, runtime)
    except BaseException:
        runtime.close()
        raise
    proxy = Proxy(made, attached, asyncio.create_task(made.run()))
    try:
        await _listening(proxy, settings)
    except BaseException:
        await proxy.stop(drain=0)
        runtime.close()
        attached.detach()
        raise
    return proxy


async def _listening(proxy: Proxy, settings: Settings) -> None:
    """Return once the listener is up and every start-up hook has run."""
    server = proxy.server
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STARTUP_LIMIT):
            while not (server.is_running and server.listen_addrs() and proxy.runtime.listeners):
                if proxy.task.done():
                    break
                _raise_failed_listener(server, settings)
                await asyncio.sleep(0.005)
    failure = proxy.attached.manager.start_failure
    if failure is not None:
        raise (
            failure
            if isinstance(failure, Error)
            else EngineError(f"the start failed ({type(failure).__name__})", "look at the log")
        )
    # Without listeners known the last hook has not run, and with it the self-test.
    if proxy.task.done() or not (server.listen_addrs() and proxy.runtime.listeners):
        raise SettingsError(f"cannot listen on {settings.listen}", "choose another address with --listen")


def _raise_failed_listener(server: proxyserver.Proxyserver, settings: Settings) -> None:
    for instance in server.servers:
        if instance.last_exception is not None:
            raise SettingsError(
                f"cannot listen on {settings.listen} ({type(instance.last_exception).__name__})",
                "is another process there? choose another address with --listen",
            )


@contextlib.asynccontextmanager
async def running_proxy(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Proxy]:
    """A proxy for the length of a `with`."""
    proxy = await open_proxy(settings, environ)
    try:
        yield proxy
    finally:
        await proxy.stop(drain=0)
