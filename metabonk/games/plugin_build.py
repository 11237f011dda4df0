"""Building the plugins from their C# against a game's folder: BepInEx's assemblies and what it made
of the game.

Knows the order of the parts and two compilers, the .NET SDK and mono's mcs; does not know C# or the
game. Nothing of the game is copied: the compiler only reads it.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from metabonk.errors import GameError
from metabonk.games import plugin_stamp
from metabonk.games.plugin_folder import PLUGINS

# Each needs those before it: a folder of plugins/ -> the assembly's name.
PARTS = {
    "Core": "Metabonk.Core.dll",
    "Game": "Metabonk.Game.dll",
    **{name: assembly for name, (assembly, _) in PLUGINS.items()},
}

# What a game's folder has of .NET and of the game, once BepInEx has run in it.
_REFERENCES = ("dotnet", "BepInEx/core", "BepInEx/interop")
# Two faces of one library, of which the compiler wants one.
_FACADES = ("mscorlib.dll", "netstandard.dll", "System.dll", "System.Core.dll", "WindowsBase.dll")
_DOTNET = ["-c", "Release"]
_MCS = ["-unsafe", "-optimize", "-langversion:7", "-nostdlib", "-noconfig", "-nowarn:1701,1702"]


@dataclass(frozen=True)
class Built:
    """compiler: "dotnet" or "mcs". anew: False where the same had been built before."""

    compiler: str
    anew: bool


def sources_folder() -> Path:
    """The repository's plugins/. Raises GameError where the package was installed without it."""
    folder = Path(__file__).resolve().parents[2] / "plugins"
    if not (folder / "Core").is_dir():
        raise GameError("plugins: their sources are in the repository: run this from a checkout")
    return folder


def defaults(built: Path | None = None) -> dict[str, str]:
    """A settings' file name -> its text with the defaults: those that lie beside built plugins, or
    the repository's. Raises GameError if there are neither."""
    texts = {}
    for plugin, (_, name) in PLUGINS.items():
        path = None if built is None else built / name
        if path is None or not path.is_file():
            path = sources_folder() / plugin / name
        texts[name] = path.read_text("utf-8")
    return texts


def build(game: Path, out: Path, *, sources: Path | None = None, compiler: str = "auto") -> Built:
    """Builds every plugin into `out`, with its settings, unless `out` has the same already: built
    from these sources, against these assemblies, by this compiler.

    game: a folder that check_game accepts and in which BepInEx has run. compiler: "dotnet", "mcs",
    or "auto" for the first that is there. Raises GameError with the compiler's own words.
    """
    if not (game / "BepInEx/interop").is_dir():
        raise GameError(
            f"game_dir: {game} has no BepInEx/interop: start the game once, so that BepInEx "
            "makes it"
        )
    folder = sources or sources_folder()
    chosen = _choose(compiler)
    out.mkdir(parents=True, exist_ok=True)
    made_from = _made_from(game, folder, chosen)
    anew = not plugin_stamp.current(out, made_from, PARTS.values())
    if anew:
        if chosen == "dotnet":
            _dotnet(game, out, folder)
        else:
            _mcs(game, out, folder)
        plugin_stamp.write(out, made_from, PARTS.values())
    for plugin, (_, name) in PLUGINS.items():
        shutil.copyfile(folder / plugin / name, out / name)
    return Built(chosen, anew)


def _made_from(game: Path, sources: Path, compiler: str) -> str:
    """A digest of what `compiler` reads and is told."""
    patterns = [*(f"{part}/*.cs*" for part in PARTS), "*.props"]  # the projects' own files too
    read = {
        path.relative_to(sources).as_posix(): path
        for pattern in patterns
        for path in sources.glob(pattern)
    }
    read |= {path.relative_to(game).as_posix(): path for path in _assemblies(game)}
    return plugin_stamp.digest([compiler, _run([compiler, "--version"]), *_DOTNET, *_MCS], read)


def _assemblies(game: Path) -> list[Path]:
    """Of .NET, BepInEx and the game, some of which are no assemblies for a compiler."""
    return [path for folder in _REFERENCES for path in sorted((game / folder).rglob("*.dll"))]


def _choose(compiler: str) -> str:
    known = ("dotnet", "mcs")
    if compiler not in ("auto", *known):
        raise GameError(f"compiler: {compiler!r}; there are auto, dotnet and mcs")
    for name in known if compiler == "auto" else (compiler,):
        if shutil.which(name) and (name != "dotnet" or _run(["dotnet", "--list-sdks"]).strip()):
            return name
    raise GameError(
        "compiler: neither the .NET SDK (6 or newer) nor mono's mcs is installed: install one, "
        "for example apt-get install mono-mcs"
    )


def _dotnet(game: Path, out: Path, sources: Path) -> None:
    for plugin in PLUGINS:
        project = sources / plugin / f"{plugin}.csproj"
        _run(["dotnet", "build", str(project), *_DOTNET, f"-p:GameDir={game}", "-o", str(out)])


def _mcs(game: Path, out: Path, sources: Path) -> None:
    references = [
        path for path in _assemblies(game) if path.name not in _FACADES and _managed(path)
    ]
    for part, name in PARTS.items():
        target = out / name
        code = sorted(str(path) for path in (sources / part).glob("*.cs"))
        given = [f"-r:{path}" for path in references]
        _run(["mcs", "-target:library", *_MCS, *given, f"-out:{target}", *code])
        references.append(target)


def _managed(path: Path) -> bool:
    """Whether a file is an assembly: its image has a header of the common language runtime."""
    data = path.read_bytes()
    if len(data) < 0x40 or data[:2] != b"MZ":
        return False
    at = int.from_bytes(data[0x3C:0x40], "little")
    if data[at : at + 4] != b"PE\0\0":
        return False
    optional = at + 24
    wide = data[optional : optional + 2] == b"\x0b\x02"
    directory = optional + (112 if wide else 96) + 14 * 8
    return int.from_bytes(data[directory : directory + 4], "little") != 0


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()
        raise GameError(f"{command[0]} could not build the plugins:\n{said}")
    return done.stdout
