"""Small decision problems whose best action is known, and motors that learned them from recordings.

Knows motors and their learner; does not know games or studies. An observation says which of two
sides pays; whoever was recorded went to either at random, so that good actions have two modes and
their mean is none.
"""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
from gymnasium import spaces as gs

from metabonk.config import CpqeConfig
from metabonk.learn.motors import cpqe
from metabonk.learn.transitions import Transitions, from_pieces
from metabonk.models.motor import Motor, MotorPolicy, build
from metabonk.protocols import Array, FloatArray
from metabonk.spaces import ActionLayout

SPACE = gs.Dict({"observation": gs.Box(-9.0, 9.0, (2,), np.float32)})
LAYOUT = ActionLayout.of(gs.Box(-1.0, 1.0, (1,), np.float32))
MODE = 0.7
SMALL = CpqeConfig(
    hidden=48,
    layers=2,
    batch=256,
    teacher_updates=1000,
    student_updates=1600,
    q_updates=500,
    learning_rate=3e-3,
    gamma=0.0,
)


def cues(num: int, seed: int) -> FloatArray:
    """Observations [num, 2] that say which side pays by the sign of their first number."""
    return np.random.default_rng([seed, 1]).uniform(-1.0, 1.0, (num, 2)).astype(np.float32)


def two_sides(num: int, seed: int = 0, towards: Array | None = None) -> FloatArray:
    """Actions [num, 1] about -0.7 or 0.7, at random or on the side of `towards`."""
    generator = np.random.default_rng([seed, 2])
    side = np.where(generator.random(num) < 0.5, -1.0, 1.0) if towards is None else towards
    noisy = MODE * side + 0.05 * generator.standard_normal(num)
    return noisy.astype(np.float32)[:, None]


def earned(seen: FloatArray, rows: FloatArray) -> FloatArray:
    """1 on the side that pays and near its mode, else 0."""
    side = np.sign(seen[:, 0])
    return (np.abs(rows[:, 0] - MODE * side) < 0.2).astype(np.float32)


def recorded(num: int = 4096, seed: int = 0) -> Transitions:
    """Decisions of one step each, by somebody who goes to either side at random."""
    seen, rows = cues(num, seed), two_sides(num, seed)
    return single(seen, rows, earned(seen, rows))


def single(seen: FloatArray, rows: FloatArray, reward: FloatArray) -> Transitions:
    """One long piece in which every decision ends an episode."""
    num = len(rows)
    piece = {
        "observation/observation": seen[:num],
        "action": rows,
        "reward": reward,
        "terminated": np.ones(num, np.bool_),
    }
    return from_pieces([piece], LAYOUT)


def motor_of(config: CpqeConfig = SMALL, seed: int = 0) -> Motor:
    return build(SPACE, LAYOUT, config, seed=seed)


def taught(config: CpqeConfig = SMALL, data: Transitions | None = None, seed: int = 0) -> Motor:
    """A motor of `config` that learned `data`, by default what was recorded with its seed."""
    motor = motor_of(config, seed)
    cpqe.CpqeLearner(motor, recorded(seed=seed) if data is None else data, seed=seed).train()
    return motor


def taught_backwards(seed: int = 0) -> Motor:
    """The control: the less noisy point is drawn towards the noisier one, all else alike."""
    forwards = cpqe.consistency_loss

    def backwards(online: Any, slow: Any, learns: cpqe.Point, towards: cpqe.Point) -> Any:
        return forwards(online, slow, towards, learns)

    with mock.patch.object(cpqe, "consistency_loss", backwards):
        return taught(seed=seed)


def acted(motor: Motor, num: int = 1000, **how: Any) -> tuple[FloatArray, FloatArray]:
    """Observations nobody recorded, and what is done in them."""
    seen = cues(num, 99)
    policy = MotorPolicy(motor, seed=5, **how)
    rows, _ = policy.act({"observation": seen}, policy.reset(num), np.ones(num, np.bool_))
    return seen, rows


def near(motor: Motor, **how: Any) -> float:
    """Share of single samples that are near a mode; 0.3 by chance, as so much of -1..1 is."""
    rows = acted(motor, candidates=1, **how)[1]
    return float((np.abs(np.abs(rows) - MODE) < 0.15).mean())
