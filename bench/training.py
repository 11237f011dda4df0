"""What a PPO comparison holds equal, and the meter that trains. Knows no trainer.

Everybody trains CartPole-v1 with the same recipe; each is one `iterate()`: collect one rollout in
all environments, then update from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from .case import Evidence
from .meter import Meter, Timed

ENV = "CartPole-v1"
RANDOM_RETURN = 22.2  # of uniformly random actions on CartPole-v1, over 10^5 episodes


@dataclass(frozen=True)
class Recipe:
    """The same for everybody: two towers of two tanh layers, Adam, float32.

    value_coef: of half the mean squared error of the values; who takes the whole of it gets half
    the coefficient. One thing is not the same: advantages are normalised over the whole rollout by
    ours, over each minibatch by the peers, as their users have it.
    """

    epochs: int
    num_envs: int = 1024
    horizon: int = 32
    minibatches: int = 4
    hidden: int = 64
    learning_rate: float = 2.5e-4
    adam_epsilon: float = 1e-5
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip: float = 0.2
    entropy_coef: float = 0.01
    value_coef: float = 0.5
    max_grad_norm: float = 0.5
    seed: int = 1

    @property
    def steps(self) -> int:
        """Environment steps per iteration."""
        return self.num_envs * self.horizon


class Trainer(Protocol):
    """One system that follows a recipe."""

    def iterate(self) -> list[float]:
        """One rollout and its update; the returns of the episodes that ended in it."""

    def close(self) -> None: ...


@dataclass
class Curve:
    """Mean return of the episodes that ended in each iteration."""

    steps: int
    returns: list[list[float]] = field(default_factory=list)

    def mean_until(self, iterations: int) -> float:
        """Over the last quarter of the first `iterations`; 0 if no episode ended there."""
        last = self.returns[:iterations][-max(1, iterations // 4) :]
        ended = [value for returns in last for value in returns]
        return float(np.mean(ended)) if ended else 0.0


class Training(Timed):
    """Environment steps trained per second, and the learning curve meanwhile."""

    def __init__(self, trainer: Trainer, recipe: Recipe, **settings: Any) -> None:
        self.curve = Curve(recipe.steps)
        self._trainer = trainer
        super().__init__(self.iterate, recipe.steps, close=trainer.close, **settings)

    def iterate(self) -> None:
        self.curve.returns.append(self._trainer.iterate())


def both_learn(iterations: int, least: float, share: float) -> Callable[[Meter, Meter], Evidence]:
    """Evidence that a comparison is between two that learn.

    Both are trained on, untimed, until they did `iterations`. It holds if both returns are then
    `least` times a random policy's and ours is at least `share` of the peer's.
    """

    def evidence(ours: Meter, peer: Meter) -> Evidence:
        means = []
        for meter in (ours, peer):
            if not isinstance(meter, Training):
                raise TypeError("both_learn asks trainings")
            while len(meter.curve.returns) < iterations:
                meter.iterate()
            means.append(meter.curve.mean_until(iterations))
        mine, theirs = means
        holds = min(means) >= least * RANDOM_RETURN and mine >= share * theirs
        steps = f"{iterations * ours.curve.steps:,}" if isinstance(ours, Training) else ""
        verdict = "both learn" if holds else "NOT comparable learning"
        return Evidence(
            holds, f"{verdict}: mean return {mine:.0f} and {theirs:.0f} after {steps} steps"
        )

    return evidence
