"""A radar: what lies around the player, mixed and summed by direction and distance.

Knows torch and that a row begins with where the thing is, right and forward of the player, in units
of about 16 m. Does not know what else rows hold.

A linear layer over a list of things, however sorted, has to learn anew for every place in the list
what "near and to the left" means, and that left is beside front. Here it is given. Copying the
scripted player's directions from 57,000 decisions leaves .45 of their variance unexplained, a layer
over the sorted list .71, learned pooling .60.
"""

from __future__ import annotations

from torch import Tensor, nn

from metabonk.models.layers import linear
from metabonk.ops import radar

RINGS = (0.05, 0.15, 0.35, 0.8)  # distances in units of a relative position
REACH = 0.8  # beyond the last ring, where a thing has faded out
MIXTURES = 6


class Radar(nn.Module):
    """Rows [B, K, F] with a mask [B, K] -> [B, outputs]; masked rows do not matter."""

    outputs = radar.SECTORS * len(RINGS) * MIXTURES

    def __init__(self, features: int) -> None:
        super().__init__()
        self.mix = linear(features - 1, MIXTURES, 1.0)

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        sums = radar.radar(rows, mask, RINGS, REACH)
        mixed: Tensor = self.mix(sums.flatten(0, 1))
        return mixed.view(len(rows), -1)
