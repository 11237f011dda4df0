"""The CfC cell against its formula, written out with autograd, and its time step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from metabonk.models.cfc import HEADS, CfCCell


def reference(weights: dict[str, Tensor], x: Tensor, h: Tensor, dt: Tensor, keep: Tensor) -> Tensor:
    """The five lines of the paper, one step at a time."""
    out = []
    for i in range(len(x)):
        joined = torch.cat([x[i], h * keep[i]], 1)
        z = 1.7159 * torch.tanh(
            0.666 * (joined @ weights["backbone.0.weight"].T + weights["backbone.0.bias"])
        )
        f1, f2, a, b = (z @ weights[f"{n}.weight"].T + weights[f"{n}.bias"] for n in HEADS)
        t = torch.sigmoid(a * dt[i] + b)
        h = torch.tanh(f1) * (1 - t) + torch.tanh(f2) * t
        out.append(h)
    return torch.stack(out)


def inputs(dtype: torch.dtype) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(7, 5, 3, generator=generator, dtype=dtype)
    h = torch.randn(5, 6, generator=generator, dtype=dtype)
    dt = torch.rand(7, 5, 1, generator=generator, dtype=dtype) * 3
    keep = (torch.rand(7, 5, 1, generator=generator) > 0.3).to(dtype)
    return x, h, dt, keep


def cell(dtype: torch.dtype) -> CfCCell:
    torch.manual_seed(0)
    module = CfCCell(3, 6, 9).to(dtype)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return module


def test_equals_the_formula_forward_and_backward() -> None:
    module = cell(torch.float64)
    x, h, dt, keep = inputs(torch.float64)
    x.requires_grad_()
    h.requires_grad_()
    weights = {k: v.detach().clone().requires_grad_() for k, v in module.state_dict().items()}
    rx, rh = x.detach().clone().requires_grad_(), h.detach().clone().requires_grad_()
    ours, theirs = module.sequence(x, h, dt, keep), reference(weights, rx, rh, dt, keep)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)
    direction = torch.randn_like(ours)
    (ours * direction).sum().backward()
    (theirs * direction).sum().backward()
    torch.testing.assert_close(x.grad, rx.grad, atol=1e-11, rtol=1e-11)
    torch.testing.assert_close(h.grad, rh.grad, atol=1e-11, rtol=1e-11)
    for kind in ("weight", "bias"):
        expected = torch.cat([weights[f"{n}.{kind}"].grad for n in HEADS])
        torch.testing.assert_close(getattr(module.heads, kind).grad, expected)
    torch.testing.assert_close(module.backbone[0].weight.grad, weights["backbone.0.weight"].grad)
    torch.testing.assert_close(module.backbone[0].bias.grad, weights["backbone.0.bias"].grad)


def test_float32_is_within_a_few_ulps_of_the_formula() -> None:
    module = cell(torch.float32)
    x, h, dt, keep = inputs(torch.float32)
    expected = reference(module.state_dict(), x, h, dt, keep)
    torch.testing.assert_close(module.sequence(x, h, dt, keep), expected, atol=2e-6, rtol=1e-5)


def test_single_steps_equal_the_sequence_and_forgetting_erases_the_past() -> None:
    module = cell(torch.float64)
    x, h, dt, keep = inputs(torch.float64)
    whole = module.sequence(x, h, dt, keep)
    state = h
    for i in range(len(x)):
        state = module(x[i], state, dt[i], keep[i])
        torch.testing.assert_close(state, whole[i])
    zero = torch.zeros_like(keep[0])
    forgotten = module(x[0], h, dt[0], zero)
    torch.testing.assert_close(forgotten, module(x[0], torch.zeros_like(h), dt[0], zero + 1))


def test_the_time_step_moves_the_state() -> None:
    module = cell(torch.float64)
    x, h, dt, keep = inputs(torch.float64)
    assert not torch.allclose(module(x[0], h, dt[0], keep[0]), module(x[0], h, dt[0] * 2, keep[0]))


def test_state_dict_uses_the_names_of_ncps_and_round_trips() -> None:
    module = cell(torch.float32)
    names = {f"{n}.{k}" for n in ("backbone.0", *HEADS) for k in ("weight", "bias")}
    assert set(module.state_dict()) == names
    other = CfCCell(3, 6, 9)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other.heads.weight, module.heads.weight)
    with pytest.raises(RuntimeError, match="heads"):
        other.load_state_dict({"backbone.0.weight": module.backbone[0].weight}, strict=True)
