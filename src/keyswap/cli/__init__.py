"""The `keyswap` command. One file a command; this one only strings them together.

Exit codes: 0 done; 1 the answer is no (a policy does not load, a chain does not verify, a request would be refused);
2 the command could not be carried out (bad usage, missing files, a port in use). Ctrl-C is 130.
"""

import sys

import typer

from keyswap.cli import audit, ca, demo, init, policy, serve, session
from keyswap.cli.output import fail
from keyswap.errors import Error

app = typer.Typer(
    name="keyswap",
    help="Swaps placeholders for real API keys on the way out of a sandbox.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("init")(init.init)
app.command("serve")(serve.serve)
app.add_typer(session.app, name="session")
app.add_typer(policy.app, name="policy")
app.add_typer(ca.app, name="ca")
app.add_typer(audit.app, name="audit")


def main() -> None:
    """Run the command; an Error becomes two lines for a person and exit code 2."""
    try:
        app()
    except Error as error:
        fail(error)
        sys.exit(2)


__all__ = ["app", "main"]
