"""An ensemble of Q functions that are right together and differ where nothing was learned.

Knows flat inputs and torch; does not know observations, actions or who learns. Every member has
its own weights, its own slowly following target, and its own prior: a random network that never
learns and is added to it, so that members disagree where no data made them agree (Osband et al.
2018). Members share nothing: no gradient of one reaches another, and each bootstraps from its own
target only. What a member learns from is for it alone, see `bootstrap`.
"""

from __future__ import annotations

import itertools
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from metabonk.protocols import BoolArray

BOOTSTRAP_STREAM = 20


class Stack(nn.Module):
    """M networks of the same shape in one: [M, B, inputs] or [B, inputs] -> [M, B, outputs].

    Layers of `hidden` units through SiLU; weights of each member uniform as torch's linear layers.
    """

    def __init__(
        self, members: int, inputs: int, hidden: int, layers: int, outputs: int = 1
    ) -> None:
        super().__init__()
        widths = [inputs, *[hidden] * layers, outputs]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for width, out in itertools.pairwise(widths):
            bound = width**-0.5
            shape = (members, width, out)
            self.weights.append(nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))
            bias = torch.empty(members, 1, out).uniform_(-bound, bound)
            self.biases.append(nn.Parameter(bias))

    def forward(self, x: Tensor) -> Tensor:
        x = x.expand(len(self.weights[0]), *x.shape[-2:])
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if i != last:
                x = torch.nn.functional.silu(x)
        return x


class QEnsemble(nn.Module):
    """`members` Q functions of inputs [B, inputs]. prior: how much the random networks weigh, in
    deviations of the return.

    Values inside are (Q - shift) / scale; `learn_units` says which units those are.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self, members: int, inputs: int, hidden: int, layers: int = 2, prior: float = 1.0
    ) -> None:
        super().__init__()
        if members < 2:
            raise ValueError(f"members: {members}; give at least 2, one cannot differ")
        self.members, self.prior_weight = members, prior
        self.online = Stack(members, inputs, hidden, layers)
        self.slow = Stack(members, inputs, hidden, layers)
        self.slow.load_state_dict(self.online.state_dict())
        self.slow.requires_grad_(False)
        self.prior = Stack(members, inputs, hidden, layers)
        self.prior.requires_grad_(False)
        self.register_buffer("shift", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def learn_units(self, returns: Tensor) -> None:
        """Takes the units from returns [N] that were seen."""
        deviation = float(returns.double().std(correction=0)) if len(returns) > 1 else 0.0
        self.shift.fill_(float(returns.double().mean()))
        self.scale.fill_(deviation if deviation > 1e-6 else 1.0)

    def forward(self, inputs: Tensor) -> Tensor:
        """Q of every member, [members, B], in units of reward."""
        return self._value(self.online, inputs)

    @torch.no_grad()
    def target(self, inputs: Tensor) -> Tensor:
        """What each member's own target says, [members, B]."""
        return self._value(self.slow, inputs)

    def _value(self, stack: Stack, inputs: Tensor) -> Tensor:
        inner = stack(inputs)[..., 0]
        if self.prior_weight:
            inner = inner + self.prior_weight * self.prior(inputs)[..., 0].detach()
        return cast(Tensor, self.shift + self.scale * inner)

    def losses(self, inputs: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Mean squared error of each member [members], in its own units, over the rows that are its
        own. targets [members, B]: one for each member; mask bool [members, B]."""
        error = (self(inputs) - targets) / self.scale
        mine = mask.to(error.dtype)
        mean: Tensor = (error.square() * mine).sum(1) / mine.sum(1).clamp(min=1.0)
        return mean

    @torch.no_grad()
    def follow(self, share: float) -> None:
        """Moves every target towards its own member."""
        for slow, fast in zip(self.slow.parameters(), self.online.parameters(), strict=True):
            slow.lerp_(fast, share)

    def agreed(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation over members, [B] each."""
        values = self(inputs)
        mean = values.mean(0)
        return mean, (values - mean).square().mean(0).sqrt()


def lower_bound(mean: Tensor, std: Tensor, beta: float) -> Tensor:
    """mean - beta std: what can be counted on where members differ."""
    return mean - beta * std


def bootstrap(members: int, rows: int, seed: int, share: float = 0.5) -> BoolArray:
    """Which of `rows` rows each member learns from, bool [members, rows]: drawn once for each pair
    and never again, so that a member is blind to the same rows for ever (Efron 1979, as a mask)."""
    generator = np.random.Generator(np.random.Philox(key=[seed, BOOTSTRAP_STREAM]))
    mask: BoolArray = generator.random((members, rows), np.float32) < share
    return mask
