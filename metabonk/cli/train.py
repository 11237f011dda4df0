"""`metabonk train`: learns a game and shows what was learned."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from metabonk import config as settings_module
from metabonk import machine
from metabonk.cli.output import (
    JsonFlag,
    console,
    interval,
    notice_line,
    print_json,
    require,
    table,
    verb,
)
from metabonk.cli.system2 import notice_unasked
from metabonk.errors import ResumeError

if TYPE_CHECKING:
    from metabonk.learn.evaluate import Evaluation
    from metabonk.learn.report.publish import RunResult

app, command = verb(
    """Learn a game and show what was learned.

Without flags this learns the built-in arena for a few minutes. A run keeps
its settings, metrics, checkpoints, a film and a report in its directory.
Ctrl-C saves, and says how to go on.

$ metabonk train
$ metabonk train --game gym/CartPole-v1
$ metabonk train --game doom/health_gathering --minutes 10
$ metabonk train --minutes 15 --seed 1 --run runs/long
$ metabonk train --run runs/long --resume     go on where it stopped
$ metabonk train --set ppo.clip=0.1 --set game.envs=128"""
)


@command
def train(
    game: str = typer.Option(
        None, help="What to learn; `metabonk games` lists them.", metavar="NAME"
    ),
    minutes: float = typer.Option(
        None, help="How long to train; default: 3, or what is known to do for the game.", min=0.0
    ),
    steps: int = typer.Option(None, help="How many environment steps to train.", min=0),
    seed: int = typer.Option(None, help="Everything random follows from it.", min=0),
    run: Path = typer.Option(
        None, help="Directory of the run; default runs/<game>-<time>.", metavar="DIR"
    ),
    resume: bool = typer.Option(False, "--resume", help="Go on with the run in --run."),
    record: bool = typer.Option(None, "--record", help="Keep every step as episodes on disk."),
    profile: bool = typer.Option(False, "--profile", help="Print where the time went."),
    config: Path = typer.Option(None, help="TOML file with settings.", metavar="FILE"),
    set_: list[str] = typer.Option(
        [], "--set", help="A setting, e.g. ppo.clip=0.1; repeatable.", metavar="KEY=VALUE"
    ),
    json: bool = JsonFlag,
) -> None:
    require("torch", "train", "training")
    if resume and run is None:
        raise ResumeError(f"--resume needs the run's directory{_newest_run()}")
    named = {
        "game.name": game,
        "run.minutes": minutes,
        "run.steps": steps,
        "run.seed": seed,
        "run.directory": None if run is None else str(run),
        "run.record": record,
    }
    flags = settings_module.flags_of(set_, named)
    chosen = _settings(config, flags, run if resume else None)
    if machine.core_built():
        settings_module.cap_cpu(chosen)
    notice_unasked(
        chosen,
        "a policy learns alone; directives are for those who play (`metabonk play --live`), and "
        "`./scripts/train_with_system2.sh` learns from what was answered",
    )

    from metabonk.cli.progress import ProgressSink
    from metabonk.learn.run import train as learn

    if not chosen.run.directory:
        from metabonk.learn.run import default_directory

        chosen.run.directory = str(default_directory(chosen.game.name))
    progress = ProgressSink(f"learning {chosen.game.name}")
    exported = _exported(config, flags, chosen) if resume else ""
    with (
        progress if not json else contextlib.nullcontext(),
        _telling(chosen.run.directory, exported),
    ):
        result = learn(chosen, resume=resume, sinks=[] if json else [progress])
    if result.interrupted:
        notice_line(f"stopped and saved; go on with: {result.resume_command}")
        raise typer.Exit(130)
    _show(result, profile, json, "--steps" if chosen.run.steps else "--minutes")


@contextlib.contextmanager
def _telling(directory: str, exported: str) -> Iterator[None]:
    """Says how to go on after what ends a run from outside, and of a run that cannot go on by which
    variables that may be: `exported`."""
    again = f"go on with: metabonk train --resume --run {directory}"
    try:
        yield
    except ResumeError as error:
        raise ResumeError(f"{error}{exported}") from error
    except KeyboardInterrupt:  # while it evaluated, or pressed twice: nothing was saved now
        begun = Path(directory, "config.toml").exists()
        notice_line(f"stopped; {again}" if begun else "stopped before the run began; start it anew")
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # every write is whole or undone
            notice_line(f"what was saved is whole; make room, then {again}")
        raise


def _settings(
    config: Path | None,
    flags: dict[str, Any],
    resumed: Path | None,
    environ: Mapping[str, str] | None = None,
) -> Any:
    """Settings in force: below file and flags a resumed run's own, else the game's presets.
    environ: variables, those that are set unless given."""
    from metabonk.learn.presets import BEFORE, preset

    if resumed is None:
        return settings_module.load(config, presets=preset, flags=flags, notice=notice_line)
    own = resumed / "config.toml"
    if not own.exists():
        raise ResumeError(f"{resumed} holds no run to go on with: leave --resume out to start one")
    noticed = notice_line if environ is None else lambda _: None
    if config is None:
        return settings_module.load(
            own, presets=lambda _: BEFORE, flags=flags, environ=environ, notice=noticed
        )
    begun = settings_module.load(own, presets=lambda _: BEFORE, environ={})
    kept = settings_module.by_key(begun)
    return settings_module.load(
        config, presets=lambda _: kept, flags=flags, environ=environ, notice=noticed
    )


def _exported(config: Path | None, flags: dict[str, Any], chosen: Any) -> str:
    """What is said of variables that make a resumed run's settings others than they would be
    without, `chosen`; empty where none does."""
    own = Path(chosen.run.directory)
    unset = _settings(config, flags, own, environ={})
    before, now = settings_module.by_key(unset), settings_module.by_key(chosen)
    changed = [key for key in now if now[key] != before[key]]
    if not changed:
        return ""
    names = [variable.name for variable, key in settings_module.variables() if key in changed]
    return (
        f"; variables that are set here change {', '.join(changed)}: unset what you have of "
        f"{', '.join(names)}"
    )


def _newest_run() -> str:
    saved = sorted(Path("runs").glob("*/checkpoints/*/card.json"), key=lambda p: p.stat().st_mtime)
    return f", for example --run {saved[-1].parents[2]}" if saved else ": --run DIR"


def _show(result: RunResult, profile: bool, json: bool, more: str) -> None:
    """more: the flag of the bound that a longer run has to raise."""
    for note in result.notes:
        notice_line(note)
    page = result.directory / "report.html"
    seconds: dict[str, float] = result.checkpoint.card.details["profile"]
    if json:
        report = msgspec.json.decode((result.directory / "report.json").read_bytes())
        print_json({**report, "directory": str(result.directory), "profile": seconds})
        return
    speed = result.steps / max(result.seconds, 1e-9)
    console.print(
        f"\n[bold]Done:[/] {result.steps:,} steps in {result.seconds:.0f} s, {speed:,.0f} steps/s"
    )
    if result.evaluation is not None:
        print_evaluation(result.evaluation)
    if profile:
        print_profile(seconds)
    console.print(f"\n  report    {page}", soft_wrap=True)
    console.print(f"  watch     metabonk play --policy {result.directory}", soft_wrap=True)
    if (result.directory / "motors").is_dir():
        motor = f"metabonk play --policy {result.directory / 'motors'}"
        console.print(f"  motor     {motor}", soft_wrap=True)
    console.print(f"  go on     {result.resume_command} {more} …", soft_wrap=True)


def print_evaluation(evaluation: Evaluation) -> None:
    """Whoever serves beside the baselines, with what the difference is worth."""
    who = evaluation.player
    serves = ", which leads" if evaluation.rival else ""
    rows = [(f"the {who}{serves}", f"[bold]{evaluation.return_mean:,.2f}[/]", "", "")]
    for name, against in evaluation.against.items():
        verdict = "[yellow]not told apart[/]"
        if against.better:
            verdict = "[green]beaten[/]"
        elif against.worse:
            verdict = "[red]still better[/]"
        lead = f"{against.difference:+,.2f}  {interval(against.ci95)}"
        other = f"the {name}" if name == evaluation.rival else f"{name} play"
        rows.append((other, f"{against.mean:,.2f}", lead, verdict))
    console.print(table(["", ">mean return", f"the {who}'s lead (95 %)", ""], rows))
    count = evaluation.episodes
    said = f"{count} episode{'' if count == 1 else 's'}, the same ones for everyone"
    if evaluation.crashes:
        said += f", but for {evaluation.crashes} that broke off by a crash and were replaced"
    if evaluation.unplayed:
        said += f"; {evaluation.unplayed} decisions were no number and nothing was done instead"
    console.print(f"[dim]{said}[/]")


def print_profile(seconds: Mapping[str, float]) -> None:
    """Where the training time went."""
    from metabonk.learn.report.summary import ACTIVITIES

    total = sum(seconds.values()) or 1.0
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    rows = (
        (ACTIVITIES.get(name, name), f"{spent:.1f} s", f"{100 * spent / total:.0f} %")
        for name, spent in ordered
    )
    console.print()
    console.print(table(["time spent", ">seconds", ">share"], rows))
