"""`keyswap init`: a policy for the keys found in the environment, their values not in it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from keyswap.cli import options
from keyswap.cli.output import err, out
from keyswap.errors import PolicyError
from keyswap.policy.presets import PRESETS, Preset
from keyswap.settings import config_home

HEADER = """\
# keyswap policy. What is not listed is refused. Edit it while the proxy runs: a good edit counts within a second.
# Check it with `keyswap policy check`; ask it with `keyswap policy explain https://api.example.com/`.
version: 1
mode: enforce
"""


def init(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write it", metavar="FILE", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a policy that is there")] = False,
    stdout: Annotated[bool, typer.Option("--stdout", help="Print it instead")] = False,
) -> None:
    """Write a policy for the provider keys in this environment."""
    found = keys_in(os.environ)
    if not found:
        known = ", ".join(sorted(name for preset in PRESETS.values() for name in preset.env))
        raise PolicyError("no key of a known provider is in the environment", f"set one of {known}")
    text = policy_for(found)
    if stdout:
        print(text, end="")
        return
    path = (output or config_home(os.environ) / "keyswap" / "policy.yaml").absolute()
    if path.exists() and not force:
        raise PolicyError(f"{path} is there already", "use --force to overwrite it, or --output for another place")
    try:
        _write(path, text)
    except OSError as error:
        raise PolicyError(f"{path} cannot be written ({type(error).__name__})", "use --output, or --stdout") from None
    out.print(f"wrote {path}:")
    print(text, end="")
    authority = options.certs_dir_of(None, options.state_dir_of(None)) / "mitmproxy-ca.pem"
    first = "" if authority.exists() else "keyswap ca init, then "
    err.print(f"next: {first}keyswap serve --policy {path}")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def keys_in(environ: Mapping[str, str]) -> dict[str, tuple[str, Preset]]:
    """The first variable with a value for each preset, by the preset's name."""
    found: dict[str, tuple[str, Preset]] = {}
    for name, preset in PRESETS.items():
        variable = next((variable for variable in preset.env if environ.get(variable)), None)
        if variable is not None:
            found[name] = (variable, preset)
    return found


def policy_for(found: Mapping[str, tuple[str, Preset]]) -> str:
    """The policy's text: a credential for each key, and its hosts in egress."""
    credentials = [f"  {name}: {{preset: {name}, source: env:{variable}}}\n" for name, (variable, _) in found.items()]
    hosts = dict.fromkeys(host for _, preset in found.values() for host in preset.hosts)
    egress = [f"  - {{host: {host}}}\n" for host in hosts]
    return HEADER + "credentials:\n" + "".join(credentials) + "egress:\n" + "".join(egress)
