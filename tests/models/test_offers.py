"""Scores of offers: the same weights for every place, nothing for what cannot be taken."""

from __future__ import annotations

import torch
from torch import Tensor

from metabonk.models.offers import OfferScores
from metabonk.observations import OBSERVATION_SPACE, OFFER_FEATURES, OFFER_ROWS
from metabonk.records import MAX_WIDGETS

CHOICE = OFFER_FEATURES.index("choice")
SELECTABLE = OFFER_FEATURES.index("selectable")


def menu(batch: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    offers = torch.rand(batch, OFFER_ROWS, len(OFFER_FEATURES), generator=generator)
    offers[..., SELECTABLE] = 1.0
    offers[..., CHOICE] = (torch.arange(OFFER_ROWS) + 3) / MAX_WIDGETS
    mask = torch.ones(batch, OFFER_ROWS, dtype=torch.uint8)
    return offers, mask, torch.randn(batch, 9, generator=generator)


def test_places_are_alike() -> None:
    torch.manual_seed(0)
    scores = OfferScores(9)
    offers, mask, features = menu()
    choices, worth = scores(offers, mask, offers, features)
    assert choices.tolist() == [[3, 4, 5, 6]] * 3
    order = [2, 0, 3, 1]
    moved, same = scores(offers[:, order], mask, offers[:, order], features)
    torch.testing.assert_close(same, worth[:, order])
    assert moved.tolist() == [[5, 3, 6, 4]] * 3
    assert worth.std() > 0


def test_context_changes_the_worth() -> None:
    scores = OfferScores(9)
    offers, mask, features = menu()
    assert not torch.allclose(
        scores(offers, mask, offers, features)[1], scores(offers, mask, offers, -features)[1]
    )


def test_nothing_where_nothing_can_be_taken() -> None:
    scores = OfferScores(9)
    offers, mask, features = menu()
    mask[:, 1] = 0
    offers[:, 1] = torch.nan  # whatever it holds
    offers[:, 2, SELECTABLE] = 0.0
    choices, worth = scores(offers, mask, offers, features)
    assert choices[:, 1:3].eq(0).all()
    assert worth[:, 1:3].eq(0).all()
    worth.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in scores.parameters() if p.grad is not None)


def test_fits() -> None:
    assert OfferScores.fits(OBSERVATION_SPACE)
