"""What recurrent cells are held against: dropped frames for CfC, selective copying for Mamba.

Knows the tasks of dropped.py and copying.py; does not know how studies are run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .study import SEEDS, Cell, Figure, Scale, by_seed, mean_of, ratio_of

SIZE: dict[Scale, dict[str, int]] = {
    "full": {"updates": 3000, "hidden": 48, "copying": 600, "width": 32, "states": 16},
    "quick": {"updates": 150, "hidden": 32, "copying": 60, "width": 24, "states": 8},
}
SELECTIVE, CONSTANT = "mamba", "mamba of constants"


class CellsStudy:
    """See the module."""

    name = "cells"
    what = "dropped frames by CfC and by GRUs, selective copying by Mamba and by constants"
    minutes: Mapping[Scale, float] = {"full": 8.0, "quick": 1.5}

    def cells(self, scale: Scale) -> Sequence[Cell]:
        from .dropped import KINDS

        arms = (*KINDS, SELECTIVE, CONSTANT)
        return [Cell(arm, seed) for seed in range(SEEDS[scale]) for arm in arms]

    def settings(self, scale: Scale) -> dict[str, Any]:
        return dict(SIZE[scale])

    def measure(self, cell: Cell, scale: Scale, directory: Path) -> dict[str, Any]:
        import torch

        from .copying import CHANCE, accuracy
        from .dropped import errors

        torch.set_num_threads(1)
        size = SIZE[scale]
        if cell.arm in (SELECTIVE, CONSTANT):
            right = accuracy(
                cell.arm == SELECTIVE, size["copying"], size["width"], size["states"], 1e-2,
                cell.seed,
            )  # fmt: skip
            return {"accuracy": right, "chance": CHANCE}
        return dict(
            errors(cell.arm, updates=size["updates"], hidden=size["hidden"], seed=cell.seed)  # type: ignore[arg-type]
        )

    def figures(self, found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
        from .dropped import KINDS, SHARES

        def of(arm: str, key: str) -> list[float]:
            return by_seed(found, arm, key)

        rows = []
        for share in (f"{s:g}" for s in SHARES):
            value, ci95 = mean_of(of("cfc", share))
            others = {str(kind): float(np.mean(of(kind, share))) for kind in KINDS if kind != "cfc"}
            still = float(np.mean(of("cfc", f"still {share}")))
            rows.append(
                Figure(
                    name=f"CfC, {float(share):.0%} of the frames dropped: squared error",
                    value=value, ci95=ci95, baselines={**others, "a point that stays": still},
                )
            )  # fmt: skip
        most = f"{SHARES[-1]:g}"
        value, ci95 = ratio_of(of("cfc", most), of("gru", most))
        told, _ = ratio_of(of("gru told the time", most), of("gru", most))
        rows.append(
            Figure(  # a cell that learned nothing loses nothing by what it does not see
                name="error where half of the frames are dropped, of a GRU's", value=value,
                ci95=ci95, goal=1.0, sense="<=", interval=True,
                baselines={
                    "a GRU told the time": told,
                    "a point that stays": ratio_of(of("cfc", f"still {most}"), of("gru", most))[0],
                },
            )
        )  # fmt: skip
        added = {
            kind: [a - b for a, b in zip(of(kind, most), of(kind, "0"), strict=True)]
            for kind in KINDS
        }
        gap = [a - b for a, b in zip(added["cfc"], added["gru"], strict=True)]
        value, ci95 = mean_of(gap)
        rows.append(
            Figure(
                name="error that dropping half of the frames adds, less what it adds to a GRU",
                value=value, ci95=ci95, goal=0.0, sense="<=", interval=True,
                baselines={kind: float(np.mean(values)) for kind, values in added.items()},
                note=f"{np.mean(of('cfc', 'parameters')):.0f} parameters, "
                f"a GRU has {np.mean(of('gru', 'parameters')):.0f}",
            )
        )  # fmt: skip
        value, ci95 = mean_of(of(SELECTIVE, "accuracy"))
        chance = {"chance": float(np.mean(of(SELECTIVE, "chance")))}
        rows.append(
            Figure(name="selective copying", value=value, ci95=ci95, goal=0.95, baselines=chance)
        )
        value, ci95 = mean_of(of(CONSTANT, "accuracy"))
        rows.append(
            Figure(
                name="selective copying by constants", value=value, ci95=ci95, goal=0.5,
                sense="<=", baselines=chance,
            )
        )  # fmt: skip
        return rows

    def picture(self, found: Mapping[Cell, dict[str, Any]], path: Path) -> None:
        return None
