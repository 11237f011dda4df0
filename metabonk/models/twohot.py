"""Numbers of any size as distributions over fixed bins. Knows torch; no rewards, no networks.

    symlog(x) = sign(x) ln(1 + |x|),  symexp its inverse         (Webber 2012; Hafner et al. 2023)

Bins stand at unit * symexp of evenly spaced points: evenly up to about one unit, and ever wider
apart beyond. A number between two bins is the mixture of both that has it as its mean, so that what
is learned of a random number by cross-entropy has that number's mean, and gradients do not grow
with it. Numbers that share a pair of bins are told apart by little of that loss: a game pays
hundredths for most of what it pays for, which is why the unit is a tenth where the paper has 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def symlog(x: Tensor) -> Tensor:
    return torch.sign(x) * torch.log1p(x.abs())


def symexp(x: Tensor) -> Tensor:
    return torch.sign(x) * torch.expm1(x.abs())


class TwoHot(nn.Module):
    """count: bins, odd so that one of them is 0. reach: the outermost stand at
    unit * symexp(+-reach)."""

    bins: Tensor

    def __init__(self, count: int = 159, reach: float = 15.0, unit: float = 0.1) -> None:
        super().__init__()
        if count < 3 or count % 2 == 0:
            raise ValueError(f"count: {count} bins; wanted an odd number of at least 3")
        half = unit * symexp(torch.linspace(0.0, reach, count // 2 + 1, dtype=torch.float64))
        bins = torch.cat([-half[1:].flip(0), half]).float()
        self.register_buffer("bins", bins, persistent=False)

    def encode(self, value: Tensor) -> Tensor:
        """Values [...] -> weights [..., count], of which at most two are not 0; beyond the
        outermost bin a value counts as that bin."""
        value = value.clamp(self.bins[0], self.bins[-1])
        above = torch.searchsorted(self.bins, value.contiguous()).clamp(1, len(self.bins) - 1)
        low, high = self.bins[above - 1], self.bins[above]
        share = ((value - low) / (high - low))[..., None]
        weights = value.new_zeros(*value.shape, len(self.bins))
        weights.scatter_(-1, above[..., None] - 1, 1.0 - share)
        return weights.scatter_(-1, above[..., None], share)

    def loss(self, logits: Tensor, value: Tensor) -> Tensor:
        """Cross-entropy [...] of logits [..., count] with values [...]."""
        return -(self.encode(value) * logits.log_softmax(-1)).sum(-1)

    def mean(self, logits: Tensor) -> Tensor:
        """What logits [..., count] expect, [...].

        Bins of opposite sign are added in pairs: with uniform logits the result is 0 exactly.
        """
        weighted = logits.softmax(-1) * self.bins
        half = len(self.bins) // 2
        pairs = weighted[..., :half].flip(-1) + weighted[..., half + 1 :]
        return pairs.sum(-1)
