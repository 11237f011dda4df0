"""Imports run downward: the picture in the README, as a test over ASTs and #include lines."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Open to every room: one module each at the top of the package, `schema` a folder of them.
BOTTOM = {
    "extras",
    "errors",
    "files",
    "environment",
    "schema",
    "setting",
    "config",
    "machine",
    "records",
    "observations",
    "transports",
    "spaces",
    "protocols",
    "metrics",
    "artifact",
    "stage",
}

# Room -> rooms it may see, besides the bottom and itself.
SEES: dict[str, set[str]] = {
    "ops": set(),
    "link": set(),
    "models": {"ops", "link"},
    "games": {"link"},
    "data": {"games", "link"},
    "plan": {"models", "games"},
    "cognition": {"link"},
    "broadcast": {"link"},
    "play": {"models", "games", "data", "link", "ops", "cognition"},
    "learn": {"play", "models", "games", "data", "link", "ops", "plan", "cognition"},
    "population": {"learn", "play", "plan", "models", "games", "data", "link", "ops"},
}
BELOW_SERVE = set(SEES)
SEES["serve"] = set(BELOW_SERVE)
SEES["bench"] = BELOW_SERVE | {"serve"}
SEES["cli"] = BELOW_SERVE | {"serve", "bench"}
SEES["__main__"] = {"cli"}
for _room in BOTTOM:
    SEES[_room] = set()

# What the bottom itself may see: a fixed order among its own modules.
BOTTOM_ORDER = [
    "extras", "errors", "files", "environment", "schema", "setting", "config", "machine", "spaces",
    "records", "observations", "transports", "protocols", "metrics", "artifact", "stage",
]  # fmt: skip

# `play` sees of `cognition` only these.
COGNITION_FOR_PLAY = {("vocabulary",), ("agent", "client")}

# Only these import device kernels (bench measures them); `kernels` knows nothing of the package.
SEES_KERNELS = {"ops", "play.compiled", "bench"}

# Native submodule (metabonk._core.NAME) -> rooms that may bind to it.
SEES_CORE = {
    "support": {"*"},
    "records": {"observations"},
    "arena": {"games"},
    "grid64": {"games"},
    "link": {"games", "link"},
    "ipc": {"link"},
    "nn": {"play", "ops"},
    "play": {"play"},
    "video": {"broadcast", "ops", "cognition"},
    "motion": {"cognition"},
    "surroundings": {"cognition"},
}

CSRC_SEES = {
    "support": set(),
    "ipc": {"support"},
    "nn": {"support"},
    "games": {"support"},
    "video": {"support"},
    "link": {"support", "ipc", "nn", "games", "video"},
    "play": {"support", "ipc", "nn", "games", "video", "link"},
    "bindings": {"support", "ipc", "nn", "games", "video", "link", "play"},
}


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "bench":
        parts = ["metabonk", *parts]
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def imported_modules(path: Path) -> Iterator[str]:
    """Absolute names that a file imports, wherever in the file the import stands."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            target = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{target}.{alias.name}"


def upward_arrows(importer: str, imported: str) -> str | None:
    """Why `importer` may not import `imported`, or None."""
    source, target = importer.split("."), imported.split(".")
    if source[0] == "kernels":
        return "kernels know nothing of the package" if target[0] == "metabonk" else None
    if target[0] != "metabonk" or len(target) < 2 or len(source) < 2:
        return None
    here, there = source[1], target[1]
    if there == "_core":
        binding = target[2] if len(target) > 2 else "support"
        allowed = SEES_CORE.get(binding, set())
        fine = "*" in allowed or here in allowed or here in {"cli", "bench"}
        return None if fine else f"{here} may not bind to _core.{binding}"
    if there in {"kernels", "_cuda"}:
        allowed_here = here in SEES_KERNELS or ".".join(source[1:3]) in SEES_KERNELS
        return None if allowed_here else f"{here} may not import device kernels"
    if there not in SEES or here == there:
        return None
    if here in BOTTOM and there in BOTTOM:
        if BOTTOM_ORDER.index(there) > BOTTOM_ORDER.index(here):
            return f"{there} is above {here} in the bottom's order"
        return None
    if there in BOTTOM:
        return None
    if there not in SEES.get(here, set()):
        return f"{here} may not see {there}"
    if here == "play" and there == "cognition":
        seen = {tuple(target[2:end]) for end in (3, 4)}
        if not seen & COGNITION_FOR_PLAY:
            return "play sees only the vocabulary and the client of cognition"
    return None


def python_files() -> list[Path]:
    return [p for room in ("metabonk", "kernels", "bench") for p in (ROOT / room).rglob("*.py")]


