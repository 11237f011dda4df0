"""The `triton` backend of `qlinear` and `qlinear_narrow`: codes by rows on the device, made once
per packed weight.

Knows the launches of `metabonk.kernels.triton` and the order of codes in `qweight`; checks nothing.
Kernels of a device read codes row by row, padded to whole tiles; the panels are the processor's
order. So a weight's panels are unpacked when they are first seen on a device, and again when they
were changed in place; the result lives as long as the panels do.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from metabonk.ops import device
from metabonk.ops.qweight import QuantizedWeight, WeightFormat, unpack

_BLOCK = {"int4": 32, "mxfp8": 32, "nvfp4": 16}  # inputs that share a scale
_PER_BYTE = {"int4": 2, "nvfp4": 2}


class Arranged(NamedTuple):
    """codes [outputs, stride / codes per byte], scales [outputs] or [outputs, stride / block],
    tensor_scale [1]; version: of the panels that they were made from."""

    version: int
    codes: Tensor
    scales: Tensor
    tensor_scale: Tensor


_arranged: Any = WeakTensorKeyDictionary()


def forward(
    x: Tensor, panels: Tensor, bias: Tensor | None, format: WeightFormat, outputs: int
) -> Tensor:
    """y [..., outputs] of x [..., inputs]; all on one device."""
    inputs = x.shape[-1]
    weight = arranged(panels, format, outputs, inputs)
    rows = device.family("quantize").quantize_rows(
        x.reshape(-1, inputs), "int8" if format == "int8" else "bf16"
    )
    linear = device.family("linear")
    if format == "int8":
        y = linear.coded(rows, weight.codes, weight.scales, bias)
    else:
        y = linear.decoded(
            rows.codes, format, weight.codes, weight.scales, weight.tensor_scale, bias
        )
    return y.view(*x.shape[:-1], outputs)  # type: ignore[no-any-return]


def forward_narrow(
    x: Tensor, panels: Tensor, bias: Tensor | None, format: WeightFormat, outputs: int
) -> Tensor:
    """As `forward`, with rows rounded to the codes of the weights: fp8 and nvfp4."""
    inputs = x.shape[-1]
    weight = arranged(panels, format, outputs, inputs)
    rows = device.family("quantize").quantize_rows(
        x.reshape(-1, inputs), "e4m3" if format == "fp8" else "nvfp4"
    )
    linear = device.family("linear")
    if format == "fp8":
        y = linear.coded(rows, weight.codes, weight.scales, bias)
    else:
        y = linear.nvfp4(rows, weight.codes, weight.scales, weight.tensor_scale, bias)
    return y.view(*x.shape[:-1], outputs)  # type: ignore[no-any-return]


def arranged(panels: Tensor, format: WeightFormat, outputs: int, inputs: int) -> Arranged:
    """Of these panels, unpacked now or before."""
    known: Arranged | None = _arranged.get(panels)
    if known is not None and known.version == panels._version:
        return known
    stored = unpack(panels.detach().cpu().numpy(), format, outputs, inputs)
    stride = device.family("quantize").stride_of(inputs)
    found = Arranged(panels._version, *(t.to(panels.device) for t in _rows(stored, format, stride)))
    _arranged[panels] = found
    return found


def _rows(stored: QuantizedWeight, format: WeightFormat, stride: int) -> tuple[Tensor, ...]:
    codes = _padded(stored.codes, stride // _PER_BYTE.get(format, 1))
    scales = stored.scales
    if format in _BLOCK:
        scales = _padded(scales, stride // _BLOCK[format])
    tensors = [torch.from_numpy(array) for array in (codes, scales, stored.tensor_scale)]
    # numpy has no bf16: its bits are kept in uint16.
    return tuple(t.view(torch.bfloat16) if t.dtype == torch.uint16 else t for t in tensors)


def _padded(array: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    wide = np.zeros((len(array), width), array.dtype)
    wide[:, : array.shape[1]] = array
    return wide
