"""Things around the player as sums over sectors and rings.

    sector_s = cos(angle - 2 pi s / 16)^16 of sixteen directions, 0 beyond 60 degrees
    ring_r   = a tent over the distance, one between two rings, inside the first all of it
    out[s, r] = sum over things of sector_s * ring_r * (1, the features after the place)

rows [B, K, F] float32 of which the first two features are the place, right and forward; mask
[B, K], 0 where there is no thing; rings ascending distances; reach: how far beyond the last ring a
thing still counts. Result [B, 16 * rings, F - 1]. Not differentiable: it is a way of seeing.
Backends: `native` (csrc/nn/radar.cc) and `torch`, which is the definition. They differ by rounding
only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from metabonk import _core
from metabonk.ops.library import (
    choose,
    define,
    differentiate_never,
    expect_tensors,
    refusal,
    together,
)

SECTORS = 16
MOST_RINGS = 16  # kRadarRingsMax of csrc/nn/radar.h
SHARPNESS = 16
NARROW = 0.5  # cosine beyond which a sector sees nothing
TINY = 1e-3


def backends() -> tuple[str, ...]:
    """What can run here, the one that is taken first in front."""
    return ("native", "torch")


@torch.no_grad()
def radar(
    rows: Tensor, mask: Tensor, rings: Sequence[float], reach: float, backend: str = "auto"
) -> Tensor:
    """See the module. Raises BackendError if `native` is asked for and cannot take these tensors,
    ValueError for shapes and dtypes that do not fit."""
    _check(rows, mask, rings, reach)
    return _OP(rows, mask, list(rings), reach, backend)  # type: ignore[no-any-return]


def _check(rows: Tensor, mask: Tensor, rings: Sequence[float], reach: float) -> None:
    """The core believes what it is told about sizes."""
    expect_tensors("radar", {"rows": rows, "mask": mask})
    if rows.dim() != 3 or mask.shape != rows.shape[:2] or rows.shape[2] < 3:
        raise ValueError(
            f"radar: rows {tuple(rows.shape)} and mask {tuple(mask.shape)} are not [B, K, F] with "
            "three features or more, and [B, K]"
        )
    if not rows.is_floating_point():
        raise ValueError(f"radar: rows is {rows.dtype}; wanted a floating one")
    together("radar", {"rows": rows, "mask": mask})
    if mask.dtype not in (torch.uint8, torch.bool):
        raise ValueError(f"radar: mask is {mask.dtype}; wanted torch.uint8 or torch.bool")
    ascending = all(0.0 <= a < b for a, b in pairwise((*rings, math.inf)))
    if not 1 <= len(rings) <= MOST_RINGS or not ascending:
        raise ValueError(
            f"radar: rings is {list(rings)}; wanted 1 to {MOST_RINGS} ascending distances"
        )
    if not 0.0 < reach < math.inf:
        raise ValueError(f"radar: reach is {reach}; wanted a finite number above 0")


def _forward(
    rows: Tensor, mask: Tensor, rings: Sequence[float], reach: float, backend: str
) -> Tensor:
    _check(rows, mask, rings, reach)
    why_not = refusal({"rows": rows}) or refusal({"mask": mask}, mask.dtype)
    if choose("radar", backend, backends(), why_not) == "torch":
        return reference(rows, mask, rings, reach)
    batch, things, features = rows.shape
    out = _fake(rows, mask, rings, reach, backend)
    _core.nn.spread_radar(
        batch, things, features, rows.data_ptr(), mask.data_ptr(), rings, reach, out.data_ptr()
    )
    return out


def _fake(rows: Tensor, mask: Tensor, rings: Sequence[float], reach: float, backend: str) -> Tensor:
    batch, _, features = rows.shape
    return rows.new_empty(batch, SECTORS * len(rings), features - 1)


def reference(rows: Tensor, mask: Tensor, rings: Sequence[float], reach: float) -> Tensor:
    """The formula as torch writes it, any float dtype."""
    angles = torch.arange(SECTORS, dtype=rows.dtype, device=rows.device) * (2.0 * math.pi / SECTORS)
    directions = torch.stack([angles.cos(), angles.sin()])
    at = torch.tensor(list(rings), dtype=rows.dtype, device=rows.device)
    before = torch.cat([torch.ones_like(at[:1]), at.diff()])
    after = torch.cat([at.diff(), torch.full_like(at[:1], reach)])
    rows = torch.where(mask.bool()[..., None], rows, 0.0)
    place = rows[..., :2]
    distance = place.norm(dim=-1, keepdim=True)
    sector = (place @ directions).div_(distance + TINY)
    sector = torch.where(sector > NARROW, sector, 0.0).pow_(SHARPNESS)
    beyond = distance - at
    ring = torch.minimum(1.0 + beyond / before, 1.0 - beyond / after).clamp_(min=0.0)
    ring.mul_(mask[..., None])
    weights = (sector[..., :, None] * ring[..., None, :]).flatten(-2)
    counted = torch.cat([torch.ones_like(distance), rows[..., 2:]], -1)
    return torch.bmm(weights.transpose(1, 2), counted)


_OP = define(
    "radar(Tensor rows, Tensor mask, float[] rings, float reach, str backend) -> Tensor",
    _forward,
    _fake,
)
differentiate_never("radar")
