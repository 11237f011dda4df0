"""`metabonk games`: which games there are, which can be played here, and what is missing."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import msgspec
import numpy as np
import typer
from rich.columns import Columns
from rich.padding import Padding

from metabonk import extras, files, machine
from metabonk.cli.output import JsonFlag, check_target, console, print_json
from metabonk.errors import ConfigError, MetabonkError
from metabonk.games import NAMES
from metabonk.protocols import Array

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    help="""List the games and what is missing to play them.

Every name here works as [bold]--game[/] of train, play and record.

$ metabonk games
$ metabonk games --all      with every Gymnasium environment that is installed
$ metabonk games demo grid64/key_door --episodes 100 --out demos
$ metabonk games menus --out menus.jpg""",
)


ABOUT = {
    "arena": "the built-in survivors-like, with its menus and offers",
    "grid64": "built-in puzzles and mazes on 64x64 cells of 16 colours",
    "doom": "the real Doom through ViZDoom, from pixels",
    "gym": "any environment registered in Gymnasium",
    "bonklink": "a game that runs already, over BonkLink: the real one, or `metabonk host`",
    "research_shm": "the same over ResearchPlugin's shared memory",
}

PICTURE_QUALITY = 90  # of JPEGs


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


@app.command()
def menus(
    out: Path = typer.Option(..., help="Draw all on one sheet here (.jpg).", metavar="FILE"),
    each: Path = typer.Option(None, help="And each by itself in this folder.", metavar="DIR"),
    seed: int = typer.Option(0, help="Seed of the run that they are from.", min=0),
    json: bool = JsonFlag,
) -> None:
    """Draw the arena and each of its menus, 640x360, from a run that a script plays."""
    if out.suffix.lower() not in (".jpg", ".jpeg"):
        raise ConfigError(f"--out {out}: give a .jpg")
    check_target(out)
    from metabonk.cognition.strips.strip import encode
    from metabonk.games.menu_tour import tour

    pictures = tour(seed=seed)
    files.replace(out, encode(_sheet([*pictures.values()]), PICTURE_QUALITY))
    if each is not None:
        each.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures.items():
            files.replace(each / f"{name}.jpg", encode(picture, PICTURE_QUALITY))
    if json:
        print_json({"out": str(out), "pictures": list(pictures)})
        return
    console.print(f"{out}: {', '.join(pictures)}", soft_wrap=True)


def _sheet(pictures: list[Array], columns: int = 3) -> Array:
    """Pictures of one size uint8 [H, W, 3] row by row; black where the last row is short."""
    tiles = [*pictures, *[np.zeros_like(pictures[0])] * (-len(pictures) % columns)]
    rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
    return np.concatenate(rows, 0)


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
        return extras.install("games")
    if kind in ("arena", "grid64", "bonklink", "research_shm") and not machine.core_built():
        return "the native core is not built: ./scripts/build"
    try:
        importlib.import_module(module)
    except (MetabonkError, ImportError) as error:
        return str(error)
    return ""
