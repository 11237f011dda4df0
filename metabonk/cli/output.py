"""How the verbs talk: tables for people, JSON for programs. Knows rich; does not know any verb."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from metabonk.errors import MissingExtraError

console = Console(highlight=False)
stderr = Console(stderr=True, highlight=False)

JsonFlag = typer.Option(False, "--json", help="Print JSON for programs.")


def verb(help: str) -> tuple[typer.Typer, Callable[..., Any]]:
    """A verb's app and the decorator for its one command; `help` may hold rich markup."""
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    return app, app.command(help=help)


def print_json(data: Any) -> None:
    """One indented JSON document on standard output; numbers that are not finite become null."""
    text = msgspec.json.format(msgspec.json.encode(data), indent=2)
    sys.stdout.write(text.decode() + "\n")


def error_line(message: str) -> None:
    """One line on standard error, wrapped by the terminal and not by us."""
    stderr.print("[bold red]error:[/] ", end="")
    stderr.print(message, markup=False, soft_wrap=True)


def notice_line(message: str) -> None:
    """Something the user should know that stops nothing."""
    stderr.print("[yellow]note:[/] ", end="")
    stderr.print(message, markup=False, soft_wrap=True)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "", header: bool = True
) -> Table:
    """A plain table. The first column is never cut; `>` before a name aligns to the right."""
    made = Table(
        title=title or None, title_justify="left", box=None, pad_edge=False, show_header=header
    )
    for index, column in enumerate(columns):
        right = column.startswith(">")
        justify: Literal["left", "right"] = "right" if right else "left"
        made.add_column(column.lstrip(">"), justify=justify, no_wrap=index == 0, overflow="fold")
    for row in rows:
        made.add_row(*[cell if hasattr(cell, "__rich__") else str(cell) for cell in row])
    return made


def require(package: str, extra: str, purpose: str) -> None:
    """Raises MissingExtraError unless `package` can be imported."""
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(package, extra, purpose)
