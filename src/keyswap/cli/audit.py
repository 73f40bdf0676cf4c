"""`keyswap audit`: what was done, and proof that nobody changed it."""

import json as json_module
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from keyswap.cli import options
from keyswap.cli.output import as_json
from keyswap.errors import AuditError

app = typer.Typer(help="Read and verify the audit.", no_args_is_help=True, rich_markup_mode=None)

File = Annotated[
    Path | None, typer.Argument(help="The log; by default the policy's, in the state directory", show_default=False)
]


@app.command("verify")
def verify(
    file: File = None,
    policy: options.Policy = None,
    state_dir: options.StateDir = None,
    json: options.Json = False,
) -> None:
    """Check every record, the chain, the checkpoints and the head. Exit code 1 if anything is wrong."""
    from keyswap.audit.verify import verify as verified

    state = options.state_dir_of(state_dir)
    report = verified(_log(file, policy, state), state_dir=state)
    if json:
        as_json(
            {
                "ok": report.ok,
                "records": report.records,
                "key": report.key,
                "flaws": [str(flaw) for flaw in report.flaws],
                "notes": list(report.notes),
            }
        )
    else:
        for flaw in report.flaws:
            print(flaw)
        for note in report.notes:
            print(f"note: {note}")
        found = f"{len(report.flaws)} flaws" if report.flaws else "nothing was changed, removed, moved or added"
        print(f"{report.records} records, signed with {report.key}: {found}")
    if not report.ok:
        sys.exit(1)


@app.command("show")
def show(
    file: File = None,
    session: Annotated[str | None, typer.Option(help="Only this session's")] = None,
    host: Annotated[str | None, typer.Option(help="Only this host's")] = None,
    event: Annotated[str | None, typer.Option(help="Only this event's: request, response, refused, …")] = None,
    id: Annotated[str | None, typer.Option("--id", help="Only this request's")] = None,  # noqa: A002
    policy: options.Policy = None,
    state_dir: options.StateDir = None,
    json: options.Json = False,
) -> None:
    """Print the records, one line each."""
    from keyswap.audit.show import Filter, describe, read

    path = _log(file, policy, options.state_dir_of(state_dir))
    for record in read(path, Filter(session=session, host=host, event=event, id=id)):
        _print(record, describe, json=json)


@app.command("tail")
def tail(
    file: File = None,
    policy: options.Policy = None,
    state_dir: options.StateDir = None,
    json: options.Json = False,
) -> None:
    """Print new records as they come, until Ctrl-C."""
    from keyswap.audit.show import describe, follow

    for record in follow(_log(file, policy, options.state_dir_of(state_dir))):
        _print(record, describe, json=json)


def _print(record: Mapping[str, Any], describe: Callable[[Any], str], *, json: bool) -> None:
    if json:
        print(json_module.dumps(record, separators=(",", ":")), flush=True)
    else:
        print(describe(record), flush=True)


def _log(file: Path | None, policy: str | None, state: Path) -> Path:
    """The log to read: the one named, the policy's, or `audit.jsonl` in the state directory."""
    from keyswap.errors import Error
    from keyswap.policy.load import load
    from keyswap.settings import find_policy

    if file is not None:
        path = file
    else:
        try:
            path = state / load(find_policy(policy, os.environ), environ=os.environ).audit.path
        except Error:
            if policy is not None:
                raise
            path = state / "audit.jsonl"
    if not path.exists():
        raise AuditError(f"there is no audit at {path}", "name it, or its --state-dir")
    return path
