"""Mamba against transformers' `MambaMixer`, its path in plain torch, weights carried over."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from metabonk.models.mamba import Mixer

pytest.importorskip("transformers", reason="the extra `dev` has it")
from transformers import MambaConfig
from transformers.cache_utils import DynamicCache
from transformers.models.mamba.modeling_mamba import MambaMixer

WIDTH, STATES, TAPS, STEPS, BATCH = 24, 16, 4, 50, 3


def pair(states: int = STATES, taps: int = TAPS, expand: int = 2) -> tuple[Mixer, MambaMixer]:
    """Ours and theirs with the same weights, all of which matter."""
    torch.manual_seed(0)
    config = MambaConfig(
        hidden_size=WIDTH,
        state_size=states,
        conv_kernel=taps,
        expand=expand,
        intermediate_size=expand * WIDTH,
        num_hidden_layers=1,
        use_bias=False,
        use_mambapy=False,
    )
    theirs = MambaMixer(config, layer_idx=0).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    ours = Mixer(WIDTH, states=states, taps=taps, expand=expand)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def plain(theirs: MambaMixer, x: Tensor, cache: DynamicCache | None = None) -> Tensor:
    """Their path in plain torch, which is what runs where no kernels are: x [T, B, width]."""
    return theirs(x.transpose(0, 1), cache).transpose(0, 1)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("states", "taps", "expand"), [(16, 4, 2), (3, 2, 1), (8, 4, 3)])
def test_the_scan_equals_theirs_forward_and_backward(states: int, taps: int, expand: int) -> None:
    ours, theirs = pair(states, taps, expand)
    x = torch.randn(STEPS, BATCH, WIDTH)
    mine, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, _ = ours.sequence(mine, ours.initial_state(BATCH))
    expected = plain(theirs, other)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(y, expected, atol=1e-4, rtol=1e-4)
    way = torch.randn(y.shape)
    (y * way).sum().backward()
    (expected * way).sum().backward()
    torch.testing.assert_close(mine.grad, other.grad, atol=1e-4, rtol=1e-4)
    gradients = {name: p.grad for name, p in ours.named_parameters()}
    for name, parameter in theirs.named_parameters():
        largest = parameter.grad.abs().max()
        error = (gradients[name] - parameter.grad).abs().max() / largest
        assert error < 1e-4, f"{name}: {error:.2e}"


def test_steps_equal_theirs_with_their_caches() -> None:
    ours, theirs = pair()
    x = torch.randn(12, BATCH, WIDTH)
    cache = DynamicCache(config=theirs.config)
    state = ours.initial_state(BATCH)
    with torch.no_grad():
        for t, row in enumerate(x):
            y, state = ours(row, state)
            expected = plain(theirs, x[t : t + 1], cache)[0]
            torch.testing.assert_close(y, expected, atol=1e-4, rtol=1e-4)


def test_another_weight_is_seen_by_the_comparison() -> None:
    """The control: constants in place of what follows from the input are far from theirs."""
    ours, theirs = pair()
    x = torch.randn(STEPS, BATCH, WIDTH)
    with torch.no_grad():
        ours.x_proj.weight.zero_()
        y, _ = ours.sequence(x, ours.initial_state(BATCH))
        assert (y - plain(theirs, x)).abs().max() > 1e-2
