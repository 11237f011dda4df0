"""`metabonk games`: which games there are, which can be played here, and what is missing."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import msgspec
import typer
from rich.columns import Columns
from rich.padding import Padding

from metabonk import machine
from metabonk.cli.output import JsonFlag, console, print_json
from metabonk.errors import ConfigError, MetabonkError
from metabonk.games import NAMES

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    help="""List the games and what is missing to play them.

Every name here works as [bold]--game[/] of train, play and eval.

$ metabonk games
$ metabonk games --all        with every Gymnasium environment that is installed
$ metabonk games demo grid64/key_door --episodes 100 --out demos""",
)


ABOUT = {
    "arena": "the built-in survivors-like, with its menus and offers",
    "grid64": "built-in puzzles and mazes on 64x64 cells of 16 colours",
    "doom": "the real Doom through ViZDoom, from pixels",
    "gym": "any environment registered in Gymnasium",
    "bonklink": "a game that runs already, over BonkLink: the real one, or `metabonk host`",
    "research_shm": "the same over ResearchPlugin's shared memory",
}


class Kind(msgspec.Struct, frozen=True):
    """One kind of game. names: what `--game` takes; missing: what to do first, or empty."""

    pattern: str
    about: str
    ready: bool
    missing: str
    names: list[str]


@app.callback()
def show(
    context: typer.Context,
    all_: bool = typer.Option(False, "--all", help="List every Gymnasium environment too."),
    json: bool = JsonFlag,
) -> None:
    if context.invoked_subcommand:
        return
    kinds = [_kind(kind, all_) for kind in NAMES]
    if json:
        print_json(kinds)
        return
    for kind in kinds:
        state = "[green]ready[/]" if kind.ready else f"[yellow]{kind.missing}[/]"
        console.print(f"[bold]{kind.pattern}[/]  {kind.about}: {state}")
        if kind.names != [kind.pattern]:
            console.print(Padding(Columns(kind.names, padding=(0, 3)), (0, 0, 1, 4)))


@app.command()
def demo(
    game: str = typer.Argument(help="A game with a solver: grid64/<name>.", metavar="GAME"),
    out: Path = typer.Option(..., help="Folder of episodes to append to.", metavar="DIR"),
    episodes: int = typer.Option(10, help="How many, one per seed.", min=1),
    seed: int = typer.Option(0, help="Seed of the first.", min=0),
    test: bool = typer.Option(False, "--test", help="Levels of the test split, not of training."),
    json: bool = JsonFlag,
) -> None:
    """Record how a game's solver plays it, as episodes on disk."""
    kind, _, name = game.partition("/")
    if kind != "grid64":
        raise ConfigError(f"{game}: only grid64/<name> has solvers that demonstrate it")
    from metabonk.data.demonstrations import write_demonstrations

    written = write_demonstrations(
        out, name, episodes, seed=seed, split="test" if test else "train"
    )
    if json:
        print_json(written._asdict())
        return
    console.print(
        f"{out}: {written.episodes} episodes, {written.steps:,} steps, {written.won} won",
        soft_wrap=True,
    )


def _kind(kind: str, all_: bool) -> Kind:
    module, pattern = NAMES[kind]
    missing = _missing(kind, module)
    found: list[str] = []
    if not missing:
        if kind == pattern:
            found = [kind]
        elif kind == "gym":
            found = _gym_names() if all_ else []
        else:
            names = importlib.import_module(module).names()
            found = [f"{kind}/{name}" for name in sorted(names)]
    return Kind(pattern, ABOUT.get(kind, ""), not missing, missing, found)


def _gym_names() -> list[str]:
    import gymnasium

    return sorted(f"gym/{i}" for i in gymnasium.registry if "/" not in i)


def _missing(kind: str, module: str) -> str:
    """What has to be installed or built before the game can be made; empty if nothing."""
    if kind == "doom" and importlib.util.find_spec("vizdoom") is None:
        return "pip install 'metabonk[games]'"
    if kind in ("arena", "grid64", "bonklink", "research_shm") and not machine.core_built():
        return "the native core is not built: ./scripts/build"
    try:
        importlib.import_module(module)
    except (MetabonkError, ImportError) as error:
        return str(error)
    return ""
