"""Stable-Baselines3's PPO with our recipe, on its own vector environment. Knows only SB3.

Its loss takes the whole squared error of the values, the recipe's the half of it, as CleanRL's and
ours: half the coefficient gives the critic the same gradient.
"""

from __future__ import annotations

from ..training import ENV, Recipe
from . import require


class StableBaselines3:
    def __init__(self, recipe: Recipe) -> None:
        sb3 = require("stable_baselines3")
        vec = require("stable_baselines3.common.vec_env")
        torch = require("torch", "train")
        gymnasium = require("gymnasium")
        r = recipe
        # VecMonitor instead of one Monitor per environment: the cheapest way to see returns.
        self.envs = vec.VecMonitor(
            vec.DummyVecEnv([lambda: gymnasium.make(ENV) for _ in range(r.num_envs)])
        )
        self.steps = r.steps
        self.model = sb3.PPO(
            "MlpPolicy",
            self.envs,
            learning_rate=r.learning_rate,
            n_steps=r.horizon,
            batch_size=r.steps // r.minibatches,
            n_epochs=r.epochs,
            gamma=r.gamma,
            gae_lambda=r.gae_lambda,
            clip_range=r.clip,
            ent_coef=r.entropy_coef,
            vf_coef=0.5 * r.value_coef,
            max_grad_norm=r.max_grad_norm,
            stats_window_size=r.steps,
            policy_kwargs={
                "net_arch": {"pi": [r.hidden] * 2, "vf": [r.hidden] * 2},
                "activation_fn": torch.nn.Tanh,
                "ortho_init": True,
                "optimizer_kwargs": {"eps": r.adam_epsilon},
            },
            seed=r.seed,
            device="cpu",
        )

    def iterate(self) -> list[float]:
        buffer = self.model.ep_info_buffer
        if buffer is not None:
            buffer.clear()
        self.model.learn(self.steps, reset_num_timesteps=False)
        return [float(info["r"]) for info in self.model.ep_info_buffer]

    def close(self) -> None:
        self.envs.close()
