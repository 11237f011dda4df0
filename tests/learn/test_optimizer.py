"""The flat optimiser: a module's tensors are views of it, and a saved state goes on alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from metabonk.errors import CheckpointError
from metabonk.learn.optimizer import FlatAdam


def network(inputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, 5), nn.Tanh(), nn.Linear(5, 2))


def step(module: nn.Module, optimizer: FlatAdam, seed: int) -> Tensor:
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(seed))
    optimizer.zero()
    module(x).square().sum().backward()
    optimizer.clip(0.5)
    optimizer.step(1e-2)
    return optimizer.flat.detach().clone()


def test_a_step_is_torchs_with_its_clipping() -> None:
    ours, theirs = network(), network()
    optimizer, peer = FlatAdam(ours), torch.optim.Adam(theirs.parameters(), lr=1e-2, eps=1e-5)
    for seed in range(20):
        x = torch.randn(7, 3, generator=torch.Generator().manual_seed(seed))
        peer.zero_grad()
        theirs(x).square().sum().backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        peer.step()
        step(ours, optimizer, seed)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def test_a_state_that_was_saved_goes_on_alike() -> None:
    module = network()
    optimizer = FlatAdam(module)
    assert optimizer.state() == {}
    for seed in range(3):
        step(module, optimizer, seed)
    saved = {key: np.array(value) for key, value in optimizer.state().items()}
    weights = optimizer.flat.detach().clone()
    wanted = step(module, optimizer, 3)
    twin = network()
    again = FlatAdam(twin)
    with torch.no_grad():
        again.flat.copy_(weights)
    again.load(saved)
    assert torch.equal(step(twin, again, 3), wanted)
    with torch.no_grad():
        again.flat.copy_(weights)
    again.load({})  # as if it had never stepped
    assert again.state() == {}
    assert not torch.equal(step(twin, again, 3), wanted)


def test_the_state_of_another_network_is_refused_and_changes_nothing() -> None:
    module, other = network(), network(4)
    optimizer, foreign = FlatAdam(module), FlatAdam(other)
    step(module, optimizer, 0)
    foreign.gradient.fill_(1.0)
    foreign.step(1e-2)
    before = {key: np.array(value) for key, value in optimizer.state().items()}
    with pytest.raises(CheckpointError, match="exp_avg: 37 numbers, the network has 32"):
        optimizer.load(foreign.state())
    for key, value in optimizer.state().items():
        assert np.array_equal(value, before[key])
