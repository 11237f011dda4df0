"""Learning to minimise expected free energy in dreams (Friston et al. 2015; Tschantz et al. 2020).

Knows the world model, the ensemble of one-step models and learning in dreams; does not know games,
replay or files. The same actor and critic as in dreamer.py, with lambda-returns of -G instead of
rewards, where a dreamed step costs

    G_t = -ln P~(r_t) - curiosity * I(s_t+1; m | s_t, a_t)
    ln P~(r) = precision * r / unit + constant

Risk: rewards are preferred, each unit by so many nats; what is preferred is fixed before the actor
first learns and never changes, as whoever may want what he gets stops learning. Information gain:
how much what comes next would tell of which one-step model m is right. It vanishes where nothing is
left to learn, chance included, and with it the difference from reward alone; see pomdp.py for the
definition in a world whose rules are known, where -G is utility + information gain as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metabonk.config import DreamConfig, EfeConfig
from metabonk.learn.dreams.dreamer import DreamLearner
from metabonk.learn.dreams.world import known
from metabonk.learn.faults import Faults
from metabonk.learn.optimizer import FlatAdam
from metabonk.learn.replay import Sequences
from metabonk.metrics import declare
from metabonk.models.dreamer import Dream, Dreamer
from metabonk.models.forward import ForwardEnsemble
from metabonk.models.rssm import Latent
from metabonk.models.world import WorldModel
from metabonk.protocols import Array

EFE_STREAM = 13

for _name, _unit, _help in (
    ("efe_policy_loss", "", "Active inference: loss of the actor"),
    ("efe_critic_loss", "nats", "Active inference: loss of the critic"),
    ("efe_return", "nats", "Active inference: expected free energy that is foreseen, negated"),
    ("efe_risk", "nats", "Active inference: cost of what is foreseen, per dreamed step"),
    ("efe_gain", "nats", "Active inference: information gain, per dreamed step"),
    ("efe_seen_gain", "nats", "Active inference: information gain where it was, per step"),
    ("efe_forward_loss", "nats", "Active inference: loss of the one-step models, per step"),
    ("efe_entropy", "nats", "Active inference: entropy of the actor's actions"),
    ("efe_spread", "nats", "Active inference: running spread of what is foreseen"),
    ("efe_gradient_norm", "", "Active inference: length of the gradient before clipping"),
    ("efe_horizon", "steps", "Active inference: steps that its dreams lasted"),
    ("efe_unit", "", "Active inference: the reward that is preferred by its precision"),
    ("efe_skipped", "", "Active inference: updates so far that were skipped, not finite"),
    ("efe_forward_skipped", "", "Its one-step models: updates that were skipped, not finite"),
    ("efe_kl", "nats", "Divergence of the policy from the actor of active inference"),
    ("efe_kl_promise", "", "What acting as active inference would be worth, in advantages"),
):
    declare(_name, _unit, _help)


@dataclass(frozen=True)
class Preferences:
    """ln P~ of rewards, up to a constant: `precision` nats for each `unit` of reward."""

    precision: float
    unit: float = 1.0

    def log(self, reward: Tensor) -> Tensor:
        return reward * (self.precision / self.unit)


class Rewards:
    """How large rewards are that were seen: their root mean square, of all steps."""

    def __init__(self) -> None:
        self.count, self.squares = 0, 0.0

    def add(self, reward: Tensor) -> None:
        """Rewards [N] of steps that led somewhere."""
        self.count += len(reward)
        self.squares += float(reward.double().square().sum())

    @property
    def usual(self) -> float:
        """1 where no reward was seen yet."""
        return math.sqrt(self.squares / self.count) if self.squares > 0.0 else 1.0


class EfeLearner(DreamLearner):
    """Updates `dreamer` towards less expected free energy, and the ensemble that tells what is not
    known. forward_faults: updates of the ensemble without effect."""

    part = "efe"
    stream = EFE_STREAM

    def __init__(
        self,
        world: WorldModel,
        dreamer: Dreamer,
        config: DreamConfig,
        efe: EfeConfig,
        *,
        seed: int = 0,
        run: Path | None = None,
    ) -> None:
        super().__init__(world, dreamer, config, seed=seed, run=run)
        self.efe = efe
        rssm = world.rssm
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.ensemble = ForwardEnsemble(
                efe.members,
                rssm.features + world.actions.width,
                rssm.groups,
                rssm.classes,
                hidden=efe.hidden,
                prior=efe.prior,
            )
        self.forward_optimizer = FlatAdam(self.ensemble.online)
        self.forward_faults = Faults("efe_forward", run)
        self.preferences: Preferences | None = None  # until the actor first learns
        self.rewards = Rewards()
        self._foreseen: dict[str, float] = {}

    def study(self, seen: Latent, drawn: Sequences, burn_in: int) -> dict[str, float]:
        """One update of the ensemble from states `seen` [L * B, ...] that sequences `drawn` went
        through; returns its metrics, none where nothing led anywhere, and of one that was skipped
        only how many were. The first `burn_in` steps of a sequence that is no episode's beginning
        are left out, as in the world model's loss. Raises DivergedError for the third update in a
        row that was not finite."""
        inputs, target, came = self._transitions(seen, drawn, burn_in)
        if not len(came):
            return {}
        if self.preferences is None:
            self.rewards.add(torch.from_numpy(drawn.reward)[~torch.from_numpy(drawn.is_first)])
        losses = self.ensemble.losses(inputs[came], target[came])
        loss = losses.mean(1).sum()  # members share nothing: each learns as it would alone
        self.forward_optimizer.zero()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = self.forward_optimizer.clip(self.efe.max_grad_norm)
        if not (math.isfinite(norm) and math.isfinite(float(loss.detach()))):
            batch = {"inputs": inputs[came].numpy(), "target": target[came].numpy()}
            self.forward_faults.failed("the gradient of the ensemble", batch, self.updates)
            return {"efe_forward_skipped": float(self.forward_faults.skipped)}
        self.forward_faults.passed()
        self.forward_optimizer.step(self.efe.learning_rate)
        with torch.no_grad():
            gain = self.ensemble.uncertainty(inputs[came[:: max(1, len(came) // 256)]]).gain
        return {
            "efe_forward_loss": float(losses.detach().mean()),
            "efe_seen_gain": float(gain.mean()),
            "efe_forward_skipped": float(self.forward_faults.skipped),
        }

    def _transitions(
        self, seen: Latent, drawn: Sequences, burn_in: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs of the ensemble [T, inputs], what came of them [T, S], and the indices of those
        that count; T = (L - 1) * B, none if `seen` is empty."""
        is_first = torch.from_numpy(drawn.is_first)
        length, num = is_first.shape if len(seen.deter) else (1, 0)
        features = seen.detach().features.view(length, num, self.world.rssm.features)
        stoch = seen.stoch.detach().view(length, num, self.world.rssm.stoch)
        code = self.world.actions(torch.from_numpy(drawn.action))[1:length, :num]
        inputs = torch.cat([features[:-1], code], -1).flatten(0, 1)
        before = known(is_first, burn_in)[: length - 1, :num]
        came = torch.nonzero((before & ~is_first[1:length, :num]).flatten())[:, 0]
        return inputs, stoch[1:].flatten(0, 1), came

    def prefer(self) -> None:
        """Fixes what is preferred, once and for all: rewards as large as those seen until now."""
        if self.preferences is None:
            self.preferences = Preferences(self.efe.precision, self.rewards.usual)

    def update(self, seen: Latent, horizon: int) -> dict[str, float]:
        """As DreamLearner's; what is preferred is fixed from the first one on."""
        self.prefer()
        metrics = super().update(seen, horizon)
        if metrics:
            metrics["efe_policy_loss"] = metrics.pop("efe_actor_loss")
            metrics |= self._foreseen
        return metrics

    def worth(self, dreamed: Dream) -> tuple[Tensor, Tensor]:
        """-G of every dreamed step, in nats, and the probability of going on, [H, B] each."""
        assert self.preferences is not None
        reward, going = super().worth(dreamed)
        liked = self.preferences.log(reward)
        code = self.world.actions.trusted(dreamed.rows)
        inputs = torch.cat([dreamed.features[:-1], code], -1).flatten(0, 1)
        gain = self.curious(inputs).view(reward.shape)
        self._foreseen = {
            "efe_risk": -float(liked.mean()),
            "efe_gain": float(gain.mean()),
            "efe_unit": self.preferences.unit,
        }
        return liked + self.efe.curiosity * gain, going

    def curious(self, inputs: Tensor) -> Tensor:
        """What is sought in what comes after inputs [T, inputs] of the ensemble: its information
        gain, [T] in nats."""
        return self.ensemble.uncertainty(inputs).gain

    def details(self) -> dict[str, Any]:
        fixed = None if self.preferences is None else self.preferences.unit
        return {
            **super().details(),
            "forward": self.forward_faults.details(),
            "unit": fixed,
            "rewards": [self.rewards.count, self.rewards.squares],
        }

    def load(self, state: Mapping[str, Array], details: Mapping[str, Any]) -> None:
        super().load(state, details)
        self.forward_faults.load(details["forward"])
        self.rewards.count, self.rewards.squares = details["rewards"]
        unit = details["unit"]
        self.preferences = None if unit is None else Preferences(self.efe.precision, float(unit))
