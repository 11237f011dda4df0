"""A linear layer whose rows are rounded as far as its weights: W8A8 and W4A4 in floating point.

    y = round(x) W^T + b,  W = codes x scales

    fp8     a row becomes e4m3 codes and a scale, max |x| / 448
    nvfp4   a row becomes e2m1 codes, an e4m3 scale per 16 inputs and a scale, max |x| / (6 448)

x [..., inputs] float32, W [outputs, inputs] packed in one of these formats by `qlinear.pack`, b
[outputs] float32 or None; y [..., outputs] float32. A row is rounded as a weight matrix of one row
is (`qweight`); below 2^-100 it counts as zero, and with NaN or infinity it gives a row without
numbers. This is what tensor cores multiply at twice and four times the rate of bf16, for a rounding
of x that `qlinear` does not make; int8 has both there.

Gradients go to x and b as if nothing were rounded (d x = d y W); weights have none.

Backends: `triton` (kernels/triton/quantize.py and linear.py: on a GPU of capability 8.9 for fp8,
10.0 for nvfp4), `cuda` (kernels/cuda/linear_fp4.cu: nvfp4, up to 16 rows of a multiple of 64
inputs, where asked for by name) and `torch` (any device; a definition and not a fast path). Knows
torch; no layers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metabonk.ops import cuda, device, qlinear_cuda, qlinear_triton, qweight
from metabonk.ops.library import choose, define, differentiate, expect, together
from metabonk.ops.qlinear import TINY, Packed
from metabonk.ops.qweight import WeightFormat

LEAST = {"fp8": (8, 9), "nvfp4": (10, 0)}  # capability by format, also the formats that there are


def round_rows(x: Tensor, format: WeightFormat) -> Tensor:
    """What x [..., inputs] float32 becomes before it meets the weights, as float32."""
    rows = x.reshape(-1, x.shape[-1])
    largest = rows.abs().amax(-1, keepdim=True)
    scale = largest / (448.0 if format == "fp8" else 6.0 * 448.0)
    none = (largest < TINY) | ~largest.isfinite()
    scale = scale.masked_fill(none, 1.0)
    rows = rows.masked_fill(none, 0.0)
    found = _fp8(rows, scale) if format == "fp8" else _nvfp4(rows, scale)
    return found.masked_fill(~largest.isfinite(), torch.nan).view(x.shape)


def _fp8(rows: Tensor, scale: Tensor) -> Tensor:
    codes = (rows / scale).clamp(-448.0, 448.0).to(torch.float8_e4m3fn)
    return codes.float() * scale


def _nvfp4(rows: Tensor, scale: Tensor) -> Tensor:
    inputs = rows.shape[-1]
    count = -(-inputs // 16)
    blocks = torch.nn.functional.pad(rows, (0, -inputs % 16)).view(len(rows), count, 16)
    block = (blocks.abs().amax(-1, keepdim=True) / 6.0 / scale[..., None]).clamp(max=448.0)
    whole = block.to(torch.float8_e4m3fn).float() * scale[..., None]
    size = (blocks.abs() / whole.masked_fill(whole == 0.0, torch.inf)).clamp(max=6.0)
    # e2m1 has two numbers per power of two; below 1 steps of a half go on.
    unit = torch.where(size < 2.0, 0.5, torch.where(size < 4.0, 1.0, 2.0))
    near = (size / unit).round() * unit * blocks.sign()
    return (near * whole).flatten(-2)[..., :inputs]


def reference(x: Tensor, weight: Packed, bias: Tensor | None = None) -> Tensor:
    """The formula as torch writes it, in x's dtype, differentiable."""
    exact = x.detach().float()
    x = x + (round_rows(exact, weight.format) - exact).to(x)
    return torch.nn.functional.linear(x, weight.dequantize().to(x), bias)


def backends() -> tuple[str, ...]:
    """What can run here, the one that is taken first in front."""
    return (*cuda.backends(), *device.backends(), "torch")


def qlinear_narrow(
    x: Tensor, weight: Packed, bias: Tensor | None = None, backend: str = "auto"
) -> Tensor:
    """See the module. One node of the graph; an empty batch gives an empty result.

    Raises ValueError for shapes, dtypes or formats that do not fit, BackendError if `backend` is
    not there or cannot take these tensors.
    """
    _check(x, weight, bias)
    return _OP(x, weight.panels, bias, weight.format, weight.outputs, backend)  # type: ignore[no-any-return]


def _check(x: Tensor, weight: Packed, bias: Tensor | None) -> None:
    if weight.format not in LEAST:
        raise ValueError(f"qlinear_narrow: weight is {weight.format}; wanted {' or '.join(LEAST)}")
    if x.dim() < 1 or x.shape[-1] != weight.inputs or x.dtype != torch.float32:
        raise ValueError(
            f"qlinear_narrow: x is {x.dtype} {list(x.shape)}; wanted torch.float32 "
            f"[..., {weight.inputs}]"
        )
    if bias is not None:
        expect("qlinear_narrow", "bias", bias, (weight.outputs,), torch.float32)
    together("qlinear_narrow", {"x": x, "weight.panels": weight.panels, "bias": bias})


def _forward(
    x: Tensor,
    panels: Tensor,
    bias: Tensor | None,
    format: WeightFormat,
    outputs: int,
    backend: str,
) -> Tensor:
    weight = Packed(format, outputs, x.shape[-1], panels)
    _check(x, weight, bias)
    size = qweight.panel_bytes(format, outputs, x.shape[-1])  # the core's word: cannot be traced
    expect("qlinear_narrow", "weight.panels", panels, (size,), torch.uint8)
    reason = device.refusal({"x": x, "bias": bias}, backend, least=LEAST[format])
    reason = reason or device.refusal({"weight.panels": panels}, backend, torch.uint8)
    given = {"x": x, "bias": bias}
    on_cuda = cuda.refusal(given, backend) or qlinear_cuda.refusal_narrow(x, format, backend)
    chosen = choose("qlinear_narrow", backend, backends(), "", reason, on_cuda)
    if chosen == "cuda":
        return qlinear_cuda.forward_narrow(x, panels, bias, format, outputs)
    if chosen == "triton":
        return qlinear_triton.forward_narrow(x, panels, bias, format, outputs)
    return torch.nn.functional.linear(round_rows(x, format), weight.dequantize(), bias)


def _fake(
    x: Tensor, panels: Tensor, bias: Tensor | None, format: str, outputs: int, backend: str
) -> Tensor:
    return x.new_empty((*x.shape[:-1], outputs))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, panels, _, ctx.format, _, _ = inputs
    ctx.save_for_backward(panels)
    ctx.inputs = x.shape[-1]


def _gradients(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    (panels,) = ctx.saved_tensors
    through = torch.ops.metabonk.qlinear_backward.default
    dx = through(dy, panels, ctx.format, ctx.inputs) if ctx.needs_input_grad[0] else None
    db = dy.reshape(-1, dy.shape[-1]).sum(0) if ctx.needs_input_grad[2] else None
    return dx, None, db, None, None, None


_OP = define(
    "qlinear_narrow(Tensor x, Tensor panels, Tensor? bias, str format, int outputs, str backend)"
    " -> Tensor",
    _forward,
    _fake,
)
differentiate("qlinear_narrow", _save, _gradients)
