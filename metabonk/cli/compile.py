"""`metabonk compile`: makes one native object of what a run learned, and says what that costs."""

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
    interval,
    print_json,
    refuse_idle,
    require,
    stderr,
    table,
    verb,
)
from metabonk.cli.players import motor_of, run_of
from metabonk.errors import ConfigError

if TYPE_CHECKING:
    from metabonk.learn.fidelity import Fidelity

app, command = verb(
    """Make one native call of what a run learned, for playing without Torch.

Writes an artifact that metabonk.play.compiled.load and the C library read. The
compiled policy and the network play the same episodes, both with the likeliest
actions: how often they choose alike, and what the difference costs.

$ metabonk compile runs/long
$ metabonk compile runs/long --precision int8 --out policies/int8
$ metabonk compile runs/long --precision int8 --precision nvfp4    compare them
$ metabonk compile runs/dreams --dreamer        who learned in its dreams, whoever leads
$ metabonk compile runs/long/motors             its newest motor; or name a version"""
)


@command
def compile_policy(
    context: typer.Context,
    directory: Path = typer.Argument(
        help="Directory of the run, of its motors or one of them.", metavar="DIR"
    ),
    precision: list[str] = typer.Option(
        ["fp32"], help="Of the weights: fp32, bf16, int8, fp8, nvfp4, int4 or mxfp8; repeatable."
    ),
    out: Path = typer.Option(
        None, help="Where to; default: a folder of DIR/policies that is named after the precision."
    ),
    batch: int = typer.Option(1, help="Games that it decides for in one call.", min=1),
    sampled: bool = typer.Option(
        False, "--sampled/--greedy", help="Draw actions, or take the likeliest."
    ),
    episodes: int = typer.Option(64, help="To compare it in; 0: do not.", min=0),
    seed: int = typer.Option(0, help="Which episodes, and of drawn actions.", min=0),
    dreamer: bool = typer.Option(
        None,
        "--dreamer/--policy",
        help="Who learned in dreams, with its world model, or the policy; default: who leads.",
    ),
    json: bool = JsonFlag,
) -> None:
    require("torch", "train", "compiling")
    motor, run = motor_of(str(directory)), run_of(str(directory))
    if run is None:
        raise FileNotFoundError(f"{directory} holds no run: it has no config.toml")
    if motor is not None:
        why = "a motor always draws its candidates, and nothing else decides: leave it out"
        refuse_idle(context, {"--sampled", "--dreamer"}, why)
    if machine.core_built():
        settings_module.cap_cpu()
    if out is not None and len(precision) > 1:
        raise ConfigError("--out names one place; leave it out to compile several precisions")
    results = []
    for name in precision:
        kind = "motor-" if motor is not None else "dreamer-" if dreamer else ""
        where = out or run / "policies" / f"{kind}{name}"
        then = f" and playing {episodes} episodes" if episodes else ""
        with stderr.status(f"compiling {name}{then}"):
            if motor is not None:
                from metabonk.learn.motors.compiling import compile_version

                done = compile_version(
                    motor, run, where, name, batch=batch, episodes=episodes, seed=seed
                )
            else:
                from metabonk.learn.compiling import compile_run

                done = compile_run(
                    run,
                    where,
                    name,
                    batch=batch,
                    sampled=sampled,
                    episodes=episodes,
                    seed=seed,
                    dreamer=dreamer,
                )
        results.append((where, done))
    if json:
        print_json(
            [{"path": str(p), "fidelity": msgspec.to_builtins(found)} for p, found in results]
        )
        return
    measured = [found for _, found in results if found is not None]
    if measured:
        print_fidelity(measured)
    for where, _ in results:
        console.print(f"written  {where}", soft_wrap=True)


def print_fidelity(found: list[Fidelity]) -> None:
    """A row per precision."""
    rows = [
        (
            one.precision,
            f"{one.bytes / 1024:,.0f} kB",
            f"{100.0 * one.agreement:.2f} %",
            f"{one.difference.mean + one.difference.difference:,.2f}",
            f"{one.difference.difference:+,.2f}  {interval(one.difference.ci95)}",
        )
        for one in found
    ]
    heads = ["precision", ">weights", ">same action", ">mean return", "against the network (95 %)"]
    console.print(table(heads, rows))
    console.print(f"[dim]{found[0].decisions:,} decisions compared[/]")
