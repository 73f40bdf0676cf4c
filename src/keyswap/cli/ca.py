"""`keyswap ca`: the certificate authority that sandboxes trust."""

import os
from pathlib import Path
from typing import Annotated

import typer

from keyswap.certs import ca
from keyswap.cli import options
from keyswap.cli.output import as_json, out
from keyswap.credentials import read_token
from keyswap.store.state import State

app = typer.Typer(help="Make, show and rotate the CA.", no_args_is_help=True, rich_markup_mode=None)

Dir = Annotated[
    str | None,
    typer.Option("--certs-dir", "--dir", help="Its directory [KEYSWAP_CERTS]", metavar="DIR", show_default=False),
]
Permit = Annotated[
    list[str] | None, typer.Option("--permit", help="Name Constraints: a host it may issue for; may be repeated")
]
FromPolicy = Annotated[
    str | None, typer.Option("--constrain-to", help="Name Constraints: the hosts of this policy", metavar="POLICY")
]
Passphrase = Annotated[
    str | None, typer.Option("--passphrase", help="Where its passphrase is: file:/PATH or env:NAME", metavar="REF")
]
Days = Annotated[int, typer.Option(help="How long it is valid")]


@app.command("init")
def init(
    directory: Dir = None,
    state_dir: options.StateDir = None,
    permit: Permit = None,
    constrain_to: FromPolicy = None,
    days: Days = ca.DEFAULT_DAYS,
    passphrase: Passphrase = None,
    json: options.Json = False,
) -> None:
    """Make the authority. Never overwrites one."""
    state = options.state_dir_of(state_dir)
    place = options.certs_dir_of(directory, state)
    if (state_dir or os.environ.get("KEYSWAP_STATE")) and not (directory or os.environ.get("KEYSWAP_CERTS")):
        place = state / "ca"  # a checkout's certs/ stands in for the default place only, not for one that is named
    if place.parent == state:
        # Made as a mere parent it would be open to others, and refused as a state directory from then on.
        State.open(state)
    info = ca.create(
        place,
        days=days,
        permitted=_permitted(permit, constrain_to),
        passphrase=_passphrase(passphrase),
    )
    _tell(info, json=json)


@app.command("show")
def show(directory: Dir = None, state_dir: options.StateDir = None, json: options.Json = False) -> None:
    """Show the authority; its key is never shown."""
    _tell(ca.inspect(_directory(directory, state_dir)), json=json)


@app.command("bundle")
def bundle(directory: Dir = None, state_dir: options.StateDir = None) -> None:
    """Write bundle.pem anew from today's system roots and print where it is."""
    info = ca.refresh(_directory(directory, state_dir))
    print(info.directory / "bundle.pem")


@app.command("rotate")
def rotate(
    directory: Dir = None,
    state_dir: options.StateDir = None,
    permit: Permit = None,
    constrain_to: FromPolicy = None,
    days: Days = ca.DEFAULT_DAYS,
    passphrase: Passphrase = None,
    lost_key: Annotated[bool, typer.Option("--lost-key", help="Do not trust the old certificate any longer")] = False,
    json: options.Json = False,
) -> None:
    """Replace the authority. A running proxy uses the new one from its next start."""
    permitted = _permitted(permit, constrain_to)
    info = ca.rotate(
        _directory(directory, state_dir),
        overlap=not lost_key,
        days=days,
        permitted=permitted or None,
        passphrase=_passphrase(passphrase),
    )
    _tell(info, json=json)


def _directory(flag: str | None, state_dir: str | None) -> Path:
    return options.certs_dir_of(flag, options.state_dir_of(state_dir))


def _permitted(permit: list[str] | None, policy: str | None) -> list[str]:
    found = list(permit or [])
    if policy is not None:
        from keyswap.policy.load import load

        found += [entry.host.text for entry in load(policy, environ=os.environ).egress if not entry.passthrough]
    return list(dict.fromkeys(found))


def _passphrase(ref: str | None) -> bytes | None:
    return read_token(ref, environ=os.environ).encode("ascii") if ref else None


def _tell(info: ca.AuthorityInfo, *, json: bool) -> None:
    if json:
        as_json(
            {
                "directory": str(info.directory),
                "subject": info.subject,
                "fingerprint": info.fingerprint,
                "not_before": info.not_before.isoformat(),
                "not_after": info.not_after.isoformat(),
                "permitted": list(info.permitted),
                "problems": list(info.problems),
            }
        )
        return
    out.print(f"{info.subject}, valid until {info.not_after:%Y-%m-%d}")
    out.print(f"SHA-256  {info.fingerprint}")
    out.print(f"for      {', '.join(info.permitted) or 'any host'}")
    out.print(f"add      {info.directory / 'ca.pem'}       (variables that add to a trust store)")
    out.print(f"replace  {info.directory / 'bundle.pem'}   (variables that replace it: system roots and this one)")
    for problem in info.problems:
        out.print(f"problem  {problem}")
