"""`metabonk bench`: our speed beside other systems, as ratios measured in one run."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from metabonk import config as settings_module
from metabonk import files, machine
from metabonk.cli.output import (
    at_least,
    check_target,
    console,
    error_line,
    notice_line,
    table,
    verb,
)
from metabonk.cli.status_line import StatusLine
from metabonk.errors import MissingExtraError

if TYPE_CHECKING:
    from metabonk.bench.gates import Row, Verdict

FLOOR = "floor"  # the peer that is what the processor can do at most

app, command = verb(
    """Measure speed against other systems.

Ours and the peer take turns in the same run; what counts is the ratio, with its
95 % interval. A goal is met or not; peers that are not installed are skipped, and
a gate fails that could judge nothing of a suite. Rows are printed as they are
measured. What the time did not suffice for is said to be not measured, and fails
a gate.

$ metabonk bench                       everything
$ metabonk bench games ppo             these suites
$ metabonk bench games --gate          exit status 1 if a goal is missed
$ metabonk bench cognition --only wire --only CURVE     groups, words of names
$ metabonk bench --minutes 30          begin no case after that
$ metabonk bench --json rows.json      the rows as a file
$ metabonk bench --list                the suites; with a suite its cases
$ metabonk bench --tolerances          how exact operations are"""
)


@command
def bench(
    suites: list[str] = typer.Argument(None, help="Suites; default: all.", metavar="SUITE"),
    gate: bool = typer.Option(
        False,
        "--gate",
        help="Exit with 1 if a goal is missed, not measured, or a suite not judged.",
    ),
    only: list[str] = typer.Option(
        [], "--only", help="Cases of this group, or with this in their name.", metavar="WORD"
    ),
    minutes: float = typer.Option(0.0, help="Begin no case after so long; 0: no limit.", min=0.0),
    json: Path = typer.Option(None, "--json", help="Write the rows to this file.", metavar="FILE"),
    list_: bool = typer.Option(False, "--list", help="List the suites, or cases of some."),
    tolerances: bool = typer.Option(
        False, "--tolerances", help="Print how far operations are from their formulas."
    ),
) -> None:
    room = _room()
    if tolerances:
        print_tolerances()
        return
    if list_:
        _list(room, suites or (), only)
        return
    check_target(json)
    if machine.core_built():
        settings_module.cap_cpu()
    from metabonk.ops import fallbacks

    watch = fallbacks.Watch()
    rows: list[Row] = []
    for found in _measured(room, suites or (), only, minutes * 60.0 or math.inf):
        print_rows(found)
        rows += found
        if json is not None:  # after each case: whatever ends this, what was measured is there
            files.replace(json, msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")
    if calls := watch.news():
        notice_line(fallbacks.told(calls))
    if gate:
        verdict = room.verdict(rows)
        report(verdict)
        if not verdict.passes:
            raise typer.Exit(1)


def _measured(
    room: Any, suites: Sequence[str], only: Sequence[str], seconds: float
) -> Iterator[list[Row]]:
    """The rows of each case; what goes on is shown while none is printed."""
    said = ["measuring; a quiet machine gives narrow intervals"]
    line = StatusLine(lambda: said[0], said[0], quiet=False)

    def told(what: str) -> None:
        said[0] = what
        line.look()

    cases = room.each(suites, only=only, seconds=seconds, told=told)
    while True:
        with line:
            rows = next(cases, None)
        if rows is None:
            return
        yield rows


def _list(room: Any, suites: Sequence[str], only: Sequence[str]) -> None:
    if not suites and not only:
        console.print(table(["suite", "what is compared"], room.SUITES.items()))
        return
    rows = [
        (c.group or c.suite, c.name, f"{c.budget:g} s" if math.isfinite(c.budget) else "")
        for c in room.chosen(suites, only)
    ]
    console.print(table(["group", "what is compared", ">at most"], rows))


def report(verdict: Verdict) -> None:
    """Says which goals were not judged, and what makes a gate fail but those that were missed."""
    for row in verdict.unjudged:
        notice_line(f"goal not judged: {row.suite}: {row.name}, {row.peer_name}")
    if verdict.unmeasured:
        late = len(verdict.unmeasured)
        error_line(f"--gate: {late} of {verdict.gated} goals were not measured")
    told = {row.suite for row in verdict.unmeasured}
    for suite in verdict.silent:
        if suite not in told:
            error_line(
                f"--gate: no goal of {suite} was judged: all of their peers were skipped, see above"
            )
    if verdict.spared:
        notice_line(f"{len(verdict.spared)} goals are {verdict.spared[0].spared}")
    elif not verdict.gated:
        error_line("--gate: no goal was judged: none is set here")


def print_rows(rows: Sequence[Row]) -> None:
    """Name, ours, peer, ratio, goal, met; then what was skipped."""
    measured = [row for row in rows if not row.skipped and row.ratio is not None]
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
        if row not in measured:
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
    with at_least(120):
        console.print(table(columns, tolerances.cells(found)))
    for unit, names in tolerances.units(found).items():
        console.print(f"[dim]{unit}: {'; '.join(names)}[/]", soft_wrap=True)


def _cells(row: Row) -> tuple[str, ...]:
    met = {True: "[green]yes[/]", False: "[bold red]no[/]", None: ""}[row.met]
    if row.unmeasured:
        met = "[yellow]cut off[/]"
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
