"""Categorical samples: the 32 x 32 latent states of a world model, and actions."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from ..architectures import FP32
from ..cases import Case, Inputs, generator
from ..cost import Cost
from ..triton.sample import categorical

SIZES = ((1024 * 32, 32), (16 * 32, 32), (1024, 512))
SMALL = ((9, 5), (40, 32))
MIX = 0.01


def cases() -> list[Case]:
    return [_case(*size, small=size in SMALL) for size in SIZES + SMALL]


def _case(rows: int, classes: int, small: bool) -> Case:
    return Case(
        "rssm_step",
        f"categorical {rows}x{classes}",
        functools.partial(_make, rows, classes),
        lambda given: categorical(given["logits"], given["uniform"], MIX, saving=True),
        reference,
        Cost(4 * rows * (classes + 1), rows * (8 + 4 * classes), {FP32: 8 * rows * classes}),
        1e-6,
        small,
        judge=judge,
    )


def _make(rows: int, classes: int, device: torch.device | str, seed: int) -> Inputs:
    numbers = generator(seed)
    logits = 3 * torch.randn(rows, classes, generator=numbers)
    return {"logits": logits.to(device), "uniform": torch.rand(rows, generator=numbers).to(device)}


def reference(inputs: Inputs) -> tuple[Tensor, ...]:
    """The mixed probabilities in float64 and the class at which their sum passes u."""
    logits = inputs["logits"].cpu().double()
    share = (1 - MIX) * logits.softmax(-1) + MIX / logits.shape[-1]
    limit = inputs["uniform"].cpu().double()[:, None] * share.sum(-1, keepdim=True)
    index = (share.cumsum(-1) <= limit).sum(-1).clamp(max=logits.shape[-1] - 1)
    return index, share


def judge(inputs: Inputs, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """Probabilities by their error; u may be outside the chosen class by rounding only."""
    index, share = (t.cpu() for t in found)
    if bool(((index < 0) | (index >= share.shape[-1])).any()):
        return float("inf")
    error = float((share.double() - wanted[1]).abs().max()) / 1e-6
    running = wanted[1].cumsum(-1)
    limit = inputs["uniform"].cpu().double() * running[:, -1]
    high = running.gather(-1, index[:, None])[:, 0]
    low = high - wanted[1].gather(-1, index[:, None])[:, 0]
    outside = torch.maximum(limit - high, low - limit).max()
    return max(error, float(outside) / 1e-6)
