"""`keyswap demo`: a proxy, a local provider, one swapped request shown before and after."""

import asyncio
import http.client
import json
import logging
import os
import shlex
import signal
import socket
import ssl
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.panel import Panel
from rich.text import Text

from keyswap import log
from keyswap.certs import ca
from keyswap.cli import options
from keyswap.cli.output import out
from keyswap.cli.provider import HOST, PORT, Provider
from keyswap.cli.serve import PROXY_VARIABLES, prepare_process
from keyswap.errors import SettingsError
from keyswap.settings import Listen, Settings

if TYPE_CHECKING:
    from keyswap.addons.proxy import Proxy

REAL_KEY = "demo-real-key-kept-outside-the-sandbox"
PLACEHOLDER = "demo-placeholder-not-a-key"
PREFERRED_PORT = 8080

POLICY = """\
version: 1
mode: enforce
credentials:
  demo:
    hosts: [{host}]
    headers: [X-Api-Key, Authorization]
    placeholder: {{value: {placeholder}}}
    env: [DEMO_API_KEY]
    source: file:demo.key
egress:
  - {{host: {host}, pin: "127.0.0.1:{port}", ca_file: ca/ca.pem}}
sessions:
  demo: {{source: [127.0.0.0/8, "::1/128"]}}
"""


def demo(
    once: Annotated[bool, typer.Option("--once", help="Show the request and exit")] = False,
    provider: Annotated[
        bool, typer.Option("--provider", help=f"Run only the provider that policy/demo.yaml points at (port {PORT})")
    ] = False,
    certs_dir: options.CertsDir = None,
) -> None:
    """Show one swapped request, then stay up with lines to paste."""
    for name in PROXY_VARIABLES:  # pip may have needed them to get here; all that is dialled here is loopback
        os.environ.pop(name, None)
    prepare_process()
    if provider:
        asyncio.run(_provider_alone(options.certs_dir_of(certs_dir, options.state_dir_of(None))))
        return
    with tempfile.TemporaryDirectory(prefix="keyswap-demo-") as folder:
        asyncio.run(_demo(Path(folder), once=once))


async def _provider_alone(certs_dir: Path) -> None:
    provider = Provider(REAL_KEY)
    try:
        port = await provider.start(certs_dir)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on 127.0.0.1:{PORT} ({type(error).__name__})", "end the process that listens there"
        ) from None
    out.print(f"the provider {HOST} answers on 127.0.0.1:{port}; Ctrl-C ends it")
    await _until_told()


async def _demo(folder: Path, *, once: bool) -> None:
    from keyswap.addons.proxy import running_proxy

    ca.create(folder / "ca")
    provider = Provider(REAL_KEY)
    port = await provider.start(folder / "ca", 0)
    settings = _settings(folder, port, 0 if once else PREFERRED_PORT)
    log.configure(level=logging.ERROR)  # the policy's warning about its fixed placeholder is meant for real ones
    try:
        async with running_proxy(_free(settings), os.environ) as proxy:
            shown = await asyncio.to_thread(_one_request, proxy.address, folder / "ca" / "ca.pem")
            _show(shown, provider, folder)
            if not once:
                _lines_to_paste(proxy, folder)
                await _until_told()
    finally:
        await provider.stop()


