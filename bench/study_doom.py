"""What dreams are worth in Doom, from pixels: PPO with them against PPO alone.

Knows learning curves and settings; does not know how studies are run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .curves import area, learn, smooth
from .study import SEEDS, Cell, Figure, Scale, mean_of
from .study_dreams import curves_of, dreaming, plain, steps_of, written


class DoomStudy:
    """PPO with a world model and dreams against PPO alone, in Doom from pixels."""

    name = "doom"
    what = "Doom's health gathering: PPO with dreams against PPO alone, the same steps"
    minutes: Mapping[Scale, float] = {"full": 60.0, "quick": 0.0}
    game = "doom/health_gathering"
    looks: Mapping[str, Any] = {"looks": 15, "episodes": 16, "alone": False}  # each costs seconds

    def cells(self, scale: Scale) -> Sequence[Cell]:
        if scale == "quick":  # an engine that draws every frame is not for smoke tests
            return []
        return [Cell(arm, seed) for seed in range(SEEDS[scale]) for arm in ("off", "on")]

    def settings(self, scale: Scale) -> dict[str, Any]:
        if scale == "quick":
            return {}
        return {"arms": written(self.game), "steps": steps_of(self.game, scale), **self.looks}

    def measure(self, cell: Cell, scale: Scale, directory: Path) -> dict[str, Any]:
        steps = steps_of(self.game, scale)
        if cell.arm == "off":
            return learn(plain(self.game, cell.seed), directory, steps, **self.looks)
        config = dreaming(self.game, cell.seed, efe__enabled=False)
        return learn(config, directory, steps, **self.looks)

    def figures(self, found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
        on, off = curves_of(found, "on"), curves_of(found, "off")
        gain, ci95 = mean_of([area(a) - area(b) for a, b in zip(on, off, strict=True)])
        last = [smooth(a)[1][-1] - smooth(b)[1][-1] for a, b in zip(on, off, strict=True)]
        end, interval = mean_of(last)
        mean = {"return without": float(np.mean([area(c) for c in off]))}
        return [
            Figure(
                name="return on the way, gained by dreams", value=gain, ci95=ci95, goal=0.0,
                sense=">", interval=True, baselines=mean,
            ),
            Figure(name="return at the end, gained by dreams", value=end, ci95=interval),
        ]  # fmt: skip

    def picture(self, found: Mapping[Cell, dict[str, Any]], path: Path) -> None:
        from .study_pictures import curves

        curves(path, {self.game: {arm: curves_of(found, arm) for arm in ("off", "on")}})
