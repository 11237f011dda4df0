"""What studies find, made up."""

from __future__ import annotations

from typing import Any

from metabonk.bench import studies
from metabonk.bench.study import Cell, Figure


def curve(
    reached: int,
    best: float = 100.0,
    budget: int = 10_000,
    begins: float = 0.0,
    dreamt: float = 0.5,
) -> dict[str, Any]:
    """Returns of `begins` until `reached` steps, and of `best` from there on."""
    steps = list(range(0, budget + 1, 10))
    returns = [best if at > reached else begins for at in steps]
    return {
        "steps": steps, "returns": returns, "dreamer": returns, "budget": budget, "metrics": {},
        "served": ["policy"] * len(steps), "dreamt": dreamt,
    }  # fmt: skip


def found_of(name: str, values: Any) -> dict[Cell, dict[str, Any]]:
    made = studies.STUDIES[name]
    return {cell: values(cell) for cell in made.cells("full")}


def figures(name: str, values: Any) -> dict[str, Figure]:
    return {f.name: f for f in studies.STUDIES[name].figures(found_of(name, values))}
