"""The radar operation: both backends against a slow loop, and refusals."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from metabonk.errors import BackendError
from metabonk.ops import radar as op

Within = Callable[[str, str, float], None]
RINGS, REACH = (0.05, 0.15, 0.35, 0.8), 0.8


def slow(rows: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    out = torch.zeros(len(rows), op.SECTORS, len(RINGS), rows.shape[2] - 1, dtype=torch.float64)
    edges = (RINGS[0] - 1.0, *RINGS, RINGS[-1] + REACH)
    for b, k in torch.nonzero(mask).tolist():
        right, forward, *rest = rows[b, k].tolist()
        distance = math.hypot(right, forward)
        for s in range(op.SECTORS):
            angle = 2 * math.pi * s / op.SECTORS
            cosine = (right * math.cos(angle) + forward * math.sin(angle)) / (distance + 1e-3)
            for r, ring in enumerate(RINGS):
                low, high = edges[r], edges[r + 2]
                inside = distance < ring
                part = (
                    (distance - low) / (ring - low) if inside else (high - distance) / (high - ring)
                )
                sector = cosine**op.SHARPNESS if cosine > op.NARROW else 0.0
                weight = sector * max(0.0, part)
                out[b, s, r] += weight * torch.tensor([1.0, *rest], dtype=torch.float64)
    return out.flatten(1, 2)


@pytest.mark.parametrize(("batch", "things", "features"), [(1, 1, 3), (6, 5, 4), (9, 32, 12)])
def test_equals_the_loop(
    way: tuple[str, str], within: Within, batch: int, things: int, features: int
) -> None:
    generator = torch.Generator().manual_seed(batch)
    rows = torch.randn(batch, things, features, generator=generator) * 0.5
    mask = (torch.rand(batch, things, generator=generator) > 0.3).to(torch.uint8)
    found = op.radar(rows, mask, RINGS, REACH, way[0])
    within("radar", way[1], (found - slow(rows, mask)).abs().max().item())


@pytest.mark.parametrize("backend", op.backends())
def test_what_is_not_there_and_what_is_underfoot(backend: str) -> None:
    nowhere = torch.full((2, 3, 4), torch.nan)
    none = torch.zeros(2, 3, dtype=torch.uint8)
    assert (op.radar(nowhere, none, RINGS, REACH, backend) == 0).all()
    underfoot = torch.zeros(1, 1, 4)
    assert (
        op.radar(underfoot, torch.ones(1, 1, dtype=torch.uint8), RINGS, REACH, backend) == 0
    ).all()


def test_refusals() -> None:
    rows, mask = torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"\[B, K, F\]"):
        op.radar(rows, mask[:, :2], RINGS, REACH)
    with pytest.raises(ValueError, match="three features"):
        op.radar(rows[..., :2], mask, RINGS, REACH)
    with pytest.raises(BackendError, match="native"):
        op.radar(rows.double(), mask, RINGS, REACH, "native")
    assert op.radar(rows.double(), mask, RINGS, REACH).dtype == torch.float64


def test_the_formula_stays_on_its_device() -> None:
    """A device that is not the processor, whose numbers nobody needs."""
    rows, mask = torch.zeros(2, 3, 4, device="meta"), torch.ones(2, 3, device="meta")
    found = op.reference(rows, mask.bool(), RINGS, REACH)
    assert found.device.type == "meta"
    assert found.shape == (2, op.SECTORS * len(RINGS), 3)
