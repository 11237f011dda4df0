"""What a consistency motor is held against: its teacher of forty steps, in return and in latency.

Knows runs, recordings and motors; does not know how studies are run. A policy learns the arena for
a while and is recorded; the motor learns from that and plays the same episodes as its teacher, both
with and without judges, the policy and random play. Latencies are of decisions about one arena that
goes on between them. What is known of motors and judges where the answer is known stands beside.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metabonk.config import Config, load

from .study import SEEDS, Cell, Figure, Scale, by_seed, deciding, mean_of, ratio_of

SIZE: dict[Scale, dict[str, int]] = {
    "full": {"steps": 1_000_000, "episodes": 128, "teacher": 4000, "student": 6000, "q": 4000},
    "quick": {"steps": 20_480, "episodes": 16, "teacher": 60, "student": 60, "q": 60},
}
SHARE, TIME = 0.9, 0.1  # of the teacher's return, of its latency
RATE = 60.0  # decisions a second
NEAR, REVERSED = 0.75, 0.1  # of one-step samples near a mode; of those learned backwards
UNSURE = 20.0  # times as unsure where nothing was learned
DECISIONS, TAUGHT = 1000, 100  # that are timed, of the student and of the teacher
WARM = 20  # before that


class MotorStudy:
    """See the module."""

    name = "motor"
    what = "the arena by a consistency motor: return and latency against its 40-step teacher"
    minutes: Mapping[Scale, float] = {"full": 60.0, "quick": 2.5}

    def cells(self, scale: Scale) -> Sequence[Cell]:
        return [Cell(arm, seed) for seed in range(SEEDS[scale]) for arm in ("arena", "known")]

    def settings(self, scale: Scale) -> dict[str, Any]:
        return {**SIZE[scale], "config": deciding(_config(scale, 0, Path("run")))}

    def measure(self, cell: Cell, scale: Scale, directory: Path) -> dict[str, Any]:
        if cell.arm == "known":
            return _known(cell.seed)
        from metabonk.learn.motors.pretrain import pretrain_cpqe
        from metabonk.learn.run import train

        config, episodes = _config(scale, cell.seed, directory / "run"), SIZE[scale]["episodes"]
        run = train(config).directory
        found = pretrain_cpqe(run, config, seed=cell.seed, episodes=episodes)
        assert found.evaluation is not None
        against = {name: other.mean for name, other in found.evaluation.against.items()}
        return {
            "return": found.evaluation.return_mean, **against, **_latencies(run, config),
            "candidates": config.cpqe.candidates,
        }  # fmt: skip

    def figures(self, found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
        def of(key: str) -> list[float]:
            return by_seed(found, "arena", key)

        value, ci95 = _share(of("return"), of("teacher"))
        alone, alone95 = _share(of("unjudged"), of("teacher, unjudged"))
        rate, rates = mean_of([1.0 / seconds for seconds in of("compiled_p99")])
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
            Figure(  # good judges make up for a poor student, and for a poor teacher
                name="the same without judges", value=alone, ci95=alone95, goal=SHARE,
                baselines={
                    "motor": float(np.mean(of("unjudged"))),
                    "teacher": float(np.mean(of("teacher, unjudged"))),
                },
            ),
            Figure(
                name="time of a decision, of the teacher's", value=latency, ci95=interval,
                goal=TIME, sense="<=",
                baselines={"milliseconds": 1e3 * float(np.mean(of("student_seconds")))},
            ),
            Figure(
                name=f"decisions a second, compiled, {candidates}, one game on one core",
                value=rate, ci95=rates, goal=RATE, interval=True,
                note="by the latency that 99 % stay below",
                baselines={
                    "in torch": float(np.mean([1.0 / s for s in of("student_p99")])),
                    "the teacher": float(np.mean([1.0 / s for s in of("teacher_seconds")])),
                    "longest, ms": 1e3 * max(of("compiled_most")),
                },
            ),
            Figure(
                name="return that the choice among candidates gains", value=gain, ci95=gained,
                baselines={"unjudged": float(np.mean(of("unjudged")))},
            ),
            *_of_known(found),
        ]  # fmt: skip

    def picture(self, found: Mapping[Cell, dict[str, Any]], path: Path) -> None:
        return None


def _config(scale: Scale, seed: int, directory: Path) -> Config:
    from metabonk.learn.presets import preset

    size = SIZE[scale]
    flags = {
        "game.name": "arena", "run.seed": seed, "run.steps": size["steps"],
        "run.directory": str(directory), "run.record": True, "run.video": False,
        "run.eval_episodes": 8, "run.torch_threads": 1, "game.threads": 1,
        "world.enabled": False, "dream.enabled": False, "efe.enabled": False,
        **{f"cpqe.{phase}_updates": size[phase] for phase in ("teacher", "student", "q")},
    }  # fmt: skip
    return load(environ={}, presets=preset, flags=flags)


def _share(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, Any]:
    """The mean of paired shares and its interval; NaN where there is nothing to have a share of."""
    pairs = zip(ours, theirs, strict=True)
    return mean_of([one / other if other > 0.0 else math.nan for one, other in pairs])


def _known(seed: int) -> dict[str, float]:
    """What a motor and judges come to where the answer is known."""
    from . import bandits, judges

    motor = bandits.taught(seed=seed)
    return {
        "near": bandits.near(motor),
        "near_teacher": bandits.near(motor, sampler="teacher"),
        "near_reversed": bandits.near(bandits.taught_backwards(seed)),
        "unsure": judges.ratio(judges.learned("own", seed=seed)),
        "unsure_mean": judges.ratio(judges.learned("through the mean", seed=seed)),
    }


def _of_known(found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
    def mean(key: str) -> float:
        return float(np.mean(by_seed(found, "known", key)))

    value, ci95 = mean_of(by_seed(found, "known", "near"))
    other, other95 = mean_of(by_seed(found, "known", "near_reversed"))
    unsure, unsure95 = mean_of(by_seed(found, "known", "unsure"))
    return [
        Figure(
            name="two modes: one-step samples near one of them", value=value, ci95=ci95, goal=NEAR,
            interval=True, baselines={"chance": 0.3, "the teacher": mean("near_teacher")},
        ),
        Figure(
            name="two modes: the same where the student learned backwards", value=other,
            ci95=other95, goal=REVERSED, sense="<=", baselines={"chance": 0.3},
        ),
        Figure(
            name="judges: times as unsure where they learned nothing", value=unsure,
            ci95=unsure95, goal=UNSURE, interval=True,
            baselines={"trained through their mean": mean("unsure_mean")},
        ),
    ]  # fmt: skip


def _latencies(run: Path, config: Any) -> dict[str, float]:
    """Seconds of a decision for one game: of the student in torch and compiled, and of its
    teacher."""
    from metabonk.games import from_config
    from metabonk.learn.fidelity import Alone
    from metabonk.learn.motors import versions as motors
    from metabonk.models.motor import MotorPolicy
    from metabonk.play.compiler.motors import compile_motor

    game = from_config(config.game, 1)
    try:
        motor, _ = motors.load(motors.newest(run), game.observation_space, game.action_layout)
        student = MotorPolicy(motor, seed=0)
        teacher = MotorPolicy(motor, seed=0, sampler="teacher")
        taught = _timed(game, teacher, TAUGHT, config.run.seed)
        torch_ = _timed(game, student, DECISIONS, config.run.seed)
        compiled = _timed(game, Alone(compile_motor(student)), DECISIONS, config.run.seed)
    finally:
        game.close()
    return {
        "teacher_seconds": float(np.median(taught)),
        "student_seconds": float(np.median(torch_)),
        "student_p99": float(np.quantile(torch_, 0.99)),
        "compiled_p99": float(np.quantile(compiled, 0.99)),
        "compiled_most": float(np.max(compiled)),
    }


def _timed(game: Any, policy: Any, decisions: int, seed: int) -> Any:
    """Seconds [decisions] of each decision while the game goes on."""
    from metabonk.games.batch import allocate
    from metabonk.games.source import Flags

    seen, flags = allocate(game.observation_space, 1), Flags(1)
    game.reset_into(seen, [seed])
    state, first = policy.reset(1), np.ones(1, np.bool_)
    spent = np.zeros(WARM + decisions)
    for index in range(len(spent)):
        began = time.perf_counter()
        rows, state = policy.act(seen, state, first)
        spent[index] = time.perf_counter() - began
        game.step_into(rows, seen, *flags.arrays())
        first = flags.is_reset.copy()
    return spent[WARM:]
