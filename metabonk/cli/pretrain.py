"""`metabonk pretrain`: learns from what was recorded, with no game to explore."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from metabonk import config as settings_module
from metabonk import machine
from metabonk.cli.output import JsonFlag, console, notice_line, print_json, require, stderr

if TYPE_CHECKING:
    from metabonk.learn.pretrain import Pretrained

app = typer.Typer(
    help="""Learn from what was recorded.

$ metabonk train --record --run runs/long
$ metabonk pretrain cpqe runs/long""",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
PHASES = {"teacher": "diffusion teacher", "student": "one-step student", "q": "Q functions"}


@app.callback()
def _group() -> None:
    """Learn from what was recorded."""


@app.command(
    help="""Learn a consistency motor with Q functions that judge it.

A diffusion teacher learns what was done, a student learns to say the same in
one step, and an ensemble of Q functions learns what that was worth. Several
candidates are drawn per decision; the one with the highest mean - beta std is
done. A version is added to DIR/motors; the run stays as it was.

$ metabonk pretrain cpqe runs/long
$ metabonk pretrain cpqe runs/long --from recordings/human
$ metabonk pretrain cpqe runs/long --set cpqe.candidates=16 --seed 1"""
)
def cpqe(
    directory: Path = typer.Argument(help="Directory of the run.", metavar="DIR"),
    sources: list[Path] = typer.Option(
        [], "--from", help="Recordings; default: DIR/episodes. Repeatable.", metavar="PATH"
    ),
    episodes: int = typer.Option(32, help="To measure it in; 0: do not.", min=0),
    seed: int = typer.Option(0, help="Everything random follows from it.", min=0),
    set_: list[str] = typer.Option(
        [], "--set", help="A setting, e.g. cpqe.beta=2; repeatable.", metavar="KEY=VALUE"
    ),
    json: bool = JsonFlag,
) -> None:
    require("torch", "train", "learning")
    if not (directory / "config.toml").exists():
        raise FileNotFoundError(f"{directory} holds no run: it has no config.toml")
    if machine.core_built():
        settings_module.cap_cpu()
    from metabonk.learn.pretrain import pretrain_cpqe, settings_of

    config = settings_of(directory, settings_module.flags_of(set_, {}))
    with stderr.status("reading recordings") as status:

        def progress(phase: str, done: int, count: int, metrics: dict[str, float]) -> None:
            if done % 50 == 0 or done == count:
                loss = "".join(f", loss {value:.3g}" for value in metrics.values())
                after = ", then measuring" if phase == "q" and done == count and episodes else ""
                status.update(f"{PHASES[phase]}: {done:,} of {count:,} updates{loss}{after}")

        result = pretrain_cpqe(
            directory, config, sources=sources, seed=seed, episodes=episodes, progress=progress
        )
    _show(result, json)


def _show(result: Pretrained, json: bool) -> None:
    for reason, count in result.left_out.items():
        notice_line(f"{count:,} decisions were left out: {reason}")
    if json:
        found: dict[str, Any] = {
            "path": str(result.motor.path),
            "hash": result.motor.hash,
            "steps": result.steps,
            "left_out": result.left_out,
            "losses": result.losses,
            "evaluation": msgspec.to_builtins(result.evaluation),
        }
        print_json(found)
        return
    console.print(f"[bold]Learned[/] from {result.steps:,} decisions")
    if result.evaluation is not None:
        from metabonk.cli.train import print_evaluation

        print_evaluation(result.evaluation)
        console.print(
            "[dim]teacher: the same judges and 40 steps of diffusion; unjudged: one candidate[/]"
        )
    console.print(f"written  {result.motor.path}", soft_wrap=True)
