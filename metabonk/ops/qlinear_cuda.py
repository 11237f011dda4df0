"""The `cuda` backend of `qlinear`, for few rows: what it costs is reading the weights.

Takes the codes as `qlinear_triton` arranges them. Knows the module's launch; checks nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metabonk.ops import cuda
from metabonk.ops.qlinear_triton import arranged
from metabonk.ops.qweight import FORMATS, WeightFormat


def refusal(x: Tensor, format: WeightFormat, asked: str) -> str:
    """Why the kernel cannot take this many rows or this format, or ""."""
    if asked != "cuda" or cuda.problem():
        return ""
    most, rows = int(cuda.module().LINEAR_ROWS), x.numel() // x.shape[-1]
    if not 1 <= rows <= most:
        return f"x of {rows} rows, wanted 1 to {most}"
    return f"weights in {format}" if format == "int4" else ""


def forward(
    x: Tensor, panels: Tensor, bias: Tensor | None, format: WeightFormat, outputs: int
) -> Tensor:
    """y [..., outputs] of x [..., inputs]; all on one device."""
    inputs = x.shape[-1]
    weight = arranged(panels, format, outputs, inputs)
    y = x.new_empty((*x.shape[:-1], outputs))
    stride = weight.codes.shape[1] * (2 if format == "nvfp4" else 1)
    scales = None if format == "bf16" else weight.scales
    tensor_scale = weight.tensor_scale if format == "nvfp4" else None
    with torch.cuda.device(x.device):
        cuda.module().linear(
            FORMATS.index(format),
            (y.numel() // outputs, inputs, outputs, stride),
            cuda.address(x),
            tuple(map(cuda.address, (weight.codes, scales, tensor_scale))),
            cuda.address(bias),
            cuda.address(y),
            cuda.stream(x),
        )
    return y
