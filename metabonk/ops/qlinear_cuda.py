"""The `cuda` backend of `qlinear`, for few rows: what it costs is reading the weights.

And of `qlinear_narrow` in nvfp4, whose products devices of capability 10 and 12 do as they are.
Takes the codes as `qlinear_triton` arranges them. Knows the module's launches; checks nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metabonk.ops import cuda
from metabonk.ops.qlinear_triton import arranged
from metabonk.ops.qweight import FORMATS, WeightFormat

NARROW_ROWS, NARROW_INPUTS, NARROW_MAJORS = 16, 64, (10, 12)


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
    with cuda.launching(x) as stream:
        cuda.module().linear(
            FORMATS.index(format),
            (y.numel() // outputs, inputs, outputs, stride),
            cuda.address(x),
            tuple(map(cuda.address, (weight.codes, scales, tensor_scale))),
            cuda.address(bias),
            cuda.address(y),
            stream,
        )
    return y


def refusal_narrow(x: Tensor, format: WeightFormat, asked: str) -> str:
    """Why the kernel for nvfp4 by nvfp4 cannot take these, or ""."""
    if asked != "cuda":
        return ""
    rows, inputs = x.numel() // x.shape[-1], x.shape[-1]
    if format != "nvfp4":
        return f"weights in {format}, wanted nvfp4"
    if not 1 <= rows <= NARROW_ROWS or inputs % NARROW_INPUTS:
        return (
            f"x of {rows} rows and {inputs} inputs, wanted up to {NARROW_ROWS} rows and a multiple "
            f"of {NARROW_INPUTS} inputs"
        )
    if x.is_cuda and torch.cuda.get_device_capability(x.device)[0] not in NARROW_MAJORS:
        return f"a device without products of nvfp4; capability is to be {NARROW_MAJORS}"
    return ""


def forward_narrow(
    x: Tensor, panels: Tensor, bias: Tensor | None, format: WeightFormat, outputs: int
) -> Tensor:
    """y [..., outputs] of x [..., inputs], rows of x in nvfp4 as well."""
    inputs = x.shape[-1]
    weight = arranged(panels, format, outputs, inputs)
    y = x.new_empty((*x.shape[:-1], outputs))
    codes, scales = weight.codes[:, : inputs // 2], weight.scales[:, : inputs // 16]
    arrays = codes.contiguous(), scales.contiguous(), weight.tensor_scale
    module = cuda.module()
    scratch = x.new_empty(module.linear_fp4_scratch(inputs), dtype=torch.uint8)
    with cuda.launching(x) as stream:
        module.linear_fp4(
            (y.numel() // outputs, inputs, outputs),
            cuda.address(x),
            tuple(map(cuda.address, arrays)),
            *map(cuda.address, (bias, y, scratch)),
            stream,
        )
    return y
