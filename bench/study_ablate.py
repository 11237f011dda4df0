"""Whether ablations find what is inert and nothing else.

Knows runs and ablations; does not know how studies are run. Runs of CartPole with everything that
learns beside a policy: in one all of it reaches the policy; in another active inference learns and
teaches nobody, which is one part that is planted; in the third, without active inference, the
dreamer plays but learns nothing, which is the other. The dreamer acts in its own share of the
games: as a teacher it would have to prove itself first, and on CartPole, which a policy learns in
seconds, what was earned never spoke for it. What its games feed is how it is heard. A game in which
it leads and teaches does not fit into the hour as well: the figures say that they are not of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metabonk.config import Config, load

from .study import SEEDS, Cell, Figure, Scale, by_seed, deciding

HEARD, PLANTED, USELESS = "heard", "planted", "useless"
STEPS: dict[Scale, int] = {"full": 24_576, "quick": 8_192}
ARMS: dict[str, dict[str, Any]] = {
    HEARD: {"efe.distill_coef": 0.05},
    PLANTED: {"efe.distill_coef": 0.0},
    # Steps too short to change a weight.
    USELESS: {"efe.enabled": False, "dream.learning_rate": 1e-30},
}
ABLATION: dict[Scale, dict[str, int]] = {
    "full": {"seeds": 4, "steps": 8_192, "episodes": 32},
    "quick": {"seeds": 2, "steps": 2_048, "episodes": 16},
}
SETTINGS: dict[str, Any] = {
    "game.name": "gym/CartPole-v1",
    "dream.enabled": True,
    "dream.distill_coef": 0.0,  # it plays games of its own, where nothing has to be proven first
    "dream.horizon": 5,
    "dream.warm_up": 10,
    "dream.hidden": 32,
    "dream.learning_rate": 1e-3,
    "efe.enabled": True,
    "efe.hidden": 32,
    "world.deter": 32,
    "world.groups": 8,
    "world.classes": 8,
    "world.hidden": 32,
    "world.learning_rate": 1e-3,
    "world.sequence": 32,
    "world.batch": 8,
    "world.ratio": 4.0,
    "world.intrinsic": 0.05,
    "run.video": False,
    "run.eval_episodes": 16,
    "run.torch_threads": 1,
    "run.acting": "torch",
}


class AblateStudy:
    """See the module."""

    name = "ablate"
    what = "ablations find the parts that are planted inert, and no other"
    minutes: Mapping[Scale, float] = {"full": 60.0, "quick": 3.0}

    def cells(self, scale: Scale) -> Sequence[Cell]:
        return [Cell(arm, seed) for seed in range(SEEDS[scale]) for arm in ARMS]

    def settings(self, scale: Scale) -> dict[str, Any]:
        arms = {arm: deciding(_config(Cell(arm, 0), scale, Path("run"))) for arm in ARMS}
        return {"steps": STEPS[scale], "ablation": ABLATION[scale], "arms": arms}

    def measure(self, cell: Cell, scale: Scale, directory: Path) -> dict[str, Any]:
        from metabonk.learn.ablation.study import ablate, read
        from metabonk.learn.run import train

        run = directory / "run"
        train(_config(cell, scale, run))
        asked = ABLATION[scale]
        found = read(
            ablate(run, seeds=asked["seeds"], steps=asked["steps"], episodes=asked["episodes"])
        )
        inert = set(found.inert)
        return {
            **{f"{part} inert": float(part in inert) for part in ("dream", "efe")},
            "inert": float(len(inert)),
            "parts": float(len(found.findings)),
            "repeats": float(found.repeats),
            "verdicts": {finding.part: finding.verdict for finding in found.findings},
            "moved": {f"{e.part} {e.mode}": e.moved for e in found.effects},
            "chance": found.chance,
        }

    def figures(self, found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
        def share(arm: str, key: str) -> float:
            values = by_seed(found, arm, key)
            return sum(values) / max(1, len(values))

        return [
            Figure(
                name="the planted part is found inert, share of the runs",
                value=share(PLANTED, "efe inert"), goal=1.0,
                baselines={"the same part, heard": share(HEARD, "efe inert")},
            ),
            Figure(
                name="a dreamer that plays and learns nothing is found inert, share of the runs",
                value=share(USELESS, "dream inert"), goal=1.0,
                baselines={"one that learns": share(HEARD, "dream inert")},
            ),
            Figure(
                name="parts found inert where all are heard, per run",
                value=share(HEARD, "inert"), goal=0.0, sense="<=",
                note=f"of {share(HEARD, 'parts'):g} parts; the dreamer plays games of its own and "
                "teaches nobody (dream.distill_coef = 0): nothing is said of one who teaches",
            ),
            Figure(
                name="the control repeats bit for bit, share of the runs",
                value=sum(share(arm, "repeats") for arm in ARMS) / len(ARMS), goal=1.0,
            ),
        ]  # fmt: skip

    def picture(self, found: Mapping[Cell, dict[str, Any]], path: Path) -> None:
        return None


def _config(cell: Cell, scale: Scale, directory: Path) -> Config:
    from metabonk.learn.presets import preset

    own = {
        "run.directory": str(directory),
        "run.steps": STEPS[scale],
        "run.seed": cell.seed,
        **ARMS[cell.arm],
    }
    return load(presets=preset, flags=SETTINGS | own, environ={})
