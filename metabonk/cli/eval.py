"""`metabonk eval`: measures what a run learned, against random and scripted play."""

from __future__ import annotations

from pathlib import Path

import msgspec
import typer

from metabonk import config as settings_module
from metabonk import machine
from metabonk.cli.output import JsonFlag, console, print_json, require, stderr, verb

app, command = verb(
    """Measure what a run learned against random and scripted play.

The newest checkpoint and the baselines play the same episodes, so that the
difference is the policy's and not the level's. Where a dreamer plays beside the
policy, whoever led when that was saved is measured, beside the other one.
DIR/evaluations keeps it; the run's report goes on showing the run's own.

$ metabonk eval runs/long
$ metabonk eval runs/long --episodes 256 --seed 1    other episodes, and more
$ metabonk eval runs/long --greedy                   the likeliest actions"""
)


@command
def evaluate(
    directory: Path = typer.Argument(help="Directory of the run.", metavar="DIR"),
    episodes: int = typer.Option(
        0, help="How many; default: as the run was configured.", min=0, show_default=False
    ),
    seed: int = typer.Option(0, help="Which episodes; 0: those that training reports on.", min=0),
    greedy: bool = typer.Option(None, "--greedy/--sampled", help="Act without chance, or with it."),
    again: bool = typer.Option(False, "--again", help="Also if it was measured before."),
    json: bool = JsonFlag,
) -> None:
    require("torch", "train", "evaluation")
    if not (directory / "config.toml").exists():
        raise FileNotFoundError(f"{directory} holds no run: it has no config.toml")
    if machine.core_built():
        settings_module.cap_cpu()
    from metabonk.cli.train import print_evaluation
    from metabonk.learn.assess import assess_run, read

    with stderr.status("playing the evaluation episodes"):
        sampled = None if greedy is None else not greedy
        found = assess_run(directory, episodes=episodes, sampled=sampled, seed=seed, again=again)
    result = read(found)
    if json:
        print_json(msgspec.to_builtins(result))
        return
    console.print(f"[bold]{directory}[/]", soft_wrap=True)
    print_evaluation(result)
    console.print(f"[dim]{found.path}, measured {found.card.created}[/]", soft_wrap=True)
