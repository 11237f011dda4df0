"""`metabonk ablate`: what each part of a run is good for, found by taking it away."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from metabonk import config as settings_module
from metabonk import machine
from metabonk.cli.output import (
    JsonFlag,
    console,
    notice_line,
    print_json,
    refuse_idle,
    require,
    stderr,
    table,
    verb,
)
from metabonk.cli.progress import minutes_left

if TYPE_CHECKING:
    from metabonk.learn.ablation.effects import Ablation, Effect

app, command = verb(
    """Take each part that learns beside a policy away, and see what that does.

The run goes on from its newest checkpoint, again and again under the same seeds:
intact, intact once more, and with one part taken out (zero), kept from learning
(freeze) or mixed up (shuffle). A part is inert if whoever serves comes out the same
without it; what it is worth is the difference of the return, with an interval over
seeds. The run stays as it was. Ctrl-C loses nothing but the seed at hand.

Of a motor (RUN/motors, or one of its versions) the judges are taken away, and how
much they differ; nothing is trained for that.

Exit code 1 says that a part is inert.

$ metabonk ablate runs/long
$ metabonk ablate runs/long --seeds 10 --steps 200000
$ metabonk ablate runs/long --part efe --part dream --from-start
$ metabonk ablate runs/long/motors"""
)
COLOURS = {"inert": "red", "helps": "green", "hurts": "red", "undecided": "yellow"}


@command
def ablate(
    context: typer.Context,
    directory: Path = typer.Argument(help="Directory of the run.", metavar="RUN"),
    seeds: int = typer.Option(5, help="Seeds, each a pair with itself intact.", min=2),
    steps: int = typer.Option(0, help="Of every training, in whole rollouts; 0: twenty.", min=0),
    episodes: int = typer.Option(0, help="To measure in; 0: as the run was configured.", min=0),
    part: list[str] = typer.Option([], help="Only this one; repeatable.", metavar="NAME"),
    from_start: bool = typer.Option(
        False, "--from-start", help="Train from nothing, not from the newest checkpoint."
    ),
    again: bool = typer.Option(False, "--again", help="Also if it was measured before."),
    json: bool = JsonFlag,
) -> None:
    require("torch", "train", "learning")
    run, version = _run_of(directory)
    if run != directory:
        refuse_idle(context, {"--steps", "--from-start"}, "nothing is trained for a motor's parts")
    if machine.core_built():
        settings_module.cap_cpu()
    from metabonk.learn.ablation.motor import ablate_motor
    from metabonk.learn.ablation.study import ablate as measure
    from metabonk.learn.ablation.study import read

    with stderr.status("reading the run") as status:
        telling = _Telling(status.update)
        if run == directory:
            found = measure(
                run,
                seeds=seeds,
                steps=steps,
                episodes=episodes,
                parts=part,
                from_start=from_start,
                again=again,
                begins=telling.begins,
                progress=telling,
            )
        else:
            found = ablate_motor(
                run,
                version,
                seeds=seeds,
                episodes=episodes,
                parts=part,
                again=again,
                progress=telling,
            )
    result = read(found)
    if json:
        print_json({"path": str(found.path), **msgspec.to_builtins(result)})
    else:
        _show(result, found.path)
    if result.inert:
        raise typer.Exit(1)


class _Telling:
    """Says what is to be done before it begins, and after the first how long the rest takes."""

    def __init__(self, show: Callable[[str], object]) -> None:
        self._show = show
        self._what = "rounds of episodes"
        self._over = -1
        self._began = 0.0

    def begins(self, trainings: int, steps: int) -> None:
        """See ablate."""
        self._what = f"trainings of {steps:,} steps each"

    def __call__(self, done: int, total: int, name: str) -> None:
        self._over += 1
        if not self._over:
            self._began = time.monotonic()
            kept = f"; {done} are kept from before" if done else ""
            stderr.print(f"{total - done} {self._what}{kept}", soft_wrap=True)
            self._show(f"{done + 1} of {total}: {name}")
            return
        each = (time.monotonic() - self._began) / self._over
        left = minutes_left(each * (total - done))
        if self._over == 1:  # for good, so that a log has it too
            stderr.print(f"the first took {each:.0f} s{left}", soft_wrap=True)
        self._show(f"{done + 1} of {total}: {name}{left}")


def _run_of(directory: Path) -> tuple[Path, Path | None]:
    """The run, and the version of its motor that is meant, if one is."""
    if (directory / "config.toml").exists():
        return directory, None
    folder = directory if directory.name == "motors" else directory.parent
    if folder.name == "motors" and (folder.parent / "config.toml").exists():
        return folder.parent, None if folder == directory else directory
    raise FileNotFoundError(f"{directory} holds no run: it has no config.toml")


def _show(result: Ablation, path: Path) -> None:
    from metabonk.learn.ablation.effects import DONE

    at = f" at {result.step:,} steps" if result.step else ""
    console.print(f"[bold]{result.run}[/]{at}", soft_wrap=True)
    rows = [_row(effect, DONE[effect.mode]) for effect in result.effects]
    columns = ["part", "", ">return", ">95 %", f">behaviour, {result.unit}"]
    console.print(table(columns, rows))
    console.print()
    for finding in result.findings:
        colour = COLOURS[finding.verdict]
        console.print(f"[{colour}]{finding.verdict:>9}[/]  [bold]{finding.part}[/]: {finding.why}")
    mean = sum(result.intact) / len(result.intact)
    said = [f"{len(result.seeds)} seeds", f"{result.episodes} episodes"]
    if result.steps:
        said.insert(1, f"{result.steps:,} steps each")
    said.append(f"intact the return is {mean:,.2f}")
    if result.chance:
        said.append(f"seeds differ by {result.chance:.2g} nats")
    console.print(f"\n[dim]{', '.join(said)}[/]")
    if not result.repeats:
        notice_line(
            "what is left alone does not repeat bit for bit here: what moved behaviour no further "
            "than that counts as inert"
        )
    console.print(f"[dim]{path}[/]", soft_wrap=True)


def _row(effect: Effect, done: str) -> tuple[str, ...]:
    low, high = effect.ci95
    return (
        effect.part,
        done,
        f"{effect.difference:+,.2f}",
        f"{low:+,.2f} … {high:+,.2f}",
        f"{effect.moved:.2g}",
    )
