"""Reward for surprise: the world model's prediction error at every step that was played.

Knows the world model, rollouts and running moments; does not know PPO or who else dreams. The error
is KL(posterior || prior) of the step's state in nats: what seeing it told beyond what was expected.
It is divided by its running deviation, so that a weight means the same in every game. What is
random surprises for ever: where a game has chance in what it shows, expected free energy (efe.py)
seeks what can be learned instead (Burda et al. 2019 on noisy televisions).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from metabonk.learn.dreams.world import WorldLearner
from metabonk.learn.rollout import Rollout
from metabonk.metrics import declare
from metabonk.models.rssm import Latent
from metabonk.protocols import Array, FloatArray

SURPRISE_STREAM = 14
LEAST_DEVIATION = 0.01  # nats; a model that is surprised by less knows its game

declare("wm_surprise", "nats", "World model: prediction error of the steps that were played")
declare("intrinsic_reward", "", "Reward for surprise, per step")


class Moments:
    """Running mean and squares about it of numbers that come in lots (Chan et al. 1983)."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, values: FloatArray) -> None:
        """Values [N]."""
        if not len(values):
            return
        lot = values.astype(np.float64)
        mean, count = float(lot.mean()), self.count + len(lot)
        apart = mean - self.mean
        self.squares += float(np.square(lot - mean).sum())
        self.squares += apart * apart * self.count * len(lot) / count
        self.mean += apart * len(lot) / count
        self.count = count

    @property
    def deviation(self) -> float:
        """Of all values, 0 before there were any."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0


class Surprise:
    """Follows what `num_envs` games play with actions of `columns`; weight: reward for a surprise
    of one deviation."""

    def __init__(self, world: WorldLearner, num_envs: int, columns: int, *, seed: int) -> None:
        self.world, self.seed = world, seed
        self.weight = world.config.intrinsic
        self.moments = Moments()
        self._followed = 0  # rollouts
        # The state before the next rollout's first observation, and the action that led there.
        self._latent = world.model.init(num_envs)
        self._action = np.zeros((num_envs, columns), np.float32)

    @torch.no_grad()
    def reward(self, rollout: Rollout) -> tuple[FloatArray, dict[str, float]]:
        """What every step of a rollout earns by surprise [S, N], steps that only reset nothing, and
        what is told of it."""
        model, start = self.world.model, rollout.first
        observation = {k: torch.from_numpy(v[start:]) for k, v in rollout.observation.items()}
        action = np.concatenate([self._action[None], rollout.action[start:]])
        is_first = torch.from_numpy(rollout.is_first[start:])
        philox = np.random.Philox(
            key=[self.seed, SURPRISE_STREAM], counter=[0, 0, 0, self._followed]
        )
        generator = torch.Generator().manual_seed(int(philox.random_raw()) >> 1)
        noise = model.rssm.noise(*is_first.shape, generator=generator)
        states = model.sequence(
            self._latent, torch.from_numpy(action), observation, is_first, noise
        )
        # The last observation is the next rollout's first, and is gone through again there.
        self._latent = Latent(states.deter[-2].clone(), states.stoch[-2].clone())
        self._action = rollout.action[-1].copy()
        self._followed += 1
        assert states.posterior is not None
        error = model.rssm.divergence(states.posterior, states.prior)[1:].numpy()
        led = ~rollout.is_first[start + 1 :]
        self.moments.add(error[led])
        bonus = np.zeros_like(rollout.reward)
        scale = np.float32(self.weight / max(self.moments.deviation, LEAST_DEVIATION))
        bonus[start:] = np.where(led, error * scale, 0.0)
        return bonus, {
            "wm_surprise": float(error[led].mean()) if led.any() else 0.0,
            "intrinsic_reward": float(bonus[start:].mean()),
        }

    def forget(self) -> None:
        """What was played cannot be followed: states begin anew from what is seen next."""
        self._latent = self.world.model.init(len(self._action))
        self._action[:] = 0.0

    def state(self) -> dict[str, Array]:
        """Arrays by name."""
        return {
            "deter": self._latent.deter.numpy().copy(),
            "stoch": self._latent.stoch.numpy().copy(),
            "action": self._action.copy(),
        }

    def details(self) -> dict[str, Any]:
        moments = self.moments
        return {
            "followed": self._followed,
            "moments": [moments.count, moments.mean, moments.squares],
        }

    def load(self, state: Mapping[str, Array], details: Mapping[str, Any]) -> None:
        """Inverse of `state` and `details`; a run that had no such reward begins without memory."""
        if not details:
            return
        held = {key: np.array(value) for key, value in state.items()}
        self._latent = Latent(torch.from_numpy(held["deter"]), torch.from_numpy(held["stoch"]))
        self._action = held["action"]
        self._followed = int(details["followed"])
        self.moments.count, self.moments.mean, self.moments.squares = details["moments"]
