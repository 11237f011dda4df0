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
from typing import Literal

import torch
from torch import Tensor

from metabonk import _core
from metabonk.errors import BackendError

Backend = Literal["auto", "native", "torch"]
SECTORS = 16
SHARPNESS = 16
NARROW = 0.5  # cosine beyond which a sector sees nothing
TINY = 1e-3


def backends() -> tuple[str, ...]:
    """What can run here, the one that is taken first in front."""
    return ("native", "torch")


@torch.no_grad()
def radar(
    rows: Tensor, mask: Tensor, rings: tuple[float, ...], reach: float, backend: Backend = "auto"
) -> Tensor:
    """See the module. Raises BackendError if `native` is asked for and cannot take these tensors,
    ValueError for shapes that do not fit."""
    if rows.dim() != 3 or mask.shape != rows.shape[:2] or rows.shape[2] < 3:
        raise ValueError(
            f"radar: rows {tuple(rows.shape)} and mask {tuple(mask.shape)} are not [B, K, F] with "
            "three features or more, and [B, K]"
        )
    native = (
        rows.dtype == torch.float32
        and mask.dtype in (torch.uint8, torch.bool)
        and all(t.is_cpu and t.is_contiguous() for t in (rows, mask))
    )
    if backend == "native" and not native:
        raise BackendError(
            "radar: native takes contiguous float32 rows and a uint8 mask in main memory; for "
            "anything else there is torch"
        )
    if backend == "torch" or not native:
        return _torch(rows, mask, rings, reach)
    batch, things, features = rows.shape
    out = torch.empty(batch, SECTORS * len(rings), features - 1)
    _core.nn.spread_radar(
        batch, things, features, rows.data_ptr(), mask.data_ptr(), rings, reach, out.data_ptr()
    )
    return out


def _torch(rows: Tensor, mask: Tensor, rings: tuple[float, ...], reach: float) -> Tensor:
    angles = torch.arange(SECTORS, dtype=rows.dtype) * (2.0 * math.pi / SECTORS)
    directions = torch.stack([angles.cos(), angles.sin()])
    at = torch.tensor(rings, dtype=rows.dtype)
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