def _settings(folder: Path, port: int, listen: int) -> Settings:
    (folder / "demo.key").write_text(REAL_KEY + "\n")
    (folder / "demo.key").chmod(0o600)
    policy = folder / "policy.yaml"
    policy.write_text(POLICY.format(host=HOST, placeholder=PLACEHOLDER, port=port))
    return Settings(
        policy=policy, state_dir=folder / "state", certs_dir=folder / "ca", listen=Listen("127.0.0.1", listen)
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """One request as the sandbox sees it."""

    sent: str
    status: int
    answer: str


def _one_request(proxy: tuple[str, int], ca_file: Path) -> Shown:
    """What any client in a sandbox does: CONNECT through HTTPS_PROXY, trust our CA, send the placeholder."""
    context = ssl.create_default_context(cafile=str(ca_file))
    connection = http.client.HTTPSConnection(*proxy, context=context, timeout=20)
    connection.set_tunnel(HOST, 443)
    headers = {"X-Api-Key": PLACEHOLDER, "Content-Type": "application/json"}
    try:
        connection.request("POST", "/v1/messages", body=b'{"hello": "world"}', headers=headers)
        response = connection.getresponse()
        answer = response.read().decode()
    finally:
        connection.close()
    sent = f"POST /v1/messages HTTP/1.1\nHost: {HOST}\nX-Api-Key: {PLACEHOLDER}"
    return Shown(sent, response.status, answer.strip())


def _show(shown: Shown, provider: Provider, folder: Path) -> None:
    received = [line for line in provider.heads[-1].split("\r\n") if _worth_showing(line)]
    out.print(_panel("the sandbox sent", shown.sent, PLACEHOLDER, "yellow"), soft_wrap=False)
    out.print(_panel("the provider received", "\n".join(received), REAL_KEY, "green"), soft_wrap=False)
    out.print(_panel("the sandbox got back", f"{shown.status}\n{shown.answer}", PLACEHOLDER, "yellow"), soft_wrap=False)
    out.print(
        _panel("the audit says", _audit_line(folder / "state" / "audit.jsonl"), "fingerprint", "cyan"), soft_wrap=False
    )


def _worth_showing(line: str) -> bool:
    return line.startswith("POST ") or line.lower().startswith(("host:", "x-api-key:"))


def _panel(title: str, text: str, marked: str, style: str) -> Panel:
    shown = Text(text)
    shown.highlight_words([marked], style=f"bold {style}")
    return Panel(shown, title=title, title_align="left", border_style=style)


def _audit_line(path: Path) -> str:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    record = next(record for record in records if record["event"] == "request")
    keep = ("seq", "event", "id", "session", "method", "host", "path", "decision", "swaps")
    return "\n".join(f"{name}: {json.dumps(record[name])}" for name in keep if name in record)


def _lines_to_paste(proxy: "Proxy", folder: Path) -> None:
    host, port = proxy.address
    address, ca_file = f"http://{host}:{port}", shlex.quote(str(folder / "ca" / "ca.pem"))
    curl = f"curl -sS --proxy {address} --cacert {ca_file}"
    lines = {
        "swap a key": f"{curl} -H 'X-Api-Key: {PLACEHOLDER}' https://{HOST}/v1/messages",
        "watch a stream being scrubbed": f"{curl} -N -H 'X-Api-Key: {PLACEHOLDER}' https://{HOST}/v1/stream",
        "be refused": f"{curl} -i https://api.other.example/",
        "see what was done": f"{_command()} audit show {shlex.quote(str(folder / 'state' / 'audit.jsonl'))}",
        "prove it": f"{_command()} audit verify {shlex.quote(str(folder / 'state' / 'audit.jsonl'))}"
        f" --state-dir {shlex.quote(str(folder / 'state'))}",
        "ask why": f"{_command()} policy explain https://{HOST}/v1/messages"
        f" --policy {shlex.quote(str(folder / 'policy.yaml'))}",
    }
    out.print(f"\nThe proxy stays up at {address}. In another shell:\n")
    for title, line in lines.items():
        out.print(Text(f"# {title}", style="dim"))
        print(line, flush=True)
    out.print("\nCtrl-C ends it.")


def _command() -> str:
    """How this very keyswap is called from anywhere."""
    here = Path(sys.argv[0]).absolute()
    return shlex.quote(str(here)) if here.name == "keyswap" and here.exists() else "keyswap"


def _free(settings: Settings) -> Settings:
    """The settings with the preferred port, or with any where that one is taken."""
    with socket.socket() as probe:
        taken = settings.listen.port and probe.connect_ex((settings.listen.host, settings.listen.port)) == 0
    return replace(settings, listen=Listen(settings.listen.host, 0)) if taken else settings


async def _until_told() -> None:
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()
