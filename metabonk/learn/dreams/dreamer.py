"""Learning in dreams: an actor and a critic over a world model's states (Hafner et al. 2023).

Knows the world model's four verbs and the dreamer; does not know games or replay. From states that
were really seen the dreamer acts for H steps that nobody sees:

    R_t = r_t + d_t ((1 - lambda) v_t+1 + lambda R_t+1)      d = gamma times P(the episode goes on)
    actor:  - w_t (sg((R_t - v_t) / S) log pi(a_t) + entropy_coef H(pi))
    critic: w_t (- ln p(R_t) - ln p(slow v_t)),  two-hot

w_t is the product of all d before t and of P(the episode goes on) where the dream starts: what
comes after an end is not worth learning. S is how far returns spread, a running difference of their
95th and 5th percentiles, at least 1: small rewards are not blown up, large ones are cut down.
With `action_noise` the dreams explore around the actor. Every choice then counts by its odds o:
pi(a) over the probability with which it was drawn, which are bounded. The actor's gain is weighed
by them, and what is returned is a V-trace (Espeholt et al. 2018) with c = min(1, o), so that
gradient and critic stay the actor's; where nobody explores it is as above:

    critic's: V_t = v_t + c_t (r_t + d_t v_t+1 - v_t) + lambda c_t d_t (V_t+1 - v_t+1)
    actor's:  R_t = r_t + d_t ((1 - lambda) v_t+1 + lambda V_t+1)

Discrete and continuous actions learn alike, from log-probabilities; what the world model learned
stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metabonk.config import DreamConfig
from metabonk.learn.faults import Faults
from metabonk.learn.optimizer import FlatAdam
from metabonk.models.dreamer import Dream, Dreamer, dream
from metabonk.models.rssm import Latent
from metabonk.models.world import WorldModel
from metabonk.ops.returns import lambda_returns
from metabonk.protocols import Array

DREAM_STREAM = 10
SPREAD_MEMORY = 0.99  # of the running percentiles


class DreamLearner:
    """Updates `dreamer` in the dreams of `world`. updates: done so far. faults: of them, those
    without effect, whose starts are kept in the directory `run`. part: what metrics and faults are
    named by; stream: of its random numbers."""

    part = "dream"
    stream = DREAM_STREAM

    def __init__(
        self,
        world: WorldModel,
        dreamer: Dreamer,
        config: DreamConfig,
        *,
        seed: int = 0,
        run: Path | None = None,
    ) -> None:
        self.world, self.dreamer, self.config, self.seed = world, dreamer, config, seed
        self.optimizer = FlatAdam(dreamer)
        self.updates = 0
        self.faults = Faults(self.part, run)
        self.spread = 0.0

    def update(self, seen: Latent, horizon: int) -> dict[str, float]:
        """One gradient step from dreams of `horizon` steps that start in states [B, ...]; returns
        its metrics, none where there was nothing to start from. Raises DivergedError for the third
        in a row that was not finite."""
        config = self.config
        philox = np.random.Philox(key=[self.seed, self.stream], counter=[0, 0, 0, self.updates])
        generator = torch.Generator().manual_seed(int(philox.random_raw()) >> 1)
        start = _some(seen.detach(), config.starts, generator)
        if not len(start.deter):
            return {}
        dreamed = dream(self.world, self.dreamer, start, horizon, generator, config.action_noise)
        log_prob, entropy = self._chosen(dreamed)
        odds = None
        if config.action_noise:  # others than the actor's own choices
            odds = (log_prob.detach() - dreamed.log_prob).exp()
        with torch.no_grad():
            returns, gain, weight = self._returns(dreamed, odds)
        before = self.spread
        self._widen(returns)
        self.optimizer.zero()
        actor = self._actor_loss(log_prob, entropy, gain, weight)
        critic = self._critic_loss(dreamed.features[:-1], returns, weight)
        (actor + critic).backward()  # type: ignore[no-untyped-call]
        norm = self.optimizer.clip(config.max_grad_norm)
        self.updates += 1
        if math.isfinite(norm):
            self.faults.passed()
            self.optimizer.step(config.learning_rate)
            self.dreamer.follow(config.slow)
        else:
            self.spread = before
            batch = {"deter": start.deter.numpy(), "stoch": start.stoch.numpy()}
            self.faults.failed("the gradient", batch, self.updates)
        metrics = {
            "return": float(returns[0].mean()),
            "actor_loss": float(actor.detach()),
            "critic_loss": float(critic.detach()),
            "entropy": float(entropy.detach().mean()),
            "spread": self.spread,
            "gradient_norm": norm,
            "skipped": float(self.faults.skipped),
        }
        return {f"{self.part}_{name}": value for name, value in metrics.items()}

    def worth(self, dreamed: Dream) -> tuple[Tensor, Tensor]:
        """What every dreamed step is worth, here the reward that the world model expects, and the
        probability of going on after it, [H, B] each."""
        return self.world.outcome(dreamed.features[1:])

    def _returns(self, dreamed: Dream, odds: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The critic's targets, the actor's gains and weights [H, B] of the states in which the
        dreamer chose. odds: of what it chose, None where nobody explored."""
        config = self.config
        reward, going = self.worth(dreamed)
        discount = config.gamma * going
        value = self.dreamer.value(dreamed.features)
        if odds is None:
            returns = lambda_returns(reward, value, discount, config.lambda_)
            gain = returns - value[:-1]
        else:
            cut = odds.clamp(max=1.0)
            kept = cut * reward + (1.0 - cut) * value[:-1]
            returns = lambda_returns(kept, value, cut * discount, config.lambda_)
            after = torch.cat([returns[1:], value[-1:]])
            ahead = torch.lerp(value[1:], after, config.lambda_)
            gain = odds * (reward + discount * ahead - value[:-1])
        _, root = self.world.outcome(dreamed.features[:1])
        return returns, gain, torch.cat([root, discount[:-1]]).cumprod(0)

    def _widen(self, returns: Tensor) -> None:
        low, high = torch.quantile(returns.flatten(), torch.tensor([0.05, 0.95])).tolist()
        width = high - low
        if not math.isfinite(width):
            return
        memory = SPREAD_MEMORY if self.updates > self.faults.skipped else 0.0
        self.spread = memory * self.spread + (1.0 - memory) * width

    def _chosen(self, dreamed: Dream) -> tuple[Tensor, Tensor]:
        """Log-probabilities of what was chosen and entropies [H, B], under the actor."""
        parameters = self.dreamer.parameters_of(dreamed.features[:-1].flatten(0, 1))
        mask = None if dreamed.mask is None else dreamed.mask.flatten(0, 1)
        log_prob, entropy = self.dreamer.head.log_prob(parameters, mask, dreamed.rows.flatten(0, 1))
        return log_prob.view_as(dreamed.log_prob), entropy.view_as(dreamed.log_prob)

    def _actor_loss(
        self, log_prob: Tensor, entropy: Tensor, gain: Tensor, weight: Tensor
    ) -> Tensor:
        gain = gain / max(1.0, self.spread)
        return -(weight * (gain * log_prob + self.config.entropy_coef * entropy)).mean()

    def _critic_loss(self, features: Tensor, returns: Tensor, weight: Tensor) -> Tensor:
        dreamer = self.dreamer
        flat = features.flatten(0, 1)
        logits = dreamer.critic(flat)
        with torch.no_grad():
            slow = dreamer.values.mean(dreamer.slow(flat))
        loss = dreamer.values.loss(logits, returns.flatten()) + dreamer.values.loss(logits, slow)
        total: Tensor = (weight.flatten() * loss).mean()
        return total

    def state(self) -> dict[str, Array]:
        """Moments of the optimiser; the dreamer's weights are its own state_dict."""
        return self.optimizer.state()

    def details(self) -> dict[str, Any]:
        return {"updates": self.updates, **self.faults.details(), "spread": self.spread}

    def load(self, state: Mapping[str, Array], details: Mapping[str, Any]) -> None:
        self.optimizer.load(state)
        self.updates = int(details["updates"])
        self.faults.load(details)
        self.spread = float(details["spread"])


def _some(seen: Latent, count: int, generator: torch.Generator) -> Latent:
    """`count` of the states, each at most once; all of them if there are no more, or for 0."""
    total = len(seen.deter)
    if not count or count >= total:
        return seen
    index = torch.randperm(total, generator=generator)[:count]
    return Latent(seen.deter[index], seen.stoch[index])
