"""`metabonk ablate`: what each part of a run is good for, found by taking it away."""

from __future__ import annotations

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
    require,
    stderr,
    table,
    verb,
)

if TYPE_CHECKING:
    from metabonk.learn.effects import Ablation, Effect

app, command = verb(
    """Take each part that learns beside a policy away, and see what that does.

The run goes on from its newest checkpoint, again and again under the same seeds:
intact, intact once more, and with one part taken out (zero), kept from learning
(freeze) or mixed up (shuffle). A part is inert if the policy comes out the same
without it; what it is worth is the difference of the return, with an interval over
seeds. The run stays as it was. Ctrl-C loses nothing but the seed at hand.

Exit code 1 says that a part is inert.

$ metabonk ablate runs/long
$ metabonk ablate runs/long --seeds 10 --steps 200000
$ metabonk ablate runs/long --part efe --part dream --from-start"""
)
COLOURS = {"inert": "red", "helps": "green", "hurts": "red", "undecided": "yellow"}


@command
def ablate(
    directory: Path = typer.Argument(help="Directory of the run.", metavar="RUN"),
    seeds: int = typer.Option(5, help="Seeds, each a pair with itself intact.", min=2),
    steps: int = typer.Option(0, help="Of every training; 0: twenty rollouts.", min=0),
    episodes: int = typer.Option(0, help="To measure in; 0: as the run was configured.", min=0),
    part: list[str] = typer.Option([], help="Only this one; repeatable.", metavar="NAME"),
    from_start: bool = typer.Option(
        False, "--from-start", help="Train from nothing, not from the newest checkpoint."
    ),
    again: bool = typer.Option(False, "--again", help="Also if it was measured before."),
    json: bool = JsonFlag,
) -> None:
    require("torch", "train", "learning")
    if not (directory / "config.toml").exists():
        raise FileNotFoundError(f"{directory} holds no run: it has no config.toml")
    if machine.core_built():
        settings_module.cap_cpu()
    from metabonk.learn.ablate import ablate as measure
    from metabonk.learn.ablate import read

    with stderr.status("reading the run") as status:

        def progress(done: int, total: int, name: str) -> None:
            status.update(f"training {done + 1} of {total}: {name}")

        found = measure(
            directory,
            seeds=seeds,
            steps=steps,
            episodes=episodes,
            parts=part,
            from_start=from_start,
            again=again,
            progress=progress,
        )
    result = read(found)
    if json:
        print_json({"path": str(found.path), **msgspec.to_builtins(result)})
    else:
        _show(result, found.path)
    if result.inert:
        raise typer.Exit(1)


def _show(result: Ablation, path: Path) -> None:
    console.print(f"[bold]{result.run}[/] at {result.step:,} steps", soft_wrap=True)
    from metabonk.learn.effects import DONE

    rows = [_row(effect, DONE[effect.mode]) for effect in result.effects]
    columns = ["part", "", ">return", ">95 %", ">behaviour, nats"]
    console.print(table(columns, rows))
    console.print()
    for finding in result.findings:
        colour = COLOURS[finding.verdict]
        console.print(f"[{colour}]{finding.verdict:>9}[/]  [bold]{finding.part}[/]: {finding.why}")
    mean = sum(result.intact) / len(result.intact)
    console.print(
        f"\n[dim]{len(result.seeds)} seeds, {result.steps:,} steps each, {result.episodes} "
        f"episodes; intact the return is {mean:,.2f}; seeds differ by {result.chance:.2g} nats[/]"
    )
    if not result.repeats:
        notice_line(
            "intact trainings of one seed do not repeat bit for bit here: what moved behaviour no "
            "further than that counts as inert"
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
