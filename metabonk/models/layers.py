"""Small layers that every network is built from. Knows torch and its operations only; no spaces, no
observations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from metabonk.ops.dense import dense
from metabonk.ops.tanh import fast_tanh, fast_tanh_

__all__ = ["Dense", "fast_tanh", "fast_tanh_", "linear", "mlp"]


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
        return dense(self.bias, inputs, list(self.weights))
