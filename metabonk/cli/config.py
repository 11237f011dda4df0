"""`metabonk config`: the settings in force, or every variable that may be set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import typer

from metabonk import config as settings_module
from metabonk.cli.output import JsonFlag, at_least, console, notice_line, print_json, table, verb
from metabonk.errors import ConfigError
from metabonk.games.make import NAMES
from metabonk.learn.presets import preset

app, command = verb(
    """Show every setting, where it can be set and what it means.

Settings come from, each beating the one before: the defaults, what is known to
suit the game, a TOML file ([bold]--config[/]), METABONK_* variables, flags.

$ metabonk config                        the settings in force, as TOML
$ metabonk config > mine.toml            a file to edit, for --config
$ metabonk config --set ppo.clip=0.1     what a flag would change
$ metabonk config --env                  every METABONK_* variable"""
)


@command
def show(
    env: bool = typer.Option(False, "--env", help="List all METABONK_* variables instead."),
    game: str = typer.Option(None, help="With this game's own settings.", metavar="NAME"),
    config: Path = typer.Option(None, help="TOML file with settings.", metavar="FILE"),
    set_: list[str] = typer.Option(
        [], "--set", help="A setting, e.g. ppo.clip=0.1; repeatable.", metavar="KEY=VALUE"
    ),
    json: bool = JsonFlag,
) -> None:
    if env:
        _show_variables(json)
        return
    if game is not None and game.partition("/")[0] not in NAMES:
        raise ConfigError(f"--game {game}: there is no such game, `metabonk games` lists them")
    flags = settings_module.flags_of(set_, {"game.name": game})
    chosen = settings_module.load(config, presets=preset, flags=flags, notice=notice_line)
    if json:
        print_json(msgspec.to_builtins(chosen))
    else:
        print(settings_module.to_toml(chosen), end="")


WIDE = 200  # columns where no terminal breaks lines
_GROUPS = (
    ("Settings: METABONK_SECTION_KEY sets section.key", "set"),
    ("Read by the build of the native core", "build"),
    ("Known, not built yet: setting one has no effect and says so", "not built yet"),
)


def _show_variables(json: bool) -> None:
    # What is in force where nobody sets one; the table of older names says what scripts expected.
    defaults = {
        s.key: settings_module.as_text(s.default) for s in settings_module.settings().values()
    }
    rows: list[dict[str, Any]] = [
        {
            "name": variable.name,
            "default": variable.default if variable.value else defaults.get(key, variable.default),
            "key": key,
            "status": "not built yet" if not key else "build" if key == "build" else "set",
            "help": variable.help,
        }
        for variable, key in settings_module.variables()
    ]
    if json:
        print_json(rows)
        return
    for title, status in _GROUPS:
        chosen = (r for r in rows if r["status"] == status)
        cells = ((r["name"], r["default"] or "[dim]empty[/]", r["help"]) for r in chosen)
        with at_least(0 if console.is_terminal else WIDE):
            console.print(table(["variable", "default", "meaning"], cells, f"[bold]{title}[/]"))
        console.print()
