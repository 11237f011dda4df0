"""One class per row from logits and given uniform numbers, by the inverse of the distribution.

    p = (1 - mix) softmax(logits) + mix / classes
    index = the first class at which the running sum of p exceeds u (the sum of all p)

The mixture keeps every class possible (Hafner et al. 2023, "unimix"). u comes from outside, in
[0, 1), so that samples are reproducible. Knows nothing of what the classes are.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..tiles import Tile
from .kernel import Kernel, blocks, power_above, tile_for


@triton.jit
def _categorical(
    logits, uniform, index, probability, rows, classes, mix, PADDED: tl.constexpr,
    ROWS: tl.constexpr, SAVING: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    class_ = tl.arange(0, PADDED)
    real = class_ < classes
    inside = (row < rows)[:, None] & real[None, :]
    place = row[:, None].to(tl.int64) * classes + class_[None, :]
    value = tl.load(logits + place, inside, float("-inf"))
    size = tl.exp(value - tl.max(value, 1)[:, None])
    share = size / tl.sum(size, 1)[:, None]
    share = tl.where(real[None, :], (1.0 - mix) * share + mix / classes, 0.0)
    if SAVING:
        tl.store(probability + place, share, inside)
    running = tl.cumsum(share, 1)
    limit = tl.load(uniform + row, row < rows, 0.0) * tl.max(running, 1)
    passed = tl.where((running <= limit[:, None]) & real[None, :], 1, 0)
    found = tl.minimum(tl.sum(passed, 1), classes - 1)  # u may round to 1
    tl.store(index + row, found.to(tl.int64), row < rows)


CATEGORICAL = Kernel(
    "categorical",
    _categorical,
    {
        "logits": "*fp32",
        "uniform": "*fp32",
        "index": "*i64",
        "probability": "*fp32",
        "rows": "i32",
        "classes": "i32:16",
        "mix": "fp32",
    },
)
KERNELS = {CATEGORICAL.name: CATEGORICAL}


def categorical(
    logits: Tensor, uniform: Tensor, mix: float, saving: bool = False, tile: Tile | None = None
) -> tuple[Tensor, Tensor]:
    """logits [rows, classes], uniform [rows], both float32 -> index [rows] int64, and the mixed
    probabilities [rows, classes] where `saving`, else without elements."""
    rows, classes = logits.shape
    index = torch.empty(rows, dtype=torch.int64, device=logits.device)
    probability = torch.empty_like(logits) if saving else logits.new_empty(0)
    tile = tile or tile_for(CATEGORICAL, logits.device, classes=classes)
    if rows:
        CATEGORICAL(
            (blocks(rows, tile.constants["ROWS"]),),
            tile,
            logits,
            uniform,
            index,
            probability,
            rows,
            classes,
            float(mix),
            PADDED=power_above(classes, 1),
            SAVING=saving,
        )
    return index, probability
