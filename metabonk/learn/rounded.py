"""Networks whose weights are rounded to the formats that compiled networks keep them in.

Knows weight formats and modules; does not know what a network is for. Matrices are rounded as
`metabonk.ops.qlinear` reads them and calculated with in float32, which is what its kernels do up to
the order of sums; convolutions, biases and what is not a matrix stay as they are.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from metabonk.ops.qweight import FORMATS, WeightFormat, quantize

M = TypeVar("M", bound=nn.Module)
BLOCK = 32  # inputs that every format can share a scale over

__all__ = ["FORMATS", "rounded", "share"]


def rounded(network: M, format: WeightFormat) -> M:
    """A copy whose matrices [outputs, inputs] hold only numbers of the format; those whose inputs
    are no multiple of BLOCK stay as they are."""
    made = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in made.parameters():
            if _fits(parameter):
                weight = np.ascontiguousarray(parameter.detach().numpy(), np.float32)
                parameter.copy_(torch.from_numpy(quantize(weight, format).dequantize()))
    return made


def share(network: nn.Module) -> float:
    """The share of a network's weights that `rounded` rounds."""
    sizes = [(p.numel(), _fits(p)) for p in network.parameters()]
    return sum(n for n, fits in sizes if fits) / max(1, sum(n for n, _ in sizes))


def _fits(parameter: nn.Parameter) -> bool:
    return parameter.ndim == 2 and parameter.shape[1] % BLOCK == 0
