"""`keyswap session`: who may ask."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from keyswap.cli import options
from keyswap.cli.output import as_json, duration, err, out, table
from keyswap.credentials import read_token
from keyswap.errors import IdentityError
from keyswap.identity.sessions import Sessions
from keyswap.identity.ttl import parse_ttl
from keyswap.sandbox.environ import as_shell, proxy_url, variables
from keyswap.store.sqlite import SqliteStore
from keyswap.store.state import PLACEHOLDERS, State

if TYPE_CHECKING:
    from keyswap.exchange import Session
    from keyswap.policy.model import Policy

app = typer.Typer(help="Mint, list and revoke sessions.", no_args_is_help=True, rich_markup_mode=None)

Proxy = Annotated[
    str, typer.Option("--proxy", help="The proxy's address as the sandbox sees it [KEYSWAP_PROXY]", metavar="URL")
]
Format = Literal["text", "json", "sh"]


@app.command("mint")
def mint(
    profile: Annotated[str, typer.Option(help="The profile it may use")] = "default",
    ttl: Annotated[str, typer.Option(help="How long it lives: 90s, 15m, 24h, 30d")] = "24h",
    id: Annotated[str | None, typer.Option("--id", help="Its id; random if left out")] = None,  # noqa: A002
    tenant: Annotated[str, typer.Option(help="Written into the audit")] = "",
    run_id: Annotated[str, typer.Option(help="The run it belongs to, shown by `list`")] = "",
    label: Annotated[list[str] | None, typer.Option(help="key=value; may be repeated")] = None,
    format: Annotated[Format, typer.Option(help="What to print")] = "text",  # noqa: A002
    json: options.Json = False,
    proxy: Proxy = "",
    policy: options.Policy = None,
    state_dir: options.StateDir = None,
    certs_dir: options.CertsDir = None,
) -> None:
    """Make a session. Its token is printed once and never again."""
    settings = options.settings_of(policy, state_dir, certs_dir)
    loaded = _policy(settings.policy)
    if profile not in loaded.profiles:
        raise IdentityError(f"no profile is called {profile}", f"the policy has {', '.join(sorted(loaded.profiles))}")
    address = proxy_url(_proxy(proxy))  # a wrong one is told before there is a session that nobody knows the token of
    state = State.open(settings.state_dir)
    with _sessions(state) as sessions:
        session, token = sessions.mint(
            profile, parse_ttl(ttl), id=id, tenant=tenant, run_id=run_id, labels=_labels(label or [])
        )
    url = proxy_url(address, token)
    found = _variables(state, loaded, session, url, settings.certs_dir)
    if json or format == "json":
        as_json({"id": session.id, "token": token, "profile": profile, "expires_at": session.expires_at,
                 "proxy_url": url, "env": found})  # fmt: skip
    elif format == "sh":
        print(as_shell(found), end="")
    else:
        out.print(f"session  {session.id}  (profile {profile}, ends in {duration(parse_ttl(ttl))})")
        print(f"token    {token}")
        print(f"proxy    {url}")
        err.print("The token is not stored and cannot be shown again. For a sandbox: keyswap session mint --format sh")


@app.command("list")
def list_sessions(
    json: options.Json = False,
    all_rows: Annotated[bool, typer.Option("--all", help="Ended ones too")] = False,
    state_dir: options.StateDir = None,
) -> None:
    """Show the sessions that were minted."""
    now = time.time()
    with _sessions(State.open(options.state_dir_of(state_dir))) as sessions:
        rows = [row for row in sessions.all() if all_rows or row.ended_at > now]
    if json:
        as_json(
            [
                {"id": row.id, "profile": row.profile, "tenant": row.tenant, "run_id": row.run_id,
                 "labels": dict(row.labels), "created_at": row.created_at, "expires_at": row.expires_at,
                 "revoked_at": row.revoked_at, "living": row.ended_at > now}
                for row in rows
            ]
        )  # fmt: skip
        return
    if not rows:
        out.print("no living sessions; make one with `keyswap session mint`")
        return
    table(
        "",
        ["id", "profile", "tenant", "run", "ends in"],
        [
            [
                row.id,
                row.profile,
                row.tenant,
                row.run_id,
                duration(row.ended_at - now) if row.ended_at > now else "ended",
            ]
            for row in rows
        ],
    )


@app.command("revoke")
def revoke(
    id: Annotated[str, typer.Argument(help="The session's id")],  # noqa: A002
    state_dir: options.StateDir = None,
) -> None:
    """End a session now; its connections close within a second."""
    with _sessions(State.open(options.state_dir_of(state_dir))) as sessions:
        ended = sessions.revoke(id)
    if not ended:
        raise IdentityError(f"no living session is called {id[:64]!r}", "see `keyswap session list`")
    out.print(f"session {id} has ended")


@app.command("env")
def env(
    name: Annotated[str, typer.Argument(help="A standing session's name, or a minted session's id")],
    format: Annotated[Literal["sh", "json"], typer.Option(help="What to print")] = "sh",  # noqa: A002
    token_file: Annotated[
        Path | None, typer.Option(help="A file with the session's token, for the proxy's address", metavar="FILE")
    ] = None,
    proxy: Proxy = "",
    policy: options.Policy = None,
    state_dir: options.StateDir = None,
    certs_dir: options.CertsDir = None,
) -> None:
    """Print the variables of a sandbox: proxy, trust, placeholders. No key is among them."""
    settings = options.settings_of(policy, state_dir, certs_dir)
    loaded = _policy(settings.policy)
    state = State.open(settings.state_dir)
    session, token = _find(state, loaded, name)
    if token_file is not None:
        token = read_token(f"file:{token_file.absolute()}", environ=os.environ)
    found = _variables(state, loaded, session, proxy_url(_proxy(proxy), token), settings.certs_dir)
    if format == "json":
        as_json(found)
    else:
        print(as_shell(found), end="")


def _find(state: State, policy: "Policy", name: str) -> "tuple[Session, str]":
    """The session of that name, and its token where the policy knows it."""
    from keyswap.exchange import Session, SessionId
    from keyswap.identity.standing import seed_of

    standing = policy.sessions.get(name)
    if standing is not None:
        token = read_token(standing.token, environ=os.environ) if standing.token is not None else ""
        return Session(SessionId(name), standing.profile, seed_of(name), standing=True), token
    now = time.time()
    with _sessions(state) as sessions:
        row = next((row for row in sessions.all() if row.id == name and row.ended_at > now), None)
    if row is None:
        raise IdentityError(
            f"no session is called {name[:64]!r}", "see `keyswap session list` and the policy's sessions"
        )
    return Session(row.id, row.profile, row.seed, row.expires_at), ""


def _variables(state: State, policy: "Policy", session: "Session", url: str, certs_dir: Path) -> dict[str, str]:
    from keyswap.rewrite.placeholder import derive

    allowed = policy.profiles[session.profile].credentials if session.profile in policy.profiles else frozenset()
    credentials = [one for one in policy.credentials.values() if one.name in allowed]
    key = state.subkey(PLACEHOLDERS)
    placeholders = {one.name: derive(one.shape, key=key, seed=session.seed, credential=one.name) for one in credentials}
    return variables(proxy=url, certs_dir=certs_dir, credentials=credentials, placeholders=placeholders)


def _policy(path: Path) -> "Policy":
    from keyswap.policy.load import load

    return load(path, environ=os.environ)


@contextlib.contextmanager
def _sessions(state: State) -> Iterator[Sessions]:
    sessions = Sessions(SqliteStore(state.path / "sessions.db"), clock=time.time)
    try:
        yield sessions
    finally:
        sessions.close()


def _proxy(flag: str) -> str:
    return flag or os.environ.get("KEYSWAP_PROXY") or "http://127.0.0.1:8080"


def _labels(pairs: list[str]) -> dict[str, str]:
    wrong = next((pair for pair in pairs if "=" not in pair), None)
    if wrong is not None:
        raise IdentityError("a label is not key=value", "write for example --label team=search")
    return dict(pair.split("=", 1) for pair in pairs)
