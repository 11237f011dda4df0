"""The radar against a slow loop; what it must and must not tell apart."""

from __future__ import annotations

import math

import torch

from metabonk.models.radar import REACH, RINGS, SECTORS, Radar


def slow(rows: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    out = torch.zeros(len(rows), SECTORS, len(RINGS), rows.shape[2] - 1)
    edges = (RINGS[0] - 1.0, *RINGS, RINGS[-1] + REACH)
    for b, k in torch.nonzero(mask).tolist():
        right, forward, *rest = rows[b, k].tolist()
        distance = math.hypot(right, forward)
        for s in range(SECTORS):
            angle = 2 * math.pi * s / SECTORS
            cosine = (right * math.cos(angle) + forward * math.sin(angle)) / (distance + 1e-3)
            for r, ring in enumerate(RINGS):
                low, high = edges[r], edges[r + 2]
                part = (distance - low) / (ring - low) if distance < ring else 0.0
                part = part if distance < ring else (high - distance) / (high - ring)
                weight = max(0.0, cosine) ** 4 * max(0.0, part)
                out[b, s, r] += weight * torch.tensor([1.0, *rest])
    return out.flatten(1, 2)


def test_equals_the_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(6, 5, 4, generator=generator) * 0.5
    mask = torch.rand(6, 5, generator=generator) > 0.3
    radar = Radar(4)
    found = radar.spread(rows, mask)
    torch.testing.assert_close(found, slow(rows, mask), atol=1e-5, rtol=1e-4)
    expected = (found @ radar.mix.weight.T + radar.mix.bias).flatten(1)
    torch.testing.assert_close(radar(rows, mask), expected)


def test_order_does_not_matter_and_place_does() -> None:
    radar = Radar(4)
    rows, mask = torch.randn(3, 5, 4), torch.ones(3, 5, dtype=torch.bool)
    out = radar(rows, mask)
    torch.testing.assert_close(radar(rows[:, [3, 1, 4, 0, 2]], mask), out)
    turned = rows.clone()
    turned[..., :2] = rows[..., :2].flip(-1)
    assert not torch.allclose(radar(turned, mask), out, atol=1e-3)


def test_the_mixture_learns_and_nothing_there_is_nothing() -> None:
    radar = Radar(4)
    rows = torch.randn(3, 5, 4)
    radar(rows, torch.ones(3, 5, dtype=torch.uint8)).square().sum().backward()
    assert radar.mix.weight.grad is not None
    assert (radar.mix.weight.grad != 0).all()
    assert (radar.spread(rows, torch.zeros(3, 5, dtype=torch.uint8)) == 0).all()
    middle = torch.zeros(1, 1, 4)  # on top of the player: no direction, but finite
    assert torch.isfinite(radar(middle, torch.ones(1, 1, dtype=torch.uint8))).all()
