"""Selective copying (Jing et al. 2019; Gu & Dao 2023, section 4.1.1): what selection is for.

A few tokens stand at random places among blanks, then come marks, and at the marks the tokens are
to be said again in their order. How long each must be carried differs from sequence to sequence:
a layer whose step sizes follow from its input can pass over blanks, one of constants cannot.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from metabonk.models.mamba import Mamba

TOKENS, TOLD, PLACES = 16, 4, 20  # of them, said in a sequence, steps before the marks
BLANK, MARK = TOKENS, TOKENS + 1
CHANCE = 1.0 / TOKENS


def sequences(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What is seen [steps, count] and the tokens in their order [TOLD, count]."""
    tokens = torch.randint(0, TOKENS, (count, TOLD), generator=generator)
    shuffled = torch.rand(count, PLACES, generator=generator).argsort(1)
    seen = torch.full((count, PLACES + TOLD), BLANK)
    seen[:, PLACES:] = MARK
    seen.scatter_(1, shuffled[:, :TOLD].sort(1).values, tokens)
    return seen.t(), tokens.t()


class Copier(nn.Module):
    """One layer of Mamba between an embedding and a readout."""

    def __init__(self, selective: bool, width: int, states: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS + 2, width)
        self.mamba = Mamba(width, states=states, selective=selective)
        self.readout = nn.Linear(width, TOKENS)

    def forward(self, seen: Tensor) -> Tensor:
        """Logits [TOLD, count, TOKENS] at the marks."""
        start = self.mamba.initial_state(seen.shape[1])
        out, _ = self.mamba.sequence(self.embedding(seen), start)
        return cast(Tensor, self.readout(out[PLACES:]))


def accuracy(
    selective: bool, updates: int, width: int, states: int, rate: float, seed: int = 0
) -> float:
    """Share of tokens said rightly in fresh sequences after so many updates."""
    torch.manual_seed(seed)
    model = Copier(selective, width, states)
    generator = torch.Generator().manual_seed(1 + 2 * seed)
    optimizer = torch.optim.AdamW(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=updates, pct_start=0.1
    )
    for _ in range(updates):
        seen, tokens = sequences(64, generator)
        loss = nn.functional.cross_entropy(model(seen).flatten(0, 1), tokens.flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        seen, tokens = sequences(1024, torch.Generator().manual_seed(2 + 2 * seed))
        return float((model(seen).argmax(-1) == tokens).float().mean())
