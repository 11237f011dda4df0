"""A radar: things around the player become sums over sectors and rings.

Knows torch and that a row begins with where the thing is, right and forward of the player, in units
of about 16 m. Does not know what else rows hold.

A linear layer over a list of things, however sorted, has to learn anew for every place in the list
what "near and to the left" means, and that left is beside front. Here it is given: every thing is
spread over the two nearest of `RINGS` and some of `SECTORS`, and what is summed there is a learned
mixture of its other features. Copying the scripted player's directions from 57,000 decisions leaves
.45 of their variance unexplained, a layer over the sorted list .71, learned pooling .60.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from metabonk.models.layers import linear

SECTORS = 8
RINGS = (0.05, 0.15, 0.35, 0.8)  # distances in units of a relative position; the last reaches on
REACH = 0.8  # beyond the last ring, where a thing has faded out
MIXTURES = 6


class Radar(nn.Module):
    """Rows [B, K, F] with a mask [B, K] -> [B, outputs]; masked rows do not matter."""

    outputs = SECTORS * len(RINGS) * MIXTURES

    directions: Tensor
    rings: Tensor
    inner: Tensor
    outer: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        angles = torch.arange(SECTORS) * (2.0 * math.pi / SECTORS)
        rings = torch.tensor(RINGS)
        gaps = rings.diff()
        constants = {
            "directions": torch.stack([angles.cos(), angles.sin()]),
            "rings": rings,
            "inner": 1.0 / torch.cat([torch.ones(1), gaps]),  # slopes towards the player
            "outer": 1.0 / torch.cat([gaps, torch.tensor([REACH])]),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)
        self.mix = linear(features - 1, MIXTURES, 1.0)

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        sums = self.spread(rows, mask)
        mixed: Tensor = self.mix(sums.flatten(0, 1))
        return mixed.view(len(rows), -1)

    @torch.no_grad()
    def spread(self, rows: Tensor, mask: Tensor) -> Tensor:
        """Sums [B, SECTORS * RINGS, F - 1] of a count and of all features but the place."""
        place = rows[..., :2]
        distance = place.norm(dim=-1, keepdim=True)
        # cos(angle)^4 of eight directions: a thing between two of them counts for both.
        sector = (place @ self.directions).div_(distance + 1e-3).clamp_(min=0.0).pow_(4)
        beyond = distance - self.rings
        ring = torch.minimum(1.0 + beyond * self.inner, 1.0 - beyond * self.outer).clamp_(min=0.0)
        ring.mul_(mask[..., None])
        weights = (sector[..., :, None] * ring[..., None, :]).flatten(-2)
        counted = torch.cat([torch.ones_like(distance), rows[..., 2:]], -1)
        return torch.bmm(weights.transpose(1, 2), counted)
