"""`keyswap serve`: the proxy."""

import asyncio
import json
import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keyswap import log
from keyswap.cli import options
from keyswap.cli.output import err
from keyswap.cli.status import Status
from keyswap.errors import SettingsError
from keyswap.settings import TLS_KEY_LOGS, Listen, Settings, find_certs_dir, find_policy, find_state_dir

if TYPE_CHECKING:
    from keyswap.addons.proxy import Proxy

PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def serve(
    policy: options.Policy = None,
    state_dir: options.StateDir = None,
    certs_dir: options.CertsDir = None,
    listen: Annotated[str, typer.Option(help="Where to listen [KEYSWAP_LISTEN]", metavar="HOST:PORT")] = "",
    status: Annotated[
        str, typer.Option(help="Where /healthz, /readyz, /metrics answer [KEYSWAP_STATUS]", metavar="HOST:PORT")
    ] = "",
    node: Annotated[str, typer.Option(help="This machine's name in the audit", metavar="NAME")] = "",
    ready_file: Annotated[
        Path | None, typer.Option(help="Write the addresses in use here, as JSON, once ready", metavar="FILE")
    ] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON lines")] = False,
    accept_old_h2: Annotated[bool, typer.Option("--accept-old-h2", help="Start on an h2 with a known hole")] = False,
) -> None:
    """Run the proxy until SIGTERM or Ctrl-C."""
    state = find_state_dir(state_dir, os.environ)
    settings = Settings(
        policy=find_policy(policy, os.environ),
        state_dir=state,
        certs_dir=find_certs_dir(certs_dir, os.environ, state),
        ca_passphrase=os.environ.get("KEYSWAP_CA_PASSPHRASE", ""),
        listen=Listen.parse(listen or os.environ.get("KEYSWAP_LISTEN", "") or "127.0.0.1:8080"),
        status=_status(status or os.environ.get("KEYSWAP_STATUS", "")),
        node=node,
        accept_old_h2=accept_old_h2,
    )
    prepare_process()
    masking = log.configure(json=log_json)
    asyncio.run(_serve(settings, ready_file, masking))


def prepare_process() -> None:
    """What has to be so before the engine is imported."""
    for name in TLS_KEY_LOGS:
        if os.environ.pop(name, None) is not None:
            err.print(f"keyswap: {name} is ignored: it would write the secrets of every connection to a file")
    named = [name for name in PROXY_VARIABLES if os.environ.get(name)]
    if named:
        raise SettingsError(
            f"{', '.join(named)} is set for the proxy itself",
            "keyswap dials upstreams directly; start it without an upstream proxy",
        )
    logging.captureWarnings(True)


def _status(text: str) -> Listen | None:
    return Listen.parse(text, "--status") if text else None


async def _serve(settings: Settings, ready_file: Path | None, masking: log.MaskingFactory) -> None:
    from keyswap.addons.proxy import open_proxy

    proxy = await open_proxy(settings, os.environ)
    masking.masks = (proxy.runtime.mask,)
    status = Status(proxy.runtime.metrics.render, lambda: ready(proxy))
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        addresses = await _announce(proxy, settings, status)
        if ready_file is not None:
            _write_ready(ready_file, addresses)
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait([waiting, proxy.task], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
    finally:
        await status.stop()
        await proxy.stop()


async def _announce(proxy: "Proxy", settings: Settings, status: Status) -> dict[str, str]:
    logger = log.get(__name__)
    host, port = proxy.address
    addresses = {"listen": str(Listen(host, port))}
    if settings.status is not None:
        try:
            own = await status.start(settings.status.host, settings.status.port)
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {settings.status} ({type(error).__name__})", "choose another --status"
            ) from None
        proxy.add_listener(own)
        addresses["status"] = str(Listen(*own))
    logger.info("ready", **addresses, policy=str(settings.policy), ca=str(settings.certs_dir / "ca.pem"))
    return addresses


def _write_ready(path: Path, addresses: dict[str, str]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(json.dumps({**addresses, "pid": os.getpid()}) + "\n")
        draft.replace(path)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written ({type(error).__name__})", "name another --ready-file") from None


def ready(proxy: "Proxy") -> dict[str, bool]:
    """What has to hold for requests to be answered: a policy, the CA, a writable audit, not draining."""
    runtime = proxy.runtime
    return {
        "policy": bool(runtime.policy.sha256),
        "ca": (runtime.settings.certs_dir / "mitmproxy-ca.pem").exists(),
        "audit": runtime.audit.problem is None,
        "serving": not runtime.draining,
    }
