"""The sizes of tiles: `configs/<architecture>.json`, checked in, chosen by the sizes of the work.

    {"kernels": {"int8_linear": [
        {"upto": {"rows": 64},                    the first whose bounds hold is taken
         "tile": {"ROWS": 64, "OUTPUTS": 64},     compile-time constants of the kernel
         "warps": 4, "stages": 4,
         "compile": {"BIASED": true},             what else is constant, for compiling without a GPU
         "registers": 168, "shared": 98304,       limits that the compiled kernel must keep
         "instructions": ["IMMA"]}]}}             that its machine code must hold

Knows the files; no kernel and no torch.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class Tile:
    """One entry. constants: sizes of the tile; compile: the other constants to compile it with;
    registers per thread, shared in bytes: limits; instructions: declared ones."""

    kernel: str
    architecture: str
    constants: Mapping[str, Any]
    warps: int
    stages: int
    upto: Mapping[str, int]
    compile: Mapping[str, Any]
    registers: int
    shared: int
    instructions: tuple[str, ...]

    @property
    def name(self) -> str:
        """As tables and tests call it."""
        sizes = " ".join(f"{name}={value}" for name, value in self.constants.items())
        variant = " ".join(
            str(v) for v in self.compile.values() if isinstance(v, str)
        )  # what is written in words tells entries of one tile apart
        return " ".join(filter(None, (self.kernel, variant, sizes)))

    @property
    def options(self) -> dict[str, int]:
        """How Triton calls them."""
        return {"num_warps": self.warps, "num_stages": self.stages}


def architectures() -> tuple[str, ...]:
    """Those that have a file."""
    return tuple(sorted((p.stem for p in CONFIGS.glob("sm_*.json")), key=lambda n: int(n[3:])))


@functools.cache
def entries(architecture: str) -> Mapping[str, tuple[Tile, ...]]:
    """All tiles by kernel, in the file's order. Raises ValueError for a file not as above."""
    path = CONFIGS / f"{architecture}.json"
    if not path.exists():
        raise ValueError(f"no tiles for {architecture}; there are {', '.join(architectures())}")
    return read(path.read_text(encoding="utf-8"), architecture)


def read(text: str, architecture: str) -> Mapping[str, tuple[Tile, ...]]:
    """The entries of a file's text; raises ValueError that names the kernel and the field."""
    found: dict[str, tuple[Tile, ...]] = {}
    for kernel, rows in json.loads(text)["kernels"].items():
        found[kernel] = tuple(_tile(kernel, architecture, row) for row in rows)
        if not rows or found[kernel][-1].upto:
            raise ValueError(f"{architecture}: {kernel}: the last entry must hold for any size")
    return found


def choose(kernel: str, architecture: str, **sizes: Any) -> Tile:
    """The first entry whose bounds hold for these sizes and whose words (a format) are these."""
    for tile in entries(architecture).get(kernel, ()):
        words = {k: v for k, v in tile.compile.items() if isinstance(v, str) and k in sizes}
        if all(sizes[name] == word for name, word in words.items()) and all(
            sizes[name] <= most for name, most in tile.upto.items()
        ):
            return tile
    raise ValueError(f"{kernel}: no tile on {architecture} for {sizes}")


def every() -> Iterator[Tile]:
    """All entries of all files."""
    for architecture in architectures():
        for tiles in entries(architecture).values():
            yield from tiles


_FIELDS = {"upto", "tile", "warps", "stages", "compile", "registers", "shared", "instructions"}


def _tile(kernel: str, architecture: str, row: Mapping[str, Any]) -> Tile:
    if unknown := set(row) - _FIELDS:
        raise ValueError(f"{architecture}: {kernel}: no field {sorted(unknown)}")
    if missing := {"tile", "warps", "stages", "registers", "shared"} - set(row):
        raise ValueError(f"{architecture}: {kernel}: {sorted(missing)} missing")
    return Tile(
        kernel,
        architecture,
        row["tile"],
        row["warps"],
        row["stages"],
        row.get("upto", {}),
        row.get("compile", {}),
        row["registers"],
        row["shared"],
        tuple(row.get("instructions", ())),
    )
