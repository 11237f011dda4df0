"""The dreamer at the controls: it decides in some of a rollout's games, the policy in the others.

Knows rollouts, the two ways of acting and the dreamer; does not know games or losses. Without
distillation what is learned in dreams reaches the world this way: the dreamer's games feed replay
with what it tries, and their returns say what its dreams are worth. The policy learns from its own
games only, for it is on-policy.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from metabonk.errors import ConfigError
from metabonk.learn.acting import Acting
from metabonk.learn.rollout import Rollout
from metabonk.models.dreamer import MASK, Dreamer
from metabonk.models.rssm import Latent
from metabonk.models.world import WorldModel


class Sleeper(Protocol):
    """Who dreams beside the policy and follows what is played."""

    @property
    def awake(self) -> bool:
        """Whether it knows enough to act."""

    def following(self) -> tuple[WorldModel, Dreamer, Latent, Tensor, torch.Generator]:
        """World model, dreamer, the states [N, ...] before the next observation, the rows
        [N, columns] that led to it, and random numbers for the rollout that begins."""


class DreamActing:
    """Acts by `policy`, but in the last `games` games by the dreamer once it is awake."""

    def __init__(self, policy: Acting, sleeper: Sleeper, games: int) -> None:
        self.policy, self.sleeper, self.games = policy, sleeper, games
        self.name = policy.name
        self._awake = False

    def take_place(self, rollout: Rollout) -> None:
        self.policy.take_place(rollout)
        self._rollout = rollout
        own = slice(rollout.num_envs - self.games, None)
        named = rollout.tensors()
        self._action, self._log_prob = (named[name][:, own] for name in ("action", "log_prob"))
        self._is_first = named["is_first"][:, own]
        self._seen = {key: named[f"observation.{key}"][:, own] for key in rollout.observation}

    def begin(self, uniform: Tensor, normal: Tensor) -> None:
        self.policy.begin(uniform, normal)
        self._awake = self.sleeper.awake
        self._rollout.others = self.games if self._awake else 0
        if self._awake:
            self._world, self._dreamer, latent, row, self._random = self.sleeper.following()
            own = slice(len(row) - self.games, None)
            self._latent, self._row = Latent(latent.deter[own], latent.stoch[own]), row[own]

    def decide(self, t: int) -> None:
        self.policy.decide(t)
        if self._awake:
            self._decide(t)

    def evaluate(self, t: int) -> None:
        self.policy.evaluate(t)

    def _decide(self, t: int) -> None:
        world, head, random = self._world, self._dreamer.head, self._random
        seen = {key: value[t] for key, value in self._seen.items()}
        noise = world.rssm.noise(self.games, generator=random)
        self._latent = world.observe(self._latent, self._row, seen, self._is_first[t], noise)
        head.sample(
            self._dreamer.parameters_of(self._latent.features),
            seen.get(MASK),
            torch.rand(self.games, head.categorical, generator=random),
            torch.randn(self.games, head.continuous, generator=random),
            self._action[t],
            self._log_prob[t],
        )
        self._row = self._action[t]


def games_of(share: float, num_envs: int) -> int:
    """How many of `num_envs` games the dreamer plays itself: a share of them, at least one, and one
    is left to the policy. Raises ConfigError where there is only one."""
    if num_envs < 2:
        raise ConfigError(
            f"dream.distill_coef = 0: the dreamer then plays games of its own, and game.envs is "
            f"{num_envs}: play 2 or more side by side, or let it teach (dream.distill_coef = 0.1)"
        )
    return min(max(1, round(share * num_envs)), num_envs - 1)
