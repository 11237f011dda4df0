"""What a consistency motor is held against: its teacher of forty steps, in return and in latency.

Knows runs, recordings and motors; does not know how studies are run. A policy learns the arena for
a while and is recorded; the motor learns from that and plays the same episodes as its teacher,
itself without judges, the policy and random play.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metabonk.config import load

from .study import SEEDS, Cell, Figure, Scale, by_seed, mean_of, ratio_of

SIZE: dict[Scale, dict[str, int]] = {
    "full": {"steps": 1_000_000, "episodes": 128, "teacher": 4000, "student": 6000, "q": 4000},
    "quick": {"steps": 20_480, "episodes": 16, "teacher": 60, "student": 60, "q": 60},
}
SHARE, TIME = 0.9, 0.1  # of the teacher's return, of its latency
RATE = 60.0  # decisions a second
DECISIONS = 60


class MotorStudy:
    """See the module."""

    name = "motor"
    what = "the arena by a consistency motor: return and latency against its 40-step teacher"
    minutes: Mapping[Scale, float] = {"full": 60.0, "quick": 2.5}

    def cells(self, scale: Scale) -> Sequence[Cell]:
        return [Cell("arena", seed) for seed in range(SEEDS[scale])]

    def settings(self, scale: Scale) -> dict[str, Any]:
        return dict(SIZE[scale])

    def measure(self, cell: Cell, scale: Scale, directory: Path) -> dict[str, Any]:
        from metabonk.learn.motors.pretrain import pretrain_cpqe
        from metabonk.learn.presets import preset
        from metabonk.learn.run import train

        size = SIZE[scale]
        flags = {
            "game.name": "arena", "run.seed": cell.seed, "run.steps": size["steps"],
            "run.directory": str(directory / "run"), "run.record": True, "run.video": False,
            "run.eval_episodes": 8, "run.torch_threads": 1, "game.threads": 1,
            "world.enabled": False, "dream.enabled": False, "efe.enabled": False,
            **{f"cpqe.{phase}_updates": size[phase] for phase in ("teacher", "student", "q")},
        }  # fmt: skip
        config = load(environ={}, presets=preset, flags=flags)
        run = train(config).directory
        found = pretrain_cpqe(run, config, seed=cell.seed, episodes=size["episodes"])
        assert found.evaluation is not None
        against = {name: other.mean for name, other in found.evaluation.against.items()}
        student, teacher = _latencies(run, config)
        return {
            "return": found.evaluation.return_mean, **against,
            "student_seconds": student, "teacher_seconds": teacher,
            "candidates": config.cpqe.candidates,
        }  # fmt: skip

    def figures(self, found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
        def of(key: str) -> list[float]:
            return by_seed(found, "arena", key)

        pairs = zip(of("return"), of("teacher"), strict=True)
        share = [ours / theirs if theirs > 0.0 else math.nan for ours, theirs in pairs]
        value, ci95 = mean_of(share)
        rate, rates = mean_of([1.0 / seconds for seconds in of("student_seconds")])
        candidates = f"{of('candidates')[0]:g} candidates"
        latency, interval = ratio_of(of("student_seconds"), of("teacher_seconds"))
        gain, gained = mean_of([a - b for a, b in zip(of("return"), of("unjudged"), strict=True)])
        means = {key: float(np.mean(of(key))) for key in ("random", "policy", "teacher")}
        learned, sure = mean_of([a - b for a, b in zip(of("teacher"), of("random"), strict=True)])
        return [
            Figure(  # else any motor would be as good as its teacher
                name="return that the teacher earns beyond random play", value=learned, ci95=sure,
                goal=0.0, sense=">", interval=True, baselines=means,
            ),
            Figure(
                name="return of one step, of the teacher's forty", value=value, ci95=ci95,
                goal=SHARE, baselines={**means, "motor": float(np.mean(of("return")))},
            ),
            Figure(
                name="time of a decision, of the teacher's", value=latency, ci95=interval,
                goal=TIME, sense="<=",
                baselines={"milliseconds": 1e3 * float(np.mean(of("student_seconds")))},
            ),
            Figure(
                name=f"decisions a second, {candidates}, one game on one core", value=rate,
                ci95=rates, goal=RATE, interval=True,
                baselines={"the teacher": float(np.mean([1.0 / s for s in of("teacher_seconds")]))},
            ),
            Figure(
                name="return that the choice among candidates gains", value=gain, ci95=gained,
                baselines={"unjudged": float(np.mean(of("unjudged")))},
            ),
        ]  # fmt: skip

    def picture(self, found: Mapping[Cell, dict[str, Any]], path: Path) -> None:
        return None


def _latencies(run: Path, config: Any) -> tuple[float, float]:
    """Median seconds of a decision for one game, by the student and by its teacher."""
    from metabonk.games import from_config
    from metabonk.learn.motors import versions as motors
    from metabonk.models.motor import MotorPolicy

    game = from_config(config.game, 1)
    try:
        motor, _ = motors.load(motors.newest(run), game.observation_space, game.action_layout)
        seen = {
            key: np.zeros((1, *(sub.shape or ())), sub.dtype)
            for key, sub in game.observation_space.spaces.items()
        }
        game.reset_into(seen, [config.run.seed])
    finally:
        game.close()
    found = []
    for sampler in ("student", "teacher"):
        policy = MotorPolicy(motor, seed=0, sampler=sampler)
        state, first = policy.reset(1), np.ones(1, np.bool_)
        spent = []
        for _ in range(DECISIONS):
            began = time.perf_counter()
            _, state = policy.act(seen, state, first)
            spent.append(time.perf_counter() - began)
        found.append(float(np.median(spent)))
    return found[0], found[1]
