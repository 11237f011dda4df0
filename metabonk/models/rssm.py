"""A recurrent state-space model: what happens next, as a state that can be dreamed on.

Knows torch and the ops `rssm_scan` and `rssm_step`, which hold the formula. Does not know
observations, actions as games have them, rewards or losses (Hafner et al. 2019, 2021).

The state is h [B, deter] and s [B, groups * classes]. h is a function of all that happened; s is
drawn: from the prior while dreaming, from the posterior, which sees the observation, while awake.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from metabonk.ops.rssm_scan import RssmStates, rssm_scan
from metabonk.ops.rssm_step import rssm_step
from metabonk.ops.rssm_weights import RssmWeights

__all__ = ["RSSM", "Latent", "RssmStates"]


class Latent(NamedTuple):
    """deter [..., D], stoch [..., S], both float32."""

    deter: Tensor
    stoch: Tensor

    @property
    def features(self) -> Tensor:
        """[..., D + S], what heads read."""
        return torch.cat(self, -1)

    def detach(self) -> Latent:
        return Latent(self.deter.detach(), self.stoch.detach())

    def where(self, keep: Tensor) -> Latent:
        """Zero where `keep` [..., 1] is 0: the state before a first step."""
        return Latent(self.deter * keep, self.stoch * keep)


class RSSM(nn.Module):
    """action: width of an action. embed: of an embedded observation.

    classes 0: Gaussians with deviations of at least `min_std` instead of categoricals with `unimix`
    of the uniform distribution. Parameters are those of `metabonk.ops.rssm_weights`, as
    torch.nn.Linear and torch.nn.GRUCell keep them.
    """

    def __init__(
        self,
        action: int,
        embed: int,
        *,
        deter: int = 256,
        groups: int = 16,
        classes: int = 16,
        hidden: int = 256,
        unimix: float = 0.01,
        min_std: float = 0.1,
    ) -> None:
        super().__init__()
        self.deter, self.groups, self.classes = deter, groups, classes
        self.unimix, self.min_std = unimix, min_std
        self.stoch = groups * (classes or 1)
        parameters = groups * (classes or 2)
        self.input = nn.Linear(self.stoch + action, hidden)
        self.rnn = nn.GRUCell(hidden, deter)
        self.prior = nn.Linear(deter, hidden)
        self.prior_out = nn.Linear(hidden, parameters)
        self.post = nn.Linear(deter + embed, hidden)
        self.post_out = nn.Linear(hidden, parameters)
        for head in (self.prior_out, self.post_out):
            if classes:  # uniform ones would tell a decoder nothing that it could learn from
                nn.init.orthogonal_(head.weight)
            else:  # nothing is certain before it is learned
                nn.init.uniform_(head.weight, -1e-2, 1e-2)
            nn.init.zeros_(head.bias)

    @property
    def features(self) -> int:
        """Width of `Latent.features`."""
        return self.deter + self.stoch

    def initial(self, batch: int) -> Latent:
        """Before anything happened: zeros."""
        zeros = self.input.weight.new_zeros
        return Latent(zeros(batch, self.deter), zeros(batch, self.stoch))

    def noise(self, *shape: int, generator: torch.Generator | None = None) -> Tensor:
        """[*shape, groups]: what draws states: uniform, or standard normal for Gaussians; the same
        numbers wherever the weights are."""
        draw = torch.rand if self.classes else torch.randn
        return draw(*shape, self.groups, generator=generator).to(self.input.weight.device)

    def weights(self) -> RssmWeights:
        """As the ops take them."""
        return RssmWeights(
            self.input.weight,
            self.input.bias,
            self.rnn.weight_ih,
            self.rnn.weight_hh,
            self.rnn.bias_ih,
            self.rnn.bias_hh,
            self.prior.weight,
            self.prior.bias,
            self.prior_out.weight,
            self.prior_out.bias,
            self.post.weight,
            self.post.bias,
            self.post_out.weight,
            self.post_out.bias,
        )

    def sequence(
        self,
        before: Latent,
        action: Tensor,
        embed: Tensor | None,
        keep: Tensor | None,
        noise: Tensor,
    ) -> RssmStates:
        """T steps: action [T, B, A] that led to each, embed [T, B, E] of what was then seen (None
        while dreaming), keep [T, B, 1] 0 where a step is an episode's first, noise [T, B, groups].
        """
        weights = self.weights() if embed is not None else self.weights().prior()
        return rssm_scan(
            *before,
            action,
            embed,
            keep,
            noise,
            weights,
            classes=self.classes,
            unimix=self.unimix,
            min_std=self.min_std,
        )

    def step(self, before: Latent, action: Tensor, noise: Tensor) -> Latent:
        """One step nobody observes: action [B, A], noise [B, groups]."""
        out = rssm_step(
            *before,
            action,
            None,
            None,
            noise,
            self.weights().prior(),
            classes=self.classes,
            unimix=self.unimix,
            min_std=self.min_std,
        )
        return Latent(out.deter, out.stoch)

    def divergence(self, posterior: Tensor, prior: Tensor) -> Tensor:
        """KL(posterior || prior) in nats, [...], of parameters [..., P] as the ops return them."""
        if self.classes:
            return (posterior.exp() * (posterior - prior)).sum(-1)
        mean, std = posterior.chunk(2, -1)
        prior_mean, prior_std = prior.chunk(2, -1)
        ratio = std / prior_std
        apart = (mean - prior_mean) / prior_std
        return 0.5 * (ratio.square() + apart.square() - 1.0 - 2.0 * ratio.log()).sum(-1)
