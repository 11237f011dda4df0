"""Weights in fewer bits: only numbers of the format, and what that costs a world model."""

from __future__ import annotations

import pytest
import torch
from ring_world import SMALL, walk, world_of
from torch import nn

from metabonk.learn.dreams.foresight import foresight
from metabonk.learn.dreams.world import Batch
from metabonk.learn.rounded import FORMATS, rounded, share
from metabonk.models.world import WorldModel


@pytest.fixture(scope="module")
def world() -> WorldModel:
    return world_of()


@pytest.mark.parametrize("format", FORMATS)
def test_matrices_are_rounded_and_nothing_else(format: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 8), nn.Linear(8, 3), nn.Conv1d(2, 2, 3))
    made = rounded(network, format)  # type: ignore[arg-type]
    first, second = network[0].weight.detach(), made[0].weight.detach()
    assert not torch.equal(first, second)
    assert float((first - second).abs().max()) < 0.2 * float(first.abs().max())
    assert torch.equal(rounded(made, format)[0].bias, network[0].bias)  # type: ignore[arg-type]
    for kept in (network[1].weight, made[1].weight), (network[2].weight, made[2].weight):
        assert torch.equal(*kept)
    assert share(network) == pytest.approx(512 / sum(p.numel() for p in network.parameters()))


def test_eight_bits_hardly_cost_what_a_model_foresees(world: WorldModel) -> None:
    """Coarser ones cost more: the order is that of their errors."""
    assert SMALL.hidden % 32 == 16  # of this one only what reads 96 numbers is rounded
    batch = Batch.of(walk(16, 128, seed=10_001))
    error = {
        name: float(foresight(rounded(world, name), batch, context=4).error[-1])
        for name in ("bf16", "int8", "int4")
    }
    exact = float(foresight(world, batch, context=4).error[-1])
    assert error["bf16"] == pytest.approx(exact, rel=0.3, abs=0.02)
    assert error["int8"] == pytest.approx(exact, rel=0.3, abs=0.02)
    assert share(world) > 0.0
