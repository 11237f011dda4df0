"""Learners of PPO, small, over a walk, and what one of them has played."""

from __future__ import annotations

import functools

import torch
from tiny_games import Walk

from metabonk.config import ModelConfig, PPOConfig
from metabonk.learn.collector import Collector
from metabonk.learn.ppo import PPO
from metabonk.learn.rollout import Rollout
from metabonk.models.policy import build

ENVS = 8


def make(name: str = "pilot", normalize: bool = True, **settings) -> tuple[PPO, Collector]:
    config = PPOConfig(**{"horizon": 16, "epochs": 2, "minibatches": 2, **settings})
    game = Walk(ENVS)
    shape = ModelConfig(name=name, hidden=8, normalize=normalize)
    model = build(game.observation_space, game.action_layout, shape, seed=0)
    learner = PPO(model, config, num_envs=ENVS)
    collector = Collector(game, model, horizon=config.horizon, burn_in=config.burn_in)
    collector.start(range(ENVS))
    return learner, collector


def weights(learner: PPO) -> torch.Tensor:
    return learner.optimizer.flat.detach().clone()


def updated(rollout: bytes, name: str = "pilot", **settings) -> torch.Tensor:
    """Weights after one update of a fresh learner."""
    learner, _ = make(name, **settings)
    learner.update(Rollout.from_bytes(rollout))
    return weights(learner)


@functools.cache
def collected(name: str) -> bytes:
    return make(name)[1].collect().to_bytes()
