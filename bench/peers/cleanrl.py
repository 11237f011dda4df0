"""PPO in one loop over EnvPool, as CleanRL's single files write it. Knows torch and EnvPool only.

The loop keeps what makes such files what they are: rollouts in torch tensors, one conversion each
way per step, torch.distributions, advantages in torch, minibatches by a shuffled index. It leaves
out what costs time there and is no part of the algorithm: logging, annealing, clipped values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..training import ENV, Recipe
from . import require


class CleanRL:
    """threads: EnvPool's."""

    def __init__(self, recipe: Recipe, threads: int) -> None:
        envpool = require("envpool")
        self.recipe = r = recipe
        torch = self.torch = require("torch", "train")
        torch.manual_seed(r.seed)
        self.envs = envpool.make(
            ENV, env_type="gymnasium", num_envs=r.num_envs, num_threads=threads, seed=r.seed
        )
        width = self.envs.observation_space.shape[-1]
        choices = int(self.envs.action_space.n)
        self.actor = self._tower(width, choices, 0.01)
        self.critic = self._tower(width, 1, 1.0)
        self.parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=r.learning_rate, eps=r.adam_epsilon)
        shape = (r.horizon, r.num_envs)
        self.obs = torch.zeros((*shape, width))
        self.actions, self.logprobs = torch.zeros(shape), torch.zeros(shape)
        self.rewards, self.dones = torch.zeros(shape), torch.zeros(shape)
        self.values = torch.zeros(shape)
        self.next_obs = torch.as_tensor(self.envs.reset()[0])
        self.next_done = torch.zeros(r.num_envs)
        self.episode_return = np.zeros(r.num_envs)

    def _tower(self, inputs: int, outputs: int, gain: float) -> Any:
        nn = self.torch.nn
        hidden = self.recipe.hidden

        def layer(a: int, b: int, std: float) -> Any:
            made = nn.Linear(a, b)
            nn.init.orthogonal_(made.weight, std)
            nn.init.zeros_(made.bias)
            return made

        return nn.Sequential(
            layer(inputs, hidden, 2**0.5),
            nn.Tanh(),
            layer(hidden, hidden, 2**0.5),
            nn.Tanh(),
            layer(hidden, outputs, gain),
        )

    def _act(self, obs: Any, action: Any = None) -> tuple[Any, Any, Any, Any]:
        distribution = self.torch.distributions.Categorical(logits=self.actor(obs))
        if action is None:
            action = distribution.sample()
        value = self.critic(obs)
        return action, distribution.log_prob(action), distribution.entropy(), value

    def iterate(self) -> list[float]:
        ended = self._collect()
        advantages = self._advantages()
        self._update(advantages, advantages + self.values)
        return ended

    def _collect(self) -> list[float]:
        torch = self.torch
        ended: list[float] = []
        for step in range(self.recipe.horizon):
            self.obs[step] = self.next_obs
            self.dones[step] = self.next_done
            with torch.no_grad():
                action, logprob, _, value = self._act(self.next_obs)
                self.values[step] = value.flatten()
            self.actions[step] = action
            self.logprobs[step] = logprob
            obs, reward, terminated, truncated, _ = self.envs.step(action.numpy())
            done = np.logical_or(terminated, truncated)
            self.rewards[step] = torch.as_tensor(reward)
            self.next_obs = torch.as_tensor(obs)
            self.next_done = torch.as_tensor(done, dtype=torch.float32)
            self.episode_return += reward
            if done.any():
                ended += self.episode_return[done].tolist()
                self.episode_return[done] = 0.0
        return ended

    def _advantages(self) -> Any:
        torch, r = self.torch, self.recipe
        with torch.no_grad():
            next_value = self.critic(self.next_obs).reshape(-1)
            advantages = torch.zeros_like(self.rewards)
            last = 0.0
            for t in reversed(range(r.horizon)):
                nonterminal = 1.0 - (self.next_done if t == r.horizon - 1 else self.dones[t + 1])
                following = next_value if t == r.horizon - 1 else self.values[t + 1]
                delta = self.rewards[t] + r.gamma * following * nonterminal - self.values[t]
                advantages[t] = last = delta + r.gamma * r.gae_lambda * nonterminal * last
        return advantages

    def _update(self, advantages: Any, returns: Any) -> None:
        r = self.recipe
        obs = self.obs.reshape(r.steps, -1)
        actions, logprobs = self.actions.reshape(-1), self.logprobs.reshape(-1)
        advantages, returns = advantages.reshape(-1), returns.reshape(-1)
        index = np.arange(r.steps)
        size = r.steps // r.minibatches
        for _ in range(r.epochs):
            np.random.shuffle(index)  # noqa: NPY002 (as such loops do)
            for start in range(0, r.steps, size):
                rows = index[start : start + size]
                self._descend(
                    obs[rows], actions[rows], logprobs[rows], advantages[rows], returns[rows]
                )

    def _descend(self, obs: Any, action: Any, old: Any, advantage: Any, returns: Any) -> None:
        torch, r = self.torch, self.recipe
        _, logprob, entropy, value = self._act(obs, action.long())
        ratio = (logprob - old).exp()
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        clipped = torch.clamp(ratio, 1 - r.clip, 1 + r.clip)
        policy_loss = torch.max(-advantage * ratio, -advantage * clipped).mean()
        value_loss = 0.5 * ((value.view(-1) - returns) ** 2).mean()
        loss = policy_loss - r.entropy_coef * entropy.mean() + r.value_coef * value_loss
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, r.max_grad_norm)
        self.optimizer.step()

    def close(self) -> None:
        self.envs.close()