@pytest.mark.parametrize("path", python_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_python_imports_run_downward(path: Path) -> None:
    importer = module_name(path)
    wrong = [
        f"{importer} imports {imported}: {why}"
        for imported in imported_modules(path)
        if (why := upward_arrows(importer, imported))
    ]
    assert not wrong, "\n".join(wrong)


def folders_seen(room: str) -> dict[str, set[str]]:
    """Which of a room's folders each of them imports from."""
    folders = [p for p in (ROOT / "metabonk" / room).iterdir() if (p / "__init__.py").exists()]
    names = {p.name for p in folders}
    return {
        folder.name: {
            parts[2]
            for path in folder.glob("*.py")
            for imported in imported_modules(path)
            if (parts := imported.split("."))[:2] == ["metabonk", room] and parts[2] in names
        }
        - {folder.name}
        for folder in folders
    }


@pytest.mark.parametrize("room", ["cognition", "learn"])
def test_folders_of_a_room_are_in_an_order(room: str) -> None:
    TopologicalSorter(folders_seen(room)).prepare()  # CycleError names the folders of a circle


def test_the_order_of_folders_knows_circles() -> None:
    seen = folders_seen("cognition")
    assert "protocol" in seen["broker"]
    seen["protocol"].add("broker")
    with pytest.raises(CycleError, match="broker"):
        TopologicalSorter(seen).prepare()


def test_what_tests_share_has_a_name_of_its_own() -> None:
    """Folders of tests lie on one path: of two modules of one name only the first is seen."""
    shared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    seen: dict[str, Path] = {}
    for folder in shared["pythonpath"]:
        for path in sorted((ROOT / folder).glob("*.py")):
            if path.stem != "conftest" and not path.stem.startswith("test_"):
                assert seen.setdefault(path.stem, path) == path
    assert len(seen) > 10


def test_every_room_is_in_the_picture() -> None:
    rooms = {
        p.stem if p.is_file() else p.name
        for p in (ROOT / "metabonk").iterdir()
        if (p.suffix == ".py" or (p.is_dir() and any(p.glob("*.py")))) and p.stem[0] != "_"
    }
    assert rooms <= set(SEES), f"give {sorted(rooms - set(SEES))} a place in SEES and the README"


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("metabonk.models.policy", "metabonk.learn.ppo"),
        ("metabonk.games.arena", "metabonk.data.episode"),
        ("metabonk.errors", "metabonk.config"),
        ("metabonk.schema.dreams", "metabonk.config"),
        ("metabonk.play.loop", "metabonk.cognition.broker.broker"),
        ("metabonk.play.loop", "metabonk.cognition.agent.dialogue"),
        ("metabonk.cli.train", "metabonk.kernels.triton"),
        ("metabonk.models.cfc", "metabonk._core.arena"),
        ("kernels.triton.vq", "metabonk.errors"),
    ],
)
def test_the_rule_catches_upward_arrows(importer: str, imported: str) -> None:
    assert upward_arrows(importer, imported)


INCLUDE = re.compile(r'^\s*#include\s+["<]([^">]+)[">]', re.MULTILINE)


def csrc_files() -> list[Path]:
    return [p for p in (ROOT / "csrc").rglob("*") if p.suffix in {".h", ".cc", ".inl", ".inc"}]


def wrong_includes(room: str, text: str) -> list[str]:
    wrong = []
    for target in INCLUDE.findall(text):
        first = target.split("/")[0]
        if room == "include":
            if first in CSRC_SEES:
                wrong.append(f"a public header includes {target}")
        elif first in CSRC_SEES and first not in CSRC_SEES[room] | {room}:
            wrong.append(f"csrc/{room} includes {target}")
        python = target in {"Python.h", "torch/torch.h"} or first in {"nanobind", "torch", "ATen"}
        if python and (room != "bindings" or first in {"torch", "ATen"}):
            wrong.append(f"{target} belongs to bindings (Torch nowhere)")
    return wrong


@pytest.mark.parametrize("path", csrc_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_includes_run_downward(path: Path) -> None:
    assert not wrong_includes(path.relative_to(ROOT / "csrc").parts[0], path.read_text())


@pytest.mark.parametrize(
    ("room", "target"),
    [
        ("games", "play/loop.h"),
        ("support", "games/batch.h"),
        ("include", "support/status.h"),
        ("link", "bindings/arrays.h"),
        ("nn", "Python.h"),
        ("games", "nanobind/nanobind.h"),
        ("bindings", "torch/torch.h"),
    ],
)
def test_the_rule_catches_upward_includes(room: str, target: str) -> None:
    assert wrong_includes(room, f'#include "{target}"\n')
    assert not wrong_includes(room, '#include "support/status.h"\n#include <vector>\n') or (
        room == "include"
    )
