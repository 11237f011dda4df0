"""`metabonk games`: which games there are, which can be played here, and what is missing."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import typer

from metabonk import machine
from metabonk.cli.output import JsonFlag, console, print_json, table, verb
from metabonk.errors import MetabonkError
from metabonk.games import NAMES

app, command = verb(
    """List the games and what is missing to play them.

Every name here works as [bold]--game[/] of train, play and eval.

  metabonk games
  metabonk games --all        with every Gymnasium environment that is installed"""
)


@command
def show(
    all_: bool = typer.Option(False, "--all", help="List every Gymnasium environment too."),
    json: bool = JsonFlag,
) -> None:
    rows = [row for kind in NAMES for row in _rows(kind, all_)]
    if json:
        print_json(rows)
        return
    cells = (
        (r["name"], r["about"], "[green]ready[/]" if r["ready"] else f"[yellow]{r['missing']}[/]")
        for r in rows
    )
    console.print(table(["game", "what it is", "state"], cells))


def _rows(kind: str, all_: bool) -> list[dict[str, Any]]:
    module, pattern = NAMES[kind]
    about, names = {
        "arena": ("the built-in survivors-like; its menus and offers included", lambda: ["arena"]),
        "grid64": (
            "built-in puzzles and mazes on 64x64 cells of 16 colours",
            _listed(module, kind),
        ),
        "doom": ("the real Doom through ViZDoom, from pixels", _listed(module, kind)),
        "gym": ("any environment registered in Gymnasium", _gym_names if all_ else None),
    }.get(kind, ("", None))
    missing = _missing(kind, module)
    found = names() if names is not None and not missing else []
    return [
        {"name": name, "about": about, "ready": not missing, "missing": missing}
        for name in found or [pattern]
    ]


def _listed(module: str, kind: str) -> Callable[[], list[str]]:
    return lambda: [f"{kind}/{name}" for name in sorted(importlib.import_module(module).names())]


def _gym_names() -> list[str]:
    import gymnasium

    ids = (i for i in gymnasium.registry if "/" not in i)
    return [f"gym/{i}" for i in sorted(ids)]


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
