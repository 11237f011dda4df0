"""`metabonk validate`: runs what claims about learning rest on, and shows what is kept of it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.markup import escape

from metabonk import files, machine
from metabonk.cli.output import (
    check_target,
    console,
    error_line,
    notice_line,
    require,
    stderr,
    table,
)
from metabonk.cli.progress import minutes_left
from metabonk.errors import ConfigError, MetabonkError, MissingExtraError

if TYPE_CHECKING:
    from metabonk.bench.study import Result
    from metabonk.bench.study_run import Told

WORK = Path("runs/validate")

app = typer.Typer(
    help="""Run what claims rest on, and show what is kept of it.

$ metabonk validate learning                 all kept results, met or not
$ metabonk validate learning --help          how studies of learning are run""",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _group() -> None:
    pass  # with one command and no callback, Typer would have no verb `learning`


@app.command(
    help="""Run studies of learning, or show the results that are kept.

A study runs several seeds of every arm, its baselines and controls among them, and
says of every figure what it is, in which interval, and whether its goal is met. It
says first what it costs; stopped, it goes on where it was. Claims come from full
runs only: --quick is a smoke test whose figures claim nothing and are not kept. It
takes grid64 where a study is of several games, and otherwise the one world that the
study is made of: Pendulum, the arena, a T-maze, sequences. What is kept says if the
source that it was measured with has changed since.

