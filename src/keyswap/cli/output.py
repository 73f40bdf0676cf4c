"""What commands print: tables and panels for people, JSON for programs, errors with what to do next."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keyswap.errors import Error

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def fail(error: Error) -> None:
    """Two lines on standard error: what happened, and what to do."""
    err.print(Text(f"keyswap: {error.what}", style="bold red"))
    if error.todo:
        err.print(Text(f"  {error.todo}"))


def as_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table on standard output."""
    made = Table(title=title or None, title_justify="left", header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    out.print(made)


def duration(seconds: float) -> str:
    """`23h 59m`, `4m 10s`, `12s`."""
    whole = max(0, int(seconds))
    for size, big, small_size, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{big} {whole % size // small_size}{small}"
    return f"{whole}s"
