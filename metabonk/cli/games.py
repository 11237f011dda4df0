"""`metabonk games`: which games there are, which can be played here, and what is missing."""

from __future__ import annotations

import importlib
import importlib.util

import msgspec
import typer
from rich.columns import Columns
from rich.padding import Padding

from metabonk import machine
from metabonk.cli.output import JsonFlag, console, print_json, verb
from metabonk.errors import MetabonkError
from metabonk.games import NAMES

app, command = verb(
    """List the games and what is missing to play them.

Every name here works as [bold]--game[/] of train, play and eval.

$ metabonk games
$ metabonk games --all        with every Gymnasium environment that is installed"""
)


ABOUT = {
    "arena": "the built-in survivors-like, with its menus and offers",
    "grid64": "built-in puzzles and mazes on 64x64 cells of 16 colours",
    "doom": "the real Doom through ViZDoom, from pixels",
    "gym": "any environment registered in Gymnasium",
}


class Kind(msgspec.Struct, frozen=True):
    """One kind of game. names: what `--game` takes; missing: what to do first, or empty."""

    pattern: str
    about: str
    ready: bool
    missing: str
    names: list[str]


@command
def show(
    all_: bool = typer.Option(False, "--all", help="List every Gymnasium environment too."),
    json: bool = JsonFlag,
) -> None:
    kinds = [_kind(kind, all_) for kind in NAMES]
    if json:
        print_json(kinds)
        return
    for kind in kinds:
        state = "[green]ready[/]" if kind.ready else f"[yellow]{kind.missing}[/]"
        console.print(f"[bold]{kind.pattern}[/]  {kind.about}: {state}")
        if kind.names != [kind.pattern]:
            console.print(Padding(Columns(kind.names, padding=(0, 3)), (0, 0, 1, 4)))


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
    if kind in ("arena", "grid64") and not machine.core_built():
        return "the native core is not built: ./scripts/build"
    try:
        importlib.import_module(module)
    except (MetabonkError, ImportError) as error:
        return str(error)
    return ""
