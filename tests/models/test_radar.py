"""The radar layer: what it must and must not tell apart, and that its mixture learns."""

from __future__ import annotations

import torch

from metabonk.models.radar import REACH, RINGS, Radar
from metabonk.ops import radar


def test_is_the_operation_with_a_mixture() -> None:
    layer = Radar(4)
    rows, mask = torch.randn(3, 5, 4), torch.ones(3, 5, dtype=torch.uint8)
    sums = radar.radar(rows, mask, RINGS, REACH)
    expected = (sums @ layer.mix.weight.T + layer.mix.bias).flatten(1)
    torch.testing.assert_close(layer(rows, mask), expected)
    assert expected.shape[1] == Radar.outputs


def test_order_does_not_matter_and_place_does() -> None:
    layer = Radar(4)
    rows, mask = torch.randn(3, 5, 4) * 0.3, torch.ones(3, 5, dtype=torch.uint8)
    out = layer(rows, mask)
    torch.testing.assert_close(layer(rows[:, [3, 1, 4, 0, 2]], mask), out)
    turned = rows.clone()
    turned[..., :2] = rows[..., :2].flip(-1)
    assert not torch.allclose(layer(turned, mask), out, atol=1e-3)


def test_the_mixture_learns() -> None:
    layer = Radar(4)
    layer(torch.randn(3, 5, 4) * 0.3, torch.ones(3, 5, dtype=torch.uint8)).square().sum().backward()
    assert layer.mix.weight.grad is not None
    assert (layer.mix.weight.grad != 0).all()
