"""The options that several commands share, and the settings they make."""

import os
from pathlib import Path
from typing import Annotated

import typer

from keyswap.settings import Settings, find_certs_dir, find_policy, find_state_dir

Policy = Annotated[
    str | None, typer.Option("--policy", help="The policy file [KEYSWAP_POLICY]", show_default=False, metavar="FILE")
]
StateDir = Annotated[
    str | None,
    typer.Option("--state-dir", help="The state directory [KEYSWAP_STATE]", show_default=False, metavar="DIR"),
]
CertsDir = Annotated[
    str | None,
    typer.Option("--certs-dir", help="The directory of the CA [KEYSWAP_CERTS]", show_default=False, metavar="DIR"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON")]


def state_dir_of(flag: str | None) -> Path:
    """The state directory that flag and environment name."""
    return find_state_dir(flag, os.environ)


def certs_dir_of(flag: str | None, state_dir: Path) -> Path:
    """The CA's directory that flag and environment name."""
    return find_certs_dir(flag, os.environ, state_dir)


def settings_of(policy: str | None, state_dir: str | None, certs_dir: str | None) -> Settings:
    """Settings with the defaults for everything that is not a path."""
    state = state_dir_of(state_dir)
    return Settings(policy=find_policy(policy, os.environ), state_dir=state, certs_dir=certs_dir_of(certs_dir, state))
