"""Running normalisation of inputs. Knows torch; does not know what is normalised.

Statistics change only when `learn` is called, between updates, so that a policy is the same
function while it acts and while its actions are learned from. They are buffers and travel with the
weights: what is served is normalised as what was trained.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LIMIT = 5.0  # deviations; what is rarer is cut
FLOOR = 1e-3  # of a deviation, below which an input counts as constant


class Scale(nn.Module):
    """(x - mean) / deviation per element, within +-5; the identity until something was seen.

    shape: of one sample. Input and output [..., *shape], float32.
    """

    mean: Tensor
    inverse: Tensor
    squares: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("inverse", torch.ones(shape))
        self.register_buffer("squares", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("count", torch.zeros(shape, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean).mul_(self.inverse).clamp_(-LIMIT, LIMIT)

    def learn(self, x: Tensor, present: Tensor | None = None) -> None:
        """Adds samples [B, *shape] to the statistics; present: see `moments`."""
        self.add(self.moments(x, present))

    @torch.no_grad()
    def moments(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """Number, sum and sum of squares of samples [B, *shape], about the mean so far.

        present: bool, broadcastable to `x`: elements that are there; others do not count. float64
        [3, *shape]. Several learners that share their statistics average these before `add`.
        """
        x = x.double() - self.mean
        there = torch.ones_like(x) if present is None else present.expand_as(x).double()
        x *= there
        return torch.stack([there.sum(0), x.sum(0), x.square().sum(0)])

    @torch.no_grad()
    def add(self, moments: Tensor) -> None:
        """Adds what `moments` gave since the last `add` (Chan et al. 1983)."""
        seen, sums, squares = moments
        shift = sums / seen.clamp(min=1e-9)  # of the samples' mean from the mean so far
        squares = (squares - shift.square() * seen).clamp(min=0.0)
        total = (self.count + seen).clamp(min=1e-9)
        self.squares += squares + shift.square() * self.count * seen / total
        self.mean.copy_(self.mean + shift * seen / total)
        self.count += seen
        deviation = (self.squares / total).sqrt()
        known = (self.count > 1) & (deviation > FLOOR)
        self.inverse.copy_(torch.where(known, 1.0 / deviation.clamp(min=FLOOR), 1.0))
