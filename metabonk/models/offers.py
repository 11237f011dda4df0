"""Offers: what each one on the screen is worth, added to the logit of the choice that takes it.

Knows torch and the columns of an offer's row that say which choice selects it. Does not know games.

A linear head over choices has to learn for every place on the screen anew what a tome is worth.
Here all offers are read by the same weights (a pointer, Vinyals et al. 2015, in one step), so that
every decision teaches about every place:

    s_r = v . tanh(W o_r + U x + b)        logit[choice_r] += s_r    for each selectable offer r
"""

from __future__ import annotations

import torch
from gymnasium import spaces as gs
from torch import Tensor, nn

from metabonk.models.layers import fast_tanh, linear
from metabonk.observations import OBSERVATION_SPACE, OFFER_FEATURES
from metabonk.records import MAX_WIDGETS

_CHOICE = OFFER_FEATURES.index("choice")
_SELECTABLE = OFFER_FEATURES.index("selectable")


class OfferScores(nn.Module):
    """Offers [B, R, F] with a mask [B, R], in the light of features [B, C].

    Which choice takes an offer is read from its row as it is, its worth from the row `scaled`.
    """

    def __init__(self, features: int, hidden: int = 32) -> None:
        super().__init__()
        self.offer = linear(len(OFFER_FEATURES), hidden)
        self.context = nn.Linear(features, hidden, bias=False)
        self.score = nn.Linear(hidden, 1, bias=False)
        nn.init.orthogonal_(self.score.weight, 0.01)

    @staticmethod
    def fits(space: gs.Dict) -> bool:
        """Whether observations show offers as a row each."""
        return (
            "offers" in space.spaces and space["offers"].shape == OBSERVATION_SPACE["offers"].shape
        )

    def forward(
        self, offers: Tensor, mask: Tensor, scaled: Tensor, features: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Choices int64 [B, R], 0 where there is none, and their scores [B, R], 0 there."""
        there = mask.bool() & (offers[..., _SELECTABLE] > 0.5)
        seen = (
            self.offer(torch.where(there[..., None], scaled, 0.0)) + self.context(features)[:, None]
        )
        scores = self.score(fast_tanh(seen))[..., 0]
        choices = torch.where(there, offers[..., _CHOICE] * MAX_WIDGETS, 0.0).round().long()
        return choices, torch.where(there, scores, 0.0)
