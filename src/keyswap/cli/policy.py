"""`keyswap policy`: is it right, what would happen, what may stand in it."""

import json as json_module
import os
import sys
from typing import Annotated

import typer

from keyswap.cli import options
from keyswap.cli.output import as_json, err, out
from keyswap.errors import PolicyError
from keyswap.settings import find_policy

app = typer.Typer(help="Check and explain the policy.", no_args_is_help=True, rich_markup_mode=None)


@app.command("check")
def check(
    file: Annotated[str | None, typer.Argument(help="The policy file", show_default=False)] = None,
    policy: options.Policy = None,
    json: options.Json = False,
) -> None:
    """Load the policy and say everything that is wrong or unwise. Exit code 1 if it does not load."""
    from keyswap.policy.load import load
    from keyswap.policy.problems import PolicyErrors

    path = find_policy(file or policy, os.environ)
    try:
        loaded = load(path, environ=os.environ)
    except PolicyErrors as error:
        if json:
            as_json(
                {
                    "file": str(path),
                    "loads": False,
                    "problems": [
                        {"file": one.file, "line": one.line, "column": one.column, "what": one.what, "todo": one.todo}
                        for one in error.problems
                    ],
                }
            )
        else:
            print(error.what)
        sys.exit(1)
    if json:
        as_json(
            {
                "file": str(path),
                "loads": True,
                "problems": [],
                "warnings": list(loaded.warnings),
                "sha256": loaded.sha256,
            }
        )
        return
    for warning in loaded.warnings:
        err.print(f"warning: {warning}")
    out.print(
        f"{path} loads: {len(loaded.credentials)} credentials, {len(loaded.egress)} egress entries, "
        f"{len(loaded.deny)} deny entries, {len(loaded.profiles)} profiles, mode {loaded.mode}"
    )


@app.command("explain")
def explain(
    url: Annotated[str, typer.Argument(help="What a client would ask for")],
    method: Annotated[str, typer.Option("--method", "-X", help="Its method")] = "GET",
    profile: Annotated[str, typer.Option(help="The profile of the session that asks")] = "default",
    policy: options.Policy = None,
    json: options.Json = False,
) -> None:
    """Say what would happen, and which line of which file decides. Exit code 1 if it would be refused."""
    from keyswap.policy.explain import explain as explained
    from keyswap.policy.load import load

    loaded = load(find_policy(policy, os.environ), environ=os.environ)
    if profile not in loaded.profiles:
        raise PolicyError(f"no profile is called {profile[:64]!r}", f"there are {', '.join(sorted(loaded.profiles))}")
    found = explained(loaded, url, method, profile)
    if json:
        as_json(found.to_json())
    else:
        for line in found.lines():
            print(line)
    if found.verdict.result == "refuse":
        sys.exit(1)


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of the policy file, for editors."""
    from keyswap.policy.schema import json_schema

    print(json_module.dumps(json_schema(), indent=2))
