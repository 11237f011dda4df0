"""Writes the limits of configs anew after a change on purpose: what the kernels now need.

Registers get a twentieth to spare, rounded up to the granule in which devices hand them out; shared
memory none; declared instructions stay unless an entry has none. A look at the diff says what grew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from .compile import Built
from .tiles import CONFIGS, Tile

GRANULE, MOST = 8, 255


def rewrite(tiles: Sequence[Tile], built: Sequence[Built]) -> None:
    """tiles: all of some architectures, in their files' order, and what each became."""
    for architecture in dict.fromkeys(tile.architecture for tile in tiles):
        path = CONFIGS / f"{architecture}.json"
        kernels = json.loads(path.read_text(encoding="utf-8"))["kernels"]
        found = iter([b for b in built if b.architecture == architecture])
        for name, rows in kernels.items():
            for row in rows:
                _limit(row, name, next(found))
        path.write_text(text(kernels), encoding="utf-8")


def text(kernels: dict[str, Any]) -> str:
    """A file of configs: one entry per line."""
    return '{\n  "kernels": {\n' + ",\n".join(_kernels(kernels)) + "\n  }\n}\n"


def _kernels(kernels: dict[str, Any]) -> Iterator[str]:
    for name, rows in kernels.items():
        lines = ",\n".join(f"      {json.dumps(row)}" for row in rows)
        yield f'    "{name}": [\n{lines}\n    ]'


def _limit(row: dict[str, Any], kernel: str, built: Built) -> None:
    if built.kernel != kernel or built.error:
        raise ValueError(f"{built.architecture}: {kernel}: {built.error or built.kernel}")
    registers = -(-(built.registers * 21 // 20 + 1) // GRANULE) * GRANULE
    row["registers"], row["shared"] = min(MOST, registers), built.shared
    products = [name for name in built.instructions if name.endswith("MMA")]
    if products and "instructions" not in row:
        row["instructions"] = products
