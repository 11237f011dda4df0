"""The real game's folder, and our plugins in it: put there, brought up to date, taken away.

Knows what such a folder looks like (Megabonk under BepInEx 6 for IL2CPP) and the files of our
plugins; does not know how they are built (plugin_build.py) or what they do. Nothing of the game
itself is read or changed. Every file is replaced as a whole, what it replaces is kept in a backup,
and doing it again changes nothing.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from metabonk import files
from metabonk.errors import GameError
from metabonk.games.plugin_settings import merged

# A plugin -> (its assembly, its settings' file).
PLUGINS = {
    "BonkLink": ("BonkLink.dll", "com.metabonk.bonklink.cfg"),
    "ResearchPlugin": ("ResearchPlugin.dll", "com.metabonk.research.cfg"),
}
SHARED = ("Metabonk.Core.dll", "Metabonk.Game.dll")

_OURS = Path("BepInEx/plugins/MetaBonk")
_SETTINGS = Path("BepInEx/config")
_BACKUPS = Path("BepInEx/MetaBonk-backups")
# Plugins of before, which would load a second time beside the new ones.
_OLDER = ("BonkLink.dll", "BonkLink", "ResearchPlugin.dll", "ResearchPlugin")


@dataclass(frozen=True)
class Change:
    """One file. path: below the game's folder. what: "installed", "updated", "removed" or
    "current" (it was so already)."""

    path: str
    what: str


@dataclass
class Report:
    """What was done, or would be. backup: folder of what was replaced, empty if nothing was."""

    game: str
    changes: list[Change] = field(default_factory=list)
    backup: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return any(change.what != "current" for change in self.changes)


def check_game(folder: Path | str) -> Path:
    """The folder of the game, if it is one: `folder` itself. Raises GameError that names what is
    missing and what to do."""
    game = Path(folder).expanduser()
    if not game.is_dir():
        raise GameError(f"game_dir: {game} is no folder; give the one that holds Megabonk.exe")
    wanted = {
        "Megabonk.exe": "it is not the game's folder; in Steam: Manage, Browse local files",
        "Megabonk_Data": "the game is not whole; let Steam verify its files",
        "GameAssembly.dll": "the game is not whole; let Steam verify its files",
        "BepInEx/core/BepInEx.Unity.IL2CPP.dll": (
            "put BepInEx 6 for IL2CPP (x64) into the game's folder, start the game once, then "
            "come back"
        ),
    }
    for name, remedy in wanted.items():
        if not (game / name).exists():
            raise GameError(f"game_dir: {game} has no {name}: {remedy}")
    return game


def check_built(folder: Path | str, plugins: Iterable[str]) -> dict[str, Path]:
    """Name -> path of the assemblies that these plugins need. Raises GameError if one is missing or
    is no assembly."""
    built = Path(folder)
    found: dict[str, Path] = {}
    for plugin in plugins:
        if plugin not in PLUGINS:
            raise GameError(f"plugin: {plugin!r} is none; there are {', '.join(PLUGINS)}")
        for name in (*SHARED, PLUGINS[plugin][0]):
            path = built / name
            if not path.is_file():
                raise GameError(
                    f"built: {path} is missing: build the plugins first, with --build or as "
                    "plugins/README.md says"
                )
            if path.read_bytes()[:2] != b"MZ":
                raise GameError(f"built: {path} is no assembly: build the plugins again")
            found[name] = path
    return found


class _Update:
    """One update of one game's folder; `dry` changes nothing."""

    def __init__(self, game: Path, dry: bool) -> None:
        self.game = game
        self.dry = dry
        self.report = Report(str(game))
        self._backup = game / _BACKUPS / time.strftime("%Y%m%d-%H%M%S")

    def put(self, place: Path, data: bytes) -> None:
        target = self.game / place
        if target.is_file() and _digest(target.read_bytes()) == _digest(data):
            self.report.changes.append(Change(place.as_posix(), "current"))
            return
        existed = target.exists()
        if existed:
            self._keep(place)
        if not self.dry:
            target.parent.mkdir(parents=True, exist_ok=True)
            files.replace(target, data)
        self.report.changes.append(Change(place.as_posix(), "updated" if existed else "installed"))

    def remove(self, place: Path) -> None:
        target = self.game / place
        if not target.exists():
            return
        self._keep(place)
        if not self.dry:
            shutil.rmtree(target) if target.is_dir() else target.unlink()
        self.report.changes.append(Change(place.as_posix(), "removed"))

    def _keep(self, place: Path) -> None:
        if not self.report.backup:
            # Two updates within one second must not share a folder.
            number = 0
            base = self._backup
            while self._backup.exists():
                number += 1
                self._backup = base.with_name(f"{base.name}-{number}")
            self.report.backup = str(self._backup)
        if self.dry:
            return
        kept = self._backup / place
        kept.parent.mkdir(parents=True, exist_ok=True)
        source = self.game / place
        shutil.copytree(source, kept) if source.is_dir() else shutil.copy2(source, kept)


def install(
    game_dir: Path | str,
    built: Path | str,
    defaults: Mapping[str, str],
    *,
    plugins: Sequence[str] = ("BonkLink",),
    settings: Mapping[str, str] | None = None,
    dry: bool = False,
) -> Report:
    """Puts built plugins and their settings into the game's folder.

    built: folder of the assemblies. defaults: a settings' file name -> its whole text with the
    defaults; what the game's own file says stays, what it lacks is added. settings: "Section.Key"
    -> value, set in every file that has the key; a file that is there is otherwise left as its
    owner wrote it. dry: says what would be done. Raises GameError for a folder that is not the
    game's, for plugins that are not built and for a setting that no plugin has; nothing has changed
    then. OSError if a file cannot be written, as while the game runs.
    """
    game = check_game(game_dir)
    assemblies = check_built(built, plugins)
    wanted = dict(settings or {})
    texts: dict[Path, bytes] = {}
    for plugin in plugins:
        name = PLUGINS[plugin][1]
        target = game / _SETTINGS / name
        present = target.read_text("utf-8-sig") if target.is_file() else ""
        text, used = merged(present, defaults[name], wanted)
        for key in used:
            wanted.pop(key, None)
        texts[_SETTINGS / name] = text.encode()
    if wanted:
        raise GameError(f"set: {', '.join(wanted)} is no setting of {', '.join(plugins)}")
    update = _Update(game, dry)
    for name in _OLDER:
        update.remove(Path("BepInEx/plugins") / name)
    for name, path in assemblies.items():
        update.put(_OURS / name, path.read_bytes())
    for place, data in texts.items():
        update.put(place, data)
    if not (game / "BepInEx/interop").is_dir():
        update.report.notes.append(
            "BepInEx has not read the game yet: start it once without waiting for an agent"
        )
    return update.report


def remove(game_dir: Path | str, *, dry: bool = False) -> Report:
    """Takes our plugins out of the game's folder, settings too; all of it is in the backup."""
    update = _Update(check_game(game_dir), dry)
    update.remove(_OURS)
    for _, name in PLUGINS.values():
        update.remove(_SETTINGS / name)
    return update.report


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
