"""Small layers that every network is built from. Knows torch only; no spaces, no observations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn


class _FastTanh(torch.autograd.Function):
    """tanh(x) = 2 sigmoid(2 x) - 1 with tanh's own backward.

    On CPUs torch's sigmoid is vectorised and its tanh is not: about four times as fast, within
    2e-7 of the exact value.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = fast_tanh_(x * 2.0, doubled=True)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return cast(Tensor, torch.ops.aten.tanh_backward(gradients[0], y))


def fast_tanh_(x: Tensor, *, doubled: bool = False) -> Tensor:
    """Overwrites `x` with its tanh; with `doubled`, `x` already holds twice the argument."""
    if not doubled:
        x.mul_(2.0)
    x.sigmoid_()
    return torch.add(_minus_one(x), x, alpha=2.0, out=x)


def _minus_one(like: Tensor) -> Tensor:
    """-1 without dimensions, of the dtype and on the device of `like`."""
    return torch.full((), -1.0, dtype=like.dtype, device=like.device)


def fast_tanh(x: Tensor) -> Tensor:
    """tanh of `x`, any shape, float32 or float64."""
    if torch.is_grad_enabled() and x.requires_grad:
        return cast(Tensor, _FastTanh.apply(x))  # type: ignore[no-untyped-call]
    return fast_tanh_(x * 2.0, doubled=True)


def linear(inputs: int, outputs: int, gain: float = math.sqrt(2.0)) -> nn.Linear:
    """A linear layer with orthogonal weights and zero bias (Engstrom et al. 2020)."""
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def mlp(inputs: int, hidden: int, layers: int) -> nn.Sequential:
    """`layers` layers of `hidden` units, each through tanh; identity for 0 layers."""
    return nn.Sequential(*(Dense([inputs if i == 0 else hidden], hidden) for i in range(layers)))


class Dense(nn.Module):
    """tanh of one linear layer over one or several inputs that are never concatenated.

    y = tanh(sum_k x_k W_k^T + b), inputs [B, width_k] in the order given, output [B, outputs].
    """

    def __init__(self, widths: Sequence[int], outputs: int, gain: float = math.sqrt(2.0)) -> None:
        super().__init__()
        whole = linear(sum(widths), outputs, gain)
        parts = torch.split(whole.weight.detach(), list(widths), 1)
        self.weights = nn.ParameterList(nn.Parameter(part.clone()) for part in parts)
        self.bias = nn.Parameter(whole.bias.detach().clone())

    def forward(self, *inputs: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return _dense(self.bias, inputs, self.weights)
        out = _Dense.apply(self.bias, *inputs, *self.weights)  # type: ignore[no-untyped-call]
        return cast(Tensor, out)


def _dense(bias: Tensor, inputs: Sequence[Tensor], weights: Iterable[Tensor]) -> Tensor:
    y: Tensor | None = None
    for x, weight in zip(inputs, weights, strict=True):
        if y is None:
            y = torch.addmm(bias, x, weight.t(), beta=2.0, alpha=2.0)
        else:
            y.addmm_(x, weight.t(), alpha=2.0)
    if y is None:
        raise ValueError("inputs: a dense layer needs at least one")
    return fast_tanh_(y, doubled=True)


class _Dense(torch.autograd.Function):
    """One node instead of a chain: nothing that the backward pass does not need is kept.

    bias [out], then inputs [B, in_k], then weights [out, in_k].
    """

    @staticmethod
    def forward(ctx: Any, bias: Tensor, *others: Tensor) -> Tensor:
        count = len(others) // 2
        y = _dense(bias, others[:count], others[count:])
        ctx.save_for_backward(y, *others)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        y, *others = ctx.saved_tensors
        count = len(others) // 2
        g = torch.ops.aten.tanh_backward(gradients[0], y)
        d_inputs: list[Tensor | None] = []
        d_weights: list[Tensor] = []
        for i, (x, weight) in enumerate(zip(others[:count], others[count:], strict=True)):
            d_inputs.append(g @ weight if ctx.needs_input_grad[1 + i] else None)
            # A product with few rows is several times as slow as its transpose.
            narrow = x.shape[1] < g.shape[1]
            d_weights.append((x.t() @ g).t() if narrow else g.t() @ x)
        return g.sum(0), *d_inputs, *d_weights
