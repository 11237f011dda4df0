"""The state of the source behind what a study found.

Knows files and what they import; does not know what is studied or how. A study rests on its module
and on all of the package that this imports, there or further on, also inside of functions, on the
games that are imported by name, and on the native core's sources where there is a checkout of them:
what is built of these differs from compiler to compiler. How studies are judged and kept decides
nothing of what their cells find; nor does what is said about the code within it.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import metabonk
from metabonk.games.make import NAMES

BENCH, PACKAGE = "metabonk.bench", "metabonk"
ROOTS = {BENCH: Path(__file__).parent, PACKAGE: Path(metabonk.__file__).parent}
KEEPING = ("study", "study_run", "studies", "study_pictures", "provenance")
CORE = Path(__file__).parent.parent / "csrc"
ROOMS = ("games", "include", "nn", "support")  # of it, that decide what is played and computed
PLAYED = ("arena", "grid64", "doom", "gym")  # the games that are played in studies
DIGITS = 12
# Of C++, with what could hold signs of comments and is none.
_TEXT_OR_COMMENT = re.compile(
    rb'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/', re.DOTALL
)
_SAID = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)  # what has docstrings


def source(study: object) -> str:
    """Digits that change with what the study rests on; after a dash, where there is a checkout,
    those of the native core."""
    module = sys.modules[type(study).__module__]
    assert module.__file__ is not None
    native = _native(CORE)
    return _digest(rests_on(Path(module.__file__))) + (f"-{native}" if native else "")


def changed(kept: Sequence[str], now: str) -> bool | None:
    """Whether any of the states that were kept is another than `now`; None where none was kept.
    The native core is compared where both know it."""
    if not kept:
        return None
    return any(not _same(one, now) for one in kept)


def _same(one: str, other: str) -> bool:
    (python, _, native), (now, _, core) = one.partition("-"), other.partition("-")
    return python == now and (not native or not core or native == core)


def _native(core: Path) -> str:
    files = [path for room in ROOMS for path in (core / room).rglob("*") if path.is_file()]
    return _digest(sorted(files)) if files else ""


def _digest(paths: Sequence[Path]) -> str:
    whole = sha256()
    for path in paths:
        whole.update(path.name.encode())
        whole.update(_meaning(path, path.stat().st_mtime_ns))
    return whole.hexdigest()[:DIGITS]


@functools.cache
def _meaning(path: Path, _modified_ns: int) -> bytes:
    """A file without comments, docstrings and, in Python, layout."""
    raw = path.read_bytes()
    if path.suffix != ".py":
        return _TEXT_OR_COMMENT.sub(lambda m: b"" if m[0].startswith(b"/") else m[0], raw)
    tree = ast.parse(raw, str(path))
    for node in ast.walk(tree):
        if isinstance(node, _SAID) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return repr(_plain(tree)).encode()


def _plain(node: object) -> object:
    """A syntax tree as tuples; what is empty is left out, as versions of Python differ in it."""
    if isinstance(node, ast.AST):
        named = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
        return type(node).__name__, *((name, _plain(value)) for name, value in named)
    return [_plain(one) for one in node] if isinstance(node, list) else node


def rests_on(start: Path) -> list[Path]:
    """A file and those of the package that it imports, there or further on, in an order that is the
    same wherever the package lies."""
    keeping = {ROOTS[BENCH] / f"{name}.py" for name in KEEPING}
    found, waiting = {start}, [start]
    while waiting:
        importing = waiting.pop()
        for path in _imports(importing, importing.stat().st_mtime_ns):
            if path not in found | keeping:
                found.add(path)
                waiting.append(path)
    return sorted(found, key=_place)


def _place(path: Path) -> tuple[int, tuple[str, ...]]:
    """Which of the roots a file is under, and where there; in a wheel one lies within the other."""
    for number, root in enumerate(ROOTS.values()):
        if path.is_relative_to(root):
            return number, path.relative_to(root).parts
    return len(ROOTS), path.parts


@functools.cache
def _imports(path: Path, _modified_ns: int) -> tuple[Path, ...]:
    """Files of the package that one file names in its imports, and where games are made those of
    the games."""
    found: list[Path] = []
    if path == ROOTS[PACKAGE] / "games" / "make.py":
        found += filter(None, (_file(NAMES[game][0]) for game in PLAYED))
    package = _package(path)
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                above = parts[: len(parts) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        found += filter(None, map(_file, names))
    return tuple(dict.fromkeys(found))


def _package(path: Path) -> str:
    """The dotted package that a file's relative imports start from; empty outside of both."""
    for name, root in ROOTS.items():
        if path.is_relative_to(root):
            return ".".join([name, *path.relative_to(root).parent.parts])
    return ""


def _file(module: str) -> Path | None:
    for name, root in ROOTS.items():
        if module == name or module.startswith(f"{name}."):
            path = root.joinpath(*module.removeprefix(name).split("."))
            for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
                if file.is_file() and file != root / "__init__.py":
                    return file
            return None
    return None
