"""`metabonk plugins`: our plugins into the real game's folder, and out of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import typer

from metabonk.cli.output import JsonFlag, console, print_json, table, verb
from metabonk.errors import GameError
from metabonk.games import plugin_build, plugin_folder

app, command = verb(
    """Put our plugins into the real game's folder.

What is replaced is kept under BepInEx/MetaBonk-backups; settings of yours stay.
Doing it again changes nothing.

$ metabonk plugins --game-dir ~/.steam/steam/steamapps/common/Megabonk --build
$ metabonk plugins --game-dir GAME --set Capture.EnableInputSnapshot=true
$ metabonk plugins --game-dir GAME --plugin BonkLink --plugin ResearchPlugin
$ metabonk plugins --game-dir GAME --remove"""
)


def _settings(words: list[str]) -> dict[str, str]:
    settings = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or "." not in key:
            raise GameError(f"set: {word!r}; wanted SECTION.KEY=VALUE, as Capture.Width=640")
        settings[key.strip()] = value.strip()
    return settings


@command
def plugins(
    game_dir: Path = typer.Option(..., "--game-dir", help="The folder that holds Megabonk.exe."),
    built: Path | None = typer.Option(
        None, "--built", help="Folder of the built assemblies; default: plugins/build."
    ),
    build: bool = typer.Option(False, "--build", help="Build them first, against this game."),
    compiler: str = typer.Option("auto", "--compiler", help="dotnet, mcs, or auto."),
    plugin: list[str] = typer.Option(
        ["BonkLink"], "--plugin", help="BonkLink or ResearchPlugin; several times for both."
    ),
    set_: list[str] = typer.Option([], "--set", help="A setting, as Capture.Width=640."),
    remove: bool = typer.Option(False, "--remove", help="Take the plugins out again."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say what would be done."),
    json: bool = JsonFlag,
) -> None:
    game = plugin_folder.check_game(game_dir)
    if remove:
        _show(plugin_folder.remove(game, dry=dry_run), json, dry_run)
        return
    folder = built or plugin_build.sources_folder() / "build"
    if build:
        done = plugin_build.build(game, folder, compiler=compiler)
        if not json:
            before = "" if done.anew else "already, from the same sources, "
            console.print(f"built {before}by {done.compiler} into {folder}")
    report = plugin_folder.install(
        game,
        folder,
        plugin_build.defaults(folder),
        plugins=list(dict.fromkeys(plugin)),
        settings=_settings(set_),
        dry=dry_run,
    )
    _show(report, json, dry_run)


def _show(report: plugin_folder.Report, json: bool, dry: bool) -> None:
    if json:
        print_json({**dataclasses.asdict(report), "changed": report.changed, "dry_run": dry})
        return
    rows = [(change.path, change.what) for change in report.changes]
    if rows:
        console.print(table(["file", "would be" if dry else "is"], rows))
    if not report.changed:
        console.print("nothing to do: everything is as it should be")
    if report.backup:
        console.print(f"{'would keep' if dry else 'kept'} what was replaced in {report.backup}")
    for note in report.notes:
        console.print(note)
