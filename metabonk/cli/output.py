"""How the verbs talk: tables for people, JSON for programs. Knows rich; does not know any verb."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any, Literal

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from metabonk.errors import ConfigError, MissingExtraError

console = Console(highlight=False)
stderr = Console(stderr=True, highlight=False)

APART = re.compile(r" {2,}")  # between an example and what it does

JsonFlag = typer.Option(False, "--json", help="Print JSON for programs.")


def verb(help: str) -> tuple[typer.Typer, Callable[..., Any]]:
    """A verb's app and the decorator for its one command; `help` may hold rich markup and is set
    by `flowing`."""
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    return app, app.command(help=flowing(help, console.width))


def flowing(help: str, width: int) -> str:
    """Help as it fits a terminal of so many columns. Prose is left to be broken there; of examples,
    `$ command    what it does`, what is too long for one line takes two; other lines with columns
    stay."""
    return "\n\n".join(_flowing(part, width - 2) for part in help.split("\n\n"))


def _flowing(paragraph: str, width: int) -> str:
    lines = paragraph.split("\n")
    if paragraph.startswith("$ "):
        broken = (line if len(line) <= width else APART.sub("\n      ", line) for line in lines)
        return "\n".join(broken)
    return paragraph if "  " in paragraph else " ".join(lines)


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


def interval(ci95: tuple[float, float] | None) -> str:
    """A 95 % interval as it stands behind a difference; None where there is none."""
    return "(too few episodes)" if ci95 is None else f"({ci95[0]:+,.2f} … {ci95[1]:+,.2f})"


@contextlib.contextmanager
def at_least(columns: int) -> Iterator[None]:
    """Lines are broken no earlier than here meanwhile: a broken number reads worse than a line that
    a terminal breaks, and `grep` finds half of what it looks for."""
    console.width = max(console.width, columns)
    try:
        yield
    finally:
        console.width = None  # type: ignore[assignment]  # of the terminal again, as it is then


def refuse_idle(context: typer.Context, options: Set[str], why: str) -> None:
    """Raises ConfigError if one of these was given on the command line, where it would do nothing:
    whoever wrote it believes that it does. options: as `--seconds`."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            for option in options & set(parameter.opts):
                raise ConfigError(f"{option}: {why}")


def check_target(path: Path | None) -> None:
    """Raises OSError for a file that cannot be written, before the work whose results it is for."""
    if path is None:
        return
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}; make it first")


def require(package: str, extra: str, purpose: str) -> None:
    """Raises MissingExtraError unless `package` can be imported."""
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(package, extra, purpose)
