"""Selective copying: the task is one, and selection is what solves it."""

from __future__ import annotations

import pytest
import torch
from metabonk.bench.copying import CHANCE, MARK, PLACES, TOKENS, TOLD, accuracy, sequences


def test_the_task_cannot_be_guessed() -> None:
    """Blanks and tokens are where they should be; one answer for all is right by chance only."""
    seen, tokens = sequences(2000, torch.Generator().manual_seed(0))
    assert (seen[PLACES:] == MARK).all()
    assert ((seen < TOKENS).sum(0) == TOLD).all()
    for i in range(50):
        assert torch.equal(seen[:, i][seen[:, i] < TOKENS], tokens[:, i])
    most = torch.bincount(tokens.flatten()).max() / tokens.numel()
    assert most < CHANCE + 0.02


def test_selection_soon_copies_more() -> None:
    settings = {"updates": 300, "width": 24, "states": 8, "rate": 1.5e-2}
    assert accuracy(True, **settings) >= 0.75
    assert CHANCE < accuracy(False, **settings) <= 0.5


@pytest.mark.long
def test_selection_copies_what_constants_cannot() -> None:
    """The same layer, updates and sequences: only what delta, B and C follow from differs."""
    settings = {"updates": 600, "width": 32, "states": 16, "rate": 1e-2}
    assert accuracy(True, **settings) >= 0.95
    assert CHANCE < accuracy(False, **settings) <= 0.5
