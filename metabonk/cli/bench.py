"""`metabonk bench`: our speed beside other systems, as ratios measured in one run."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from metabonk import config as settings_module
from metabonk import machine
from metabonk.cli.output import console, error_line, notice_line, stderr, table, verb
from metabonk.errors import MissingExtraError

if TYPE_CHECKING:
    from metabonk.bench import Row

FLOOR = "floor"  # the peer that is what the processor can do at most

app, command = verb(
    """Measure speed against other systems.

Ours and the peer take turns in the same run; what counts is the ratio, with its
95 % interval. A goal is met or not; peers that are not installed are skipped,
and a gate that could judge nothing fails.

$ metabonk bench                       everything
$ metabonk bench games ppo             these suites
$ metabonk bench games --gate          exit status 1 if a goal is missed
$ metabonk bench --json rows.json      the rows as a file
$ metabonk bench --list                the suites
$ metabonk bench --tolerances          how exact operations are"""
)


@command
def bench(
    suites: list[str] = typer.Argument(None, help="Suites; default: all.", metavar="[SUITE]..."),
    gate: bool = typer.Option(
        False, "--gate", help="Exit with 1 if a goal is missed or none judged."
    ),
    json: Path = typer.Option(None, "--json", help="Write the rows to this file.", metavar="FILE"),
    list_: bool = typer.Option(False, "--list", help="List the suites."),
    tolerances: bool = typer.Option(
        False, "--tolerances", help="Print how far operations are from their formulas."
    ),
) -> None:
    room = _room()
    if tolerances:
        print_tolerances()
        return
    if list_:
        console.print(table(["suite", "what is compared"], room.SUITES.items()))
        return
    if machine.core_built():
        settings_module.cap_cpu()
    with stderr.status("measuring; a quiet machine gives narrow intervals") as status:

        def progress(rows: Sequence[Row]) -> None:
            for row in rows:
                status.update(f"measured {row.suite}: {row.name}")

        rows: list[Row] = room.run(suites or (), progress)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")
    print_rows(rows)
    if gate and not passes(rows):
        raise typer.Exit(1)


def passes(rows: Sequence[Row]) -> bool:
    """Whether goals were met and any was measured; lists the goals that were not judged."""
    gated = [row for row in rows if row.goal is not None]
    judged = [row for row in gated if row.met is not None]
    for row in gated:
        if row.met is None:
            notice_line(f"goal not judged: {row.suite}: {row.name}, {row.peer_name}")
    if not judged:
        why = "all of their peers were skipped, see above" if gated else "none is set here"
        error_line(f"--gate: no goal was judged: {why}")
    return bool(judged) and all(row.met for row in judged)


def print_rows(rows: Sequence[Row]) -> None:
    """Name, ours, peer, ratio, goal, met; then what was skipped."""
    measured = [row for row in rows if not row.skipped]
    # One short table per case: eighty columns hold no row with the case's and the peer's names.
    for (suite, name), group in groupby(measured, lambda row: (row.suite, row.name)):
        found = list(group)
        console.print(f"[bold]{suite}: {name}[/], {found[0].unit}")
        columns = ["  peer", ">ours", ">peer", ">ratio", "95 %", ">goal", "met"]
        console.print(table(columns, (_cells(row) for row in found)))
        if said := summary(found):
            console.print(f"  {said}")
        console.print()
    for row in measured:
        if row.note:
            console.print(f"[dim]{row.name}, {row.peer_name}: {row.note}[/]", soft_wrap=True)
    for row in rows:
        if row.skipped:
            notice_line(f"{row.name}, {row.peer_name}: {row.note}")


def summary(rows: Sequence[Row]) -> str:
    """Of one case: the ratio to the best peer, and how much of the measured peak was reached."""
    peers = [row for row in rows if row.peer_name != FLOOR and row.ratio is not None]
    floors = [row for row in rows if row.peer_name == FLOOR and row.ratio is not None]
    said = [f"{row.ratio:.0%} of the measured peak" for row in floors]
    if len(peers) > 1:
        best = min(peers, key=lambda row: row.ratio or 0.0)
        said.insert(0, f"{best.ratio:.2f} x the best peer, {best.peer_name}")
    return "; ".join(said)


def print_tolerances() -> None:
    """The table that tests of operations hold against: worst error seen, and what is allowed."""
    from metabonk.bench import tolerances

    found = tolerances.load()
    columns = ["operation", ">allowed", *(f">{way}" for way in tolerances.ways(found))]
    # Wider than a narrow terminal: a broken number reads worse than a broken line.
    narrow = console.width
    console.width = max(narrow, 100)
    console.print(table(columns, tolerances.cells(found)))
    console.width = narrow
    for unit, names in tolerances.units(found).items():
        console.print(f"[dim]{unit}: {'; '.join(names)}[/]", soft_wrap=True)


def _cells(row: Row) -> tuple[str, ...]:
    met = {True: "[green]yes[/]", False: "[bold red]no[/]", None: ""}[row.met]
    interval = "" if row.low is None or row.high is None else f"{row.low:.3g} … {row.high:.3g}"
    return (
        f"  {row.peer_name}",
        _figure(row.ours),
        _figure(row.peer),
        "" if row.ratio is None else f"[bold]{row.ratio:.2f}[/]",
        interval,
        "" if row.goal is None else f"{row.goal:g}",
        met,
    )


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _room() -> Any:
    if importlib.util.find_spec("metabonk.bench") is None:
        raise MissingExtraError("metabonk.bench", "bench", "measuring speed")
    return importlib.import_module("metabonk.bench")
