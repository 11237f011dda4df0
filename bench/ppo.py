"""Suite `ppo`: environment steps trained per second, all following one recipe (training.py), but
for the rows over which advantages are normalised: ours the rollout's, the peers' each minibatch's.
"""

from __future__ import annotations

import os

from .case import Case
from .meter import fastest
from .peers import require
from .training import ENV, Recipe, Training, both_learn
from .versus import Contender

ENVPOOL = "CleanRL-style loop over EnvPool"
SB3 = "Stable-Baselines3"
ITERATIONS = 30  # after which both returns have to be half as high again as random play


class Ours:
    """metabonk.learn with the recipe."""

    def __init__(self, recipe: Recipe) -> None:
        require("torch", "train")
        import torch

        from metabonk.config import ModelConfig, PPOConfig
        from metabonk.games import make
        from metabonk.learn.acting import quicker
        from metabonk.learn.collector import Collector
        from metabonk.learn.ppo import PPO
        from metabonk.models.policy import build

        r = recipe
        self.game = make(f"gym/{ENV}", r.num_envs)
        model = build(
            self.game.observation_space,
            self.game.action_layout,
            ModelConfig(name="mlp", hidden=r.hidden, layers=2, normalize=False),
            seed=r.seed,
        )
        config = PPOConfig(
            learning_rate=r.learning_rate,
            anneal=False,
            gamma=r.gamma,
            gae_lambda=r.gae_lambda,
            clip=r.clip,
            value_coef=r.value_coef,
            entropy_coef=r.entropy_coef,
            max_grad_norm=r.max_grad_norm,
            horizon=r.horizon,
            epochs=r.epochs,
            minibatches=r.minibatches,
            normalize_rewards=False,
        )
        self.learner = PPO(model, config, num_envs=r.num_envs, seed=r.seed)
        self.collector = Collector(self.game, model, horizon=r.horizon, seed=r.seed)
        # As `metabonk train` does before it starts.
        acting, _ = quicker(model, self.collector.rollout, torch.get_num_threads())
        self.collector.act_by(acting)
        self.collector.start(range(r.seed, r.seed + r.num_envs))

    def iterate(self) -> list[float]:
        rollout = self.collector.collect(self.learner.version)
        self.learner.update(rollout)
        return rollout.episodes.get("return", [])

    def close(self) -> None:
        self.game.close()


def cases() -> list[Case]:
    return [
        _case("CartPole, 1 epoch", Recipe(epochs=1)),
        _case("CartPole, 4 epochs", Recipe(epochs=4)),
    ]


def _case(name: str, recipe: Recipe) -> Case:
    return Case(
        "ppo",
        name,
        "steps/s",
        Contender("metabonk", lambda: Training(Ours(recipe), recipe)),
        (
            Contender(ENVPOOL, lambda: _envpool(recipe)),
            Contender(SB3, lambda: _sb3(recipe)),
        ),
        rounds=7,
        evidence=both_learn(ITERATIONS, least=1.5, share=0.8),
    )


def _envpool(recipe: Recipe) -> Training:
    from .peers.cleanrl import CleanRL

    threads = {1, len(os.sched_getaffinity(0))}
    return fastest([Training(CleanRL(recipe, n), recipe) for n in sorted(threads)])


def _sb3(recipe: Recipe) -> Training:
    from .peers.sb3 import StableBaselines3

    # One call lasts seconds: no warming by the clock, its first iteration warms it.
    return Training(StableBaselines3(recipe), recipe, warm=0.0)
