"""An ensemble of one-step models: what comes next, and how little is known of it.

Knows features of states, codes of actions and torch; does not know world models, rewards or who
learns. Every member predicts the random part of a world model's next state from the state and the
action, as a distribution. Its uncertainty has two parts (Houlsby et al. 2011; Depeweg et al. 2018):

    H(mean_m p_m)  =  mean_m H(p_m)  +  [H(mean_m p_m) - mean_m H(p_m)]
    total             aleatoric          information gain

Chance stays however much is seen; members agree about it. The rest is ignorance, which going there
and learning would end: it is the mutual information of what comes next and of which member is
right. Members differ where nothing was learned as each adds a random function of its own that never
learns (Osband et al. 2018). Of Gaussians the total is that of the Gaussian with the mixture's
moments, no less than the mixture's.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metabonk.models.ensemble import Stack

LEAST_LOG_STD, MOST_LOG_STD = -4.0, 2.0
HALF_LOG_TAU_E = 0.5 * math.log(2.0 * math.pi * math.e)


class Uncertainty(NamedTuple):
    """In nats, [B] each, summed over the variables of the state."""

    total: Tensor
    aleatoric: Tensor

    @property
    def gain(self) -> Tensor:
        """Information gain, never negative."""
        return (self.total - self.aleatoric).clamp(min=0.0)


class ForwardEnsemble(nn.Module):
    """inputs: width of features and action code together. groups, classes: of the state's random
    part, as models.rssm has them; classes 0: Gaussians. prior: weight of the random functions."""

    def __init__(
        self,
        members: int,
        inputs: int,
        groups: int,
        classes: int,
        *,
        hidden: int = 128,
        layers: int = 2,
        prior: float = 3.0,
    ) -> None:
        super().__init__()
        if members < 2:
            raise ValueError(f"members: {members}; give at least 2, one cannot differ")
        self.groups, self.classes, self.prior_weight = groups, classes, prior
        outputs = groups * (classes or 2)
        self.online = Stack(members, inputs, hidden, layers, outputs)
        self.prior = Stack(members, inputs, hidden, layers, outputs)
        self.prior.requires_grad_(False)
        with torch.no_grad():  # so that what it says is as large as what it reads (He et al. 2015)
            for weight in self.prior.weights:
                weight.mul_(math.sqrt(6.0))

    @property
    def members(self) -> int:
        return len(self.online.weights[0])

    def forward(self, inputs: Tensor) -> Tensor:
        """Of inputs [B, inputs]: log-probabilities [members, B, groups, classes], or means and the
        logarithms of deviations [members, B, groups, 2]."""
        out: Tensor = self.online(inputs).unflatten(-1, (self.groups, -1))
        if self.prior_weight:
            random = self.prior(inputs).detach().unflatten(-1, (self.groups, -1))
            if not self.classes:  # how sure a member is, it learns from nothing
                random = random * random.new_tensor([1.0, 0.0])
            out = out + self.prior_weight * random
        if self.classes:
            return out.log_softmax(-1)
        mean, log_std = out.unbind(-1)
        return torch.stack([mean, _between(log_std)], -1)

    def losses(self, inputs: Tensor, target: Tensor) -> Tensor:
        """-ln p of the next states' random parts [B, groups * (classes or 1)], [members, B]."""
        out: Tensor = self(inputs)
        if self.classes:
            wanted = target.view(*target.shape[:-1], self.groups, self.classes)
            return -(out * wanted).sum((-1, -2))
        mean, log_std = out.unbind(-1)
        apart = (target - mean) * torch.exp(-log_std)
        each: Tensor = 0.5 * apart.square() + log_std + HALF_LOG_TAU_E - 0.5
        return each.sum(-1)

    def uncertainty(self, inputs: Tensor) -> Uncertainty:
        """Of what comes after inputs [B, inputs]."""
        out: Tensor = self(inputs)
        if self.classes:
            return Uncertainty(
                _entropy(out.logsumexp(0) - math.log(len(out))), _entropy(out).mean(0)
            )
        mean, log_std = out.unbind(-1)
        variance = torch.exp(2.0 * log_std).mean(0) + mean.var(0, correction=0)
        total = 0.5 * variance.log() + HALF_LOG_TAU_E
        return Uncertainty(total.sum(-1), (log_std + HALF_LOG_TAU_E).mean(0).sum(-1))


def _between(log_std: Tensor) -> Tensor:
    """Within its bounds, with a gradient everywhere: at a hard bound nothing would lead back."""
    log_std = MOST_LOG_STD - nn.functional.softplus(MOST_LOG_STD - log_std)
    return LEAST_LOG_STD + nn.functional.softplus(log_std - LEAST_LOG_STD)


def _entropy(log_p: Tensor) -> Tensor:
    """Of log-probabilities [..., groups, classes], summed over groups: [...]."""
    return -(log_p.exp() * log_p).sum((-1, -2))
