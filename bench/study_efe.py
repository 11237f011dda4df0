"""What expected free energy is held against: the T-maze's cue and the noisy television.

Knows the two worlds of efe.py; does not know how studies are run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .study import SEEDS, Cell, Figure, Scale, by_seed, mean_of

TRIALS = {"full": 1000, "quick": 200}
# Who makes the mistake watches the television in about every third seed, and sits still in others:
# five show that it is avoided, and not that there was something to avoid.
TELEVISIONS: Mapping[Scale, int] = {"full": 15, "quick": SEEDS["quick"]}
UPDATES: dict[Scale, dict[str, int]] = {
    "full": {"updates": 400, "dreams": 200},
    "quick": {"updates": 120, "dreams": 60},
}
OURS, CONSTANT = "expected free energy, 2 steps", "constant ambiguity, 2 steps"
PLANNER, RANDOM = "reward only, 2 steps", "random"
SEEKER, NAIVE = "information gain", "predictive entropy"


class EfeStudy:
    """See the module."""

    name = "efe"
    what = "the T-maze's cue is looked up, the noisy television is not watched"
    minutes: Mapping[Scale, float] = {"full": 5.0, "quick": 1.0}

    def cells(self, scale: Scale) -> Sequence[Cell]:
        seeds = {"maze": SEEDS[scale], "television": TELEVISIONS[scale]}
        return [Cell(arm, seed) for arm, many in seeds.items() for seed in range(many)]

    def settings(self, scale: Scale) -> dict[str, Any]:
        return {"trials": TRIALS[scale], **UPDATES[scale]}

    def measure(self, cell: Cell, scale: Scale, directory: Path) -> dict[str, Any]:
        import torch

        from .efe import noisy_television, tmaze_rows

        torch.set_num_threads(1)
        if cell.arm == "maze":
            rows = tmaze_rows(TRIALS[scale], cell.seed)
            return {f"{what} {row.name}": getattr(row, what) for row in rows
                    for what in ("cue", "win")}  # fmt: skip
        found = noisy_television(cell.seed, **UPDATES[scale], seekers=(SEEKER, NAIVE))
        return {
            f"{what} {name}": float(getattr(rooms, what))
            for name, rooms in found.items()
            for what in ("television", "wing", "ignored")
        }

    def figures(self, found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
        def of(arm: str, key: str) -> tuple[float, tuple[float, float] | None]:
            return mean_of(by_seed(found, arm, key))

        cue, ci95 = of("maze", f"cue {OURS}")
        constant, constant95 = of("maze", f"cue {CONSTANT}")
        win, win95 = of("maze", f"win {OURS}")
        seeds = sum(cell.arm == "television" for cell in found)
        ignored = sum(by_seed(found, "television", f"ignored {SEEKER}"))
        watched = sum(by_seed(found, "television", f"ignored {NAIVE}"))
        kept = [by_seed(found, "television", f"television {who}") for who in (NAIVE, SEEKER)]
        more, more95 = mean_of([theirs - ours for theirs, ours in zip(*kept, strict=True)])
        return [
            Figure(
                name="T-maze: the cue is looked up", value=cue, ci95=ci95, goal=0.95,
                baselines={"reward only": of("maze", f"cue {PLANNER}")[0],
                           "random": of("maze", f"cue {RANDOM}")[0]},
            ),
            Figure(
                name="T-maze: it is looked up where ambiguity is a constant", value=constant,
                ci95=constant95, goal=0.5, sense="<=",
            ),
            Figure(
                name="T-maze: a reward is got", value=win, ci95=win95,
                baselines={"reward only": of("maze", f"win {PLANNER}")[0],
                           "random": of("maze", f"win {RANDOM}")[0]},
            ),
            Figure(
                name="noisy television: share of the seeds in which it is ignored",
                value=ignored / max(1, seeds), goal=0.8,
                baselines={"by predictive entropy": watched / max(1, seeds)},
            ),
            Figure(  # the mistake: who does not make it tells nothing of who avoids it
                name="noisy television: how much more often predictive entropy goes to it",
                value=more, ci95=more95, goal=0.0, sense=">", interval=True,
                baselines={"by predictive entropy": of("television", f"television {NAIVE}")[0],
                           "by information gain": of("television", f"television {SEEKER}")[0],
                           "by chance": 1.0 / 3.0},
            ),
        ]  # fmt: skip

    def picture(self, found: Mapping[Cell, dict[str, Any]], path: Path) -> None:
        return None
