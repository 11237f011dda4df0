"""Advantages and discounted sums over batches of trajectories. Knows arrays, and the operation.

Step t of a trajectory goes from observation t to observation t + 1. Three flags are kept apart:
`terminated` (nothing follows: no value is added), `truncated` (the episode was cut: the value of
the final observation, which is observation t + 1, stands for what would have followed) and
`is_reset` (no step at all: the environment turned a final observation into a first one; it carries
no reward and must not be learned from).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from metabonk.ops.returns import gae
from metabonk.protocols import Array, BoolArray, FloatArray

Average = Callable[[Array], None]  # of several learners, in place


def advantages(
    reward: FloatArray,
    value: FloatArray,
    terminated: BoolArray,
    truncated: BoolArray,
    is_reset: BoolArray,
    *,
    gamma: float | FloatArray,
    gae_lambda: float,
) -> FloatArray:
    """Generalised advantage estimates [T, N] as metabonk/ops/returns.py defines them.

    reward and the flags are [T, N], value is [T + 1, N], gamma is one number or [T, N].
    Advantages of reset steps are 0. The returns that a critic learns are advantage + value[:-1].
    """
    each = gamma if isinstance(gamma, float) else torch.from_numpy(gamma)
    batch = (torch.from_numpy(a) for a in (reward, value, terminated, truncated, is_reset))
    found: FloatArray = gae(*batch, gamma=each, gae_lambda=gae_lambda).numpy()
    return found


class ReturnScale:
    """Divides rewards by the running deviation of the discounted return (Engstrom et al. 2020).

    Keeps, per environment, the discounted sum of rewards so far, and over all of them its running
    mean and variance (Chan et al. 1983, in float64).
    """

    def __init__(self, num_envs: int) -> None:
        self.running: FloatArray = np.zeros(num_envs, np.float32)
        self.moments: Array = np.array([0.0, 0.0, 1e-4])  # mean, sum of squares, count

    @property
    def deviation(self) -> float:
        return float(np.sqrt(self.moments[1] / self.moments[2]))

    @property
    def factor(self) -> float:
        """What rewards are multiplied with."""
        deviation = self.deviation
        return 1.0 / deviation if deviation > 1e-6 else 1.0

    def update(
        self,
        reward: FloatArray,
        ended: BoolArray,
        is_reset: BoolArray,
        gamma: float | FloatArray,
        average: Average | None = None,
    ) -> float:
        """Sees one rollout (all [T, N]) and returns the factor to multiply its rewards with.

        average: of several learners, called once with what is added, to average in place.
        """
        sums = np.empty_like(reward)
        running = self.running
        fade = np.broadcast_to(np.asarray(gamma, np.float32), reward.shape)
        for t in range(len(reward)):
            running = running * fade[t] + reward[t]
            sums[t] = running
            running[ended[t] | is_reset[t]] = 0.0
        self.running = running
        mean, total, count = self.moments
        size, shift, squares = spread_about(mean, sums[~is_reset], average)
        grown = count + size
        total += squares + shift * shift * count * size / grown
        self.moments[:] = mean + shift * size / grown, total, grown
        return self.factor

    def state(self) -> dict[str, Array]:
        return {"running": self.running, "moments": self.moments}

    def load(self, state: dict[str, Array]) -> None:
        self.running[:] = state["running"]
        self.moments[:] = state["moments"]


def spread_about(
    middle: float, values: FloatArray, average: Average | None = None
) -> tuple[float, float, float]:
    """How many values there are, their mean less `middle`, and their squares about that mean.

    Sums in float64. average: of several learners, called with the sums, to average in place; the
    values are then those of all, and their number a learner's part of it.
    """
    away = values.astype(np.float64) - middle
    sums = np.array([away.size, away.sum(), np.square(away).sum()])
    if average is not None:
        average(sums)
    size, shift = float(sums[0]), float(sums[1] / max(sums[0], 1e-9))
    return size, shift, max(0.0, float(sums[2]) - size * shift * shift)


def explained_variance(value: FloatArray, target: FloatArray) -> float:
    """1 - Var[target - value] / Var[target]: 1 is perfect, 0 no better than a constant.

    0 where the target does not vary, or nothing is there.
    """
    variance = float(np.var(target, dtype=np.float64)) if target.size else 0.0
    if variance < 1e-12:
        return 0.0
    return 1.0 - float(np.var(target - value, dtype=np.float64)) / variance