$ metabonk validate learning                 all kept results, met or not
$ metabonk validate learning --list          the studies and what they cost
$ metabonk validate learning dreams          one of them, in full
$ metabonk validate learning --quick         all of them, small: smoke
$ metabonk validate learning --json kept.json"""
)
def learning(
    names: list[str] = typer.Argument(None, help="Studies to run.", metavar="NAME"),
    quick: bool = typer.Option(False, "--quick", help="Small, in minutes: smoke, no claim."),
    list_: bool = typer.Option(False, "--list", help="List the studies."),
    jobs: int = typer.Option(0, help="Cells at a time; 0: one per processor.", min=0),
    work: Path = typer.Option(WORK, help="Where unfinished studies are kept.", metavar="DIR"),
    results: Path = typer.Option(None, help="Where results are kept.", metavar="DIR"),
    json: Path = typer.Option(
        None, "--json", help="Write the results to this file.", metavar="FILE"
    ),
) -> None:
    room = _room()
    where = results or room.study.RESULTS
    studies = room.studies.STUDIES
    unknown = sorted(set(names or ()) - studies.keys())
    if unknown:
        raise ConfigError(f"{unknown[0]}: no such study, there are {', '.join(studies)}")
    check_target(json)
    if list_:
        rows = (
            (s.name, f"{s.minutes['full']:g} min", f"{s.minutes['quick']:g} min", s.what)
            for s in studies.values()
        )
        console.print(table(["study", ">full", ">quick", "what is shown"], rows))
        return
    if names or quick:
        for package in ("torch", "matplotlib"):  # the latter is asked for when all is measured
            require(package, "train", "studies of learning")
        chosen = [studies[name] for name in names or studies]
        if quick:
            for large in (s.name for s in chosen if not s.cells("quick")):
                notice_line(f"{large} has no small form: it runs in full only")
            chosen = [s for s in chosen if s.cells("quick")]
        _run_all(room, chosen, quick, work, where, jobs, json)
        return
    found = list(room.study.kept(where))
    if not found:
        notice_line(f"no results are kept in {where}: run a study, as `{_EXAMPLE}`")
    _unfinished(room, work)
    _not_run(room, work, {result.study for result in found})
    changed = [_changed(room, result) for result in found]
    for result, since in zip(found, changed, strict=True):
        print_result(result, _SINCE[since])
    _write(json, found, changed)


_SINCE = {True: "source changed since", False: "", None: "source then unknown"}
_EXAMPLE = "metabonk validate learning dreams"


def _run_all(
    room: Any,
    chosen: Sequence[Any],
    quick: bool,
    work: Path,
    results: Path,
    jobs: int,
    json: Path | None,
) -> None:
    """Runs studies and shows each result as soon as it is there. One that fails takes nothing from
    the others."""
    found: list[Result] = []
    failed: list[str] = []
    _write(json, found)  # whoever reads it finds no result of another time
    for study in chosen:
        try:
            found.append(_run(room, study, quick, work, results, jobs))
        except MetabonkError as error:
            if len(chosen) == 1:
                raise
            error_line(str(error))
            failed.append(study.name)
            continue
        print_result(found[-1])
        _write(json, found)
    if failed:
        raise room.study_run.StudyError(
            f"{len(failed)} of {len(chosen)} studies failed, as said above: {', '.join(failed)}"
        )


def _changed(room: Any, result: Result) -> bool | None:
    """Whether the source is another now than what a result was measured with; None where that is
    not known."""
    study = room.studies.STUDIES.get(result.study)
    if study is None:  # nobody measures that any more
        return True
    found: bool | None = room.provenance.changed(result.states, room.provenance.source(study))
    return found


def _write(
    json: Path | None, found: Sequence[Result], changed: Sequence[bool | None] | None = None
) -> None:
    """changed: of each, see `_changed`; None for what was measured just now."""
    if json is not None:
        told = [
            {**msgspec.to_builtins(r), "met": r.met, "figures": _figures(r), "changed": since}
            for r, since in zip(found, changed or [False] * len(found), strict=True)
        ]
        files.replace(json, msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")


def _run(room: Any, study: Any, quick: bool, work: Path, results: Path, jobs: int) -> Result:
    scale = "quick" if quick else "full"
    count = len(study.cells(scale))
    jobs = min(jobs or machine.describe().threads, count)
    stderr.print(
        f"{study.name}: {study.what}; {count} runs, about {study.minutes[scale]:g} minutes on two "
        f"cores{', ' + room.study.SMOKE if quick else ''}",
        soft_wrap=True,
    )
    with stderr.status("running") as status:

        def progress(told: Told) -> None:
            if not told.kept:  # for good, so that a log has them too
                stderr.print(_line(study.name, told), markup=False, soft_wrap=True)
            status.update(f"{study.name}: {told.done} of {told.total}{minutes_left(told.left)}")

        result: Result = room.study_run.run(
            study, scale, work, results=results, jobs=jobs, progress=progress
        )
    return result


def _line(name: str, told: Told) -> str:
    run = f"{name}: {told.done} of {told.total}, {told.cell.arm} with seed {told.cell.seed}"
    return f"{run}: {told.why or f'{told.seconds:.0f} s'}{minutes_left(told.left)}"


def _unfinished(room: Any, work: Path) -> None:
    """Says which studies were stopped: nothing that they found is among the results yet."""
    for study in room.studies.STUDIES.values():
        done = _begun(room, study, work)
        if done:
            total = len(study.cells("full"))
            notice_line(
                f"{study.name}: {done} of {total} runs are kept in {work}: go on with "
                f"`metabonk validate learning {study.name}`"
            )


def _begun(room: Any, study: Any, work: Path) -> int:
    """How many runs are kept of a study that was stopped; 0 of one that was not."""
    if not (work / study.name).is_dir():  # nor does it need Torch to say so
        return 0
    done: int = room.study_run.done(study, "full", work)
    return done if done < len(study.cells("full")) else 0


def _not_run(room: Any, work: Path, known: set[str]) -> None:
    """Says which studies were never run in full, what they cost and how they are run."""
    for study in room.studies.STUDIES.values():
        if study.name in known or _begun(room, study, work):
            continue
        notice_line(
            f"{study.name}: not run in full, which takes about {study.minutes['full']:g} minutes "
            f"on two cores: `metabonk validate learning {study.name}`"
        )


def print_result(result: Result, since: str = "") -> None:
    """Every figure with its interval, goal and baselines. since: what has to be said of a result
    that claims something, of what happened to its source since."""
    judged = [figure.met for figure in result.figures if figure.met is not None]
    said = [f"{result.seeds} seeds", f"{result.seconds / 60:.0f} min of runs"]
    if judged:
        said.append(f"{sum(judged)} of {len(judged)} goals met")
        said += [f"[yellow]{since}[/]"] if since else []
    if result.sources > 1:
        said.append(f"its runs are of {result.sources} states of the source")
    said += [] if result.label == "full" else [f"[yellow]{result.label}[/]"]
    console.print(f"[bold]{result.study}[/], {', '.join(said)}", soft_wrap=True)
    rows = (
        (_MET[figure.met], f"{escape(figure.name)}\n[dim]{escape(_told(figure))}[/]")
        for figure in result.figures
    )
    console.print(table(["", ""], rows, header=False))
    console.print()


_MET = {True: "[green]met[/]", False: "[bold red]not met[/]", None: "[dim]shown[/]"}


def _told(figure: Any) -> str:
    """Its value, the interval of that, what it is held against and what stands beside it."""
    value = f"{figure.value:.4g} {figure.unit}".rstrip()
    if figure.ci95 is not None:
        value += f" ({figure.ci95[0]:.3g} … {figure.ci95[1]:.3g})"
    if figure.goal is not None:
        value += f", goal {figure.sense} {figure.goal:g}"
    beside = [f"{name} {number:.4g}" for name, number in figure.baselines.items()]
    unsure = "the mean meets it, the goal is inside the interval" if figure.unsure else ""
    return "; ".join([value, *filter(None, [unsure]), *beside, *filter(None, [figure.note])])


def _figures(result: Result) -> list[dict[str, Any]]:
    return [{**msgspec.to_builtins(f), "met": f.met, "unsure": f.unsure} for f in result.figures]


def _room() -> Any:
    if importlib.util.find_spec("metabonk.bench") is None:
        raise MissingExtraError("metabonk.bench", "bench", "studies of learning")
    importlib.import_module("metabonk.bench.studies")
    importlib.import_module("metabonk.bench.study_run")
    importlib.import_module("metabonk.bench.provenance")
    return importlib.import_module("metabonk.bench")
