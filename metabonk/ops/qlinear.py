"""A linear layer over weights in few bits.

    y = round(x) W^T + b,  W = codes x scales

x [..., inputs] float32, W [outputs, inputs] packed in one of the formats of `metabonk.ops.qweight`,
b [outputs] float32 or None; y [..., outputs] float32. round: with int8 weights every row of x
becomes codes -127..127 with a scale of its own, max |x| / 127 (dynamic quantisation); with all
others x is rounded to bf16. A row that holds NaN or infinity gives a row without numbers.

Gradients go to x and b as if nothing were rounded (d x = d y W); weights have none.

Backends: `native` (csrc/nn/qlinear.h: one function table per instruction set, up to VNNI for int8
and AVX512_BF16 for the others; int8 gives the same bits on all of them; threads of torch's number
for large products), `cuda` (kernels/cuda/linear.cu: up to 64 rows on a GPU, where asked for by
name; not int4), `triton` (qlinear_triton.py: on a GPU, for many rows; int8 gives the same bits)
and `torch` (any device; dequantises anew in every call, so it is a definition and not a fast path;
int8 gives the bits of `native`). Knows torch and the core; no layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metabonk import _core
from metabonk.errors import BackendError
from metabonk.ops import cuda, device, qlinear_cuda, qlinear_triton, qweight
from metabonk.ops.engines import PerThread, threads_of
from metabonk.ops.library import (
    bind,
    choose,
    define,
    differentiate,
    differentiate_never,
    expect,
    expect_tensors,
    overlap,
    refusal,
    together,
)
from metabonk.ops.qweight import FORMATS, QuantizedWeight, WeightFormat
from metabonk.ops.ranges import stepping

TINY = 2.0**-100  # rows whose largest is smaller count as zero in int8
CODE = 127.0

_engines = PerThread(_core.nn.QLinearEngine)


class Packed(NamedTuple):
    """Weights as kernels read them. panels: uint8 [bytes], what `QuantizedWeight.pack` makes."""

    format: WeightFormat
    outputs: int
    inputs: int
    panels: Tensor

    def unpack(self) -> QuantizedWeight:
        """Codes and scales, bit for bit those that were packed."""
        panels = self.panels.detach().cpu().numpy()
        return qweight.unpack(panels, self.format, self.outputs, self.inputs)

    def dequantize(self) -> Tensor:
        """float32 [outputs, inputs] on the device of the panels."""
        return torch.from_numpy(self.unpack().dequantize()).to(self.panels.device)


def pack(weight: Tensor | QuantizedWeight, format: WeightFormat | None = None) -> Packed:
    """Quantises float32 [outputs, inputs] to `format`, or takes what is quantised, and packs it.

    Raises ValueError as `qweight.quantize` does.
    """
    if isinstance(weight, Tensor):
        if format is None:
            raise ValueError(f"pack: format is None; wanted one of {', '.join(FORMATS)}")
        if not weight.is_cpu:
            raise ValueError(f"pack: weight is on {weight.device}; wanted main memory")
        weight = qweight.quantize(weight.detach().numpy(), format)
    panels = torch.from_numpy(weight.pack())
    return Packed(weight.format, weight.outputs, weight.inputs, panels)


def round_rows(x: Tensor, format: WeightFormat) -> tuple[Tensor, Tensor]:
    """What x [..., inputs] becomes before it meets the weights: codes and scales [..., 1]."""
    if format != "int8":
        return x.to(torch.bfloat16).to(x.dtype), torch.ones_like(x[..., :1])
    largest = x.abs().amax(-1, keepdim=True)
    small = largest < TINY
    codes = (x * (CODE / largest.masked_fill(small, 1.0))).round()
    scale = (largest / CODE).masked_fill(~largest.isfinite(), torch.nan)
    return codes.masked_fill(small, 0.0), scale.masked_fill(small, 0.0)


def reference(
    x: Tensor, weight: Packed, bias: Tensor | None = None, *, rounded: bool = True
) -> Tensor:
    """The formula as torch writes it, in x's dtype, differentiable; `rounded` False leaves x be."""
    if rounded:
        codes, scale = round_rows(x.detach(), weight.format)
        x = x + (codes * scale - x).detach()
    return torch.nn.functional.linear(x, weight.dequantize().to(x), bias)


def backends() -> tuple[str, ...]:
    """What can run here, the one that is taken first in front."""
    return ("native", *cuda.backends(), *device.backends(), "torch")


def tier(format: WeightFormat, rows: int = 1) -> str:
    """Name of the native loops in use for so many rows: portable, avx2, avx512, vnni (int8), bf16
    (others) or amx (int8; bf16, fp8 and nvfp4 from 16 rows on, but not in a compiled policy)."""
    return str(_core.nn.qlinear_kernels(FORMATS.index(format), rows))


def qlinear(x: Tensor, weight: Packed, bias: Tensor | None = None, backend: str = "auto") -> Tensor:
    """See the module. One node of the graph; an empty batch gives an empty result.

    Raises ValueError for shapes or dtypes that do not fit, BackendError if `backend` is not there
    or cannot take these tensors.
    """
    _check(x, weight, bias)
    return _OP(x, weight.panels, bias, weight.format, weight.outputs, backend)  # type: ignore[no-any-return]


class Plan:
    """A product bound to memory.

    step(): out = the layer of what x holds now. One native call, which allocates nothing; taken
    from the plan, it still holds the tensors. tier: name of the loops, threads: how many a step
    takes; both chosen when the plan was made.
    """

    def __init__(self, native: Any, x: Tensor, weight: Packed, bias: Tensor | None, out: Tensor):
        self._native = native
        self._held = x, weight, bias
        self.out = out
        self.tier: str = native.tier
        self.threads: int = native.threads
        # The core's own: no Python frame around it but where a profiler looks.
        name = f"qlinear {weight.format}"
        self.step: Callable[[], None] = stepping(name, lambda: native.tier, (x, out), native.step)

    def load(self, weight: Packed, bias: Tensor | None = None) -> None:
        """Other weights of the same format and shape. Not while another thread is in `step`."""
        x, held, _ = self._held
        if weight[:3] != held[:3]:
            raise ValueError(f"qlinear: weight is {weight[:3]}; wanted {held[:3]}")
        _check(x, weight, bias)
        _bind_weight(weight, bias)
        _check_apart(x, weight, bias, self.out)
        self._held = x, weight, bias
        pointers = weight.panels.data_ptr(), 0 if bias is None else bias.data_ptr()
        self._native.load(*pointers, (*self._held, self.out))


def plan(
    x: Tensor,
    weight: Packed,
    bias: Tensor | None = None,
    out: Tensor | None = None,
    backend: str = "native",
    *,
    threads: int | None = None,
) -> Plan:
    """Binds a product to contiguous tensors in main memory, none of which may want a gradient.

    out [..., outputs] float32: a new tensor if None. threads: at most so many for large products,
    torch's number if None. Raises ValueError that names the argument that
    cannot be bound, BackendError for a backend without plans; `out` is not touched before the first
    step.
    """
    if backend != "native":
        raise BackendError(f"qlinear: no plan of backend {backend!r}; here are: native")
    threads = threads_of("qlinear", threads)
    _check(x, weight, bias)
    shape = (*x.shape[:-1], weight.outputs)
    if out is None:
        out = x.new_empty(shape)
    expect("qlinear", "out", out, shape, torch.float32)
    bind("qlinear", {"x": x, "out": out})
    _bind_weight(weight, bias)
    _check_apart(x, weight, bias, out)
    native = _core.nn.QLinearPlan(
        FORMATS.index(weight.format),
        weight.outputs,
        weight.inputs,
        weight.panels.data_ptr(),
        0 if bias is None else bias.data_ptr(),
        out.numel() // weight.outputs,
        x.data_ptr(),
        out.data_ptr(),
        (x, weight, bias, out),
        threads,
    )
    return Plan(native, x, weight, bias, out)


def _check_apart(x: Tensor, weight: Packed, bias: Tensor | None, out: Tensor) -> None:
    for name, other in (("x", x), ("weight.panels", weight.panels), ("bias", bias)):
        if other is not None and overlap(other, out):
            raise ValueError(f"qlinear: out shares memory with {name}; wanted memory of its own")


def _bind_weight(weight: Packed, bias: Tensor | None) -> None:
    _check_panels(weight.panels, weight.format, weight.outputs, weight.inputs)
    bind("qlinear", {"weight.panels": weight.panels}, torch.uint8)
    bind("qlinear", {"bias": bias})


def _check(x: Tensor, weight: Packed, bias: Tensor | None) -> None:
    if not isinstance(weight, Packed):
        raise TypeError(f"qlinear: weight is {type(weight).__name__}; wanted what pack() gives")
    expect_tensors("qlinear", {"x": x, "weight.panels": weight.panels, "bias": bias})
    if x.dim() < 1 or x.shape[-1] != weight.inputs or x.dtype != torch.float32:
        raise ValueError(
            f"qlinear: x is {x.dtype} {list(x.shape)}; wanted torch.float32 [..., {weight.inputs}]"
        )
    together("qlinear", {"x": x, "weight.panels": weight.panels, "bias": bias})
    if bias is not None:
        expect("qlinear", "bias", bias, (weight.outputs,), torch.float32)


def _check_panels(panels: Tensor, format: WeightFormat, outputs: int, inputs: int) -> None:
    """The core believes what it is told about sizes."""
    size = qweight.panel_bytes(format, outputs, inputs)
    if panels.dtype != torch.uint8 or panels.shape != (size,):
        raise ValueError(
            f"qlinear: weight.panels is {panels.dtype} {list(panels.shape)}; wanted torch.uint8 "
            f"[{size}] for {format} of {outputs} x {inputs}"
        )


def _forward(
    x: Tensor,
    panels: Tensor,
    bias: Tensor | None,
    format: WeightFormat,
    outputs: int,
    backend: str,
) -> Tensor:
    inputs = x.shape[-1]
    _check_panels(panels, format, outputs, inputs)
    reason = refusal({"x": x, "bias": bias}) or refusal({"weight.panels": panels}, torch.uint8)
    why_not_triton = device.refusal({"x": x, "bias": bias}, backend) or device.refusal(
        {"weight.panels": panels}, backend, torch.uint8
    )
    why_not_cuda = cuda.refusal({"x": x, "bias": bias}, backend) or qlinear_cuda.refusal(
        x, format, backend
    )
    chosen = choose("qlinear", backend, backends(), reason, why_not_triton, why_not_cuda)
    if chosen == "cuda":
        return qlinear_cuda.forward(x, panels, bias, format, outputs)
    if chosen == "triton":
        return qlinear_triton.forward(x, panels, bias, format, outputs)
    if chosen == "torch":
        return _torch_forward(x, Packed(format, outputs, inputs, panels), bias)
    _check(x, Packed(format, outputs, inputs, panels), bias)
    y = x.new_empty((*x.shape[:-1], outputs))
    _engines.get_here().forward(
        FORMATS.index(format),
        outputs,
        inputs,
        panels.data_ptr(),
        0 if bias is None else bias.data_ptr(),
        y.numel() // outputs,
        x.data_ptr(),
        y.data_ptr(),
    )
    return y


def _torch_forward(x: Tensor, weight: Packed, bias: Tensor | None) -> Tensor:
    codes, scale = round_rows(x, weight.format)
    if weight.format != "int8":
        return torch.nn.functional.linear(codes, weight.dequantize(), bias)
    stored = weight.unpack()
    # Sums of products of codes are exact in float64, whatever their order.
    sums = codes.double() @ torch.from_numpy(stored.codes).to(x.device).double().t()
    y = sums.float() * (scale * torch.from_numpy(stored.scales).to(x.device))
    return y if bias is None else y + bias


def _fake(
    x: Tensor, panels: Tensor, bias: Tensor | None, format: str, outputs: int, backend: str
) -> Tensor:
    return x.new_empty((*x.shape[:-1], outputs))


def _backward_kernel(dy: Tensor, panels: Tensor, format: WeightFormat, inputs: int) -> Tensor:
    choose("qlinear", "auto", ("torch",))  # the only one; profilers read its name
    outputs = dy.shape[-1]
    _check_panels(panels, format, outputs, inputs)
    weight = Packed(format, outputs, inputs, panels).dequantize()
    return (dy.reshape(-1, outputs) @ weight).reshape(*dy.shape[:-1], inputs)


def _backward_fake(dy: Tensor, panels: Tensor, format: str, inputs: int) -> Tensor:
    return dy.new_empty((*dy.shape[:-1], inputs))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, panels, _, format, _, _ = inputs
    ctx.save_for_backward(panels)
    ctx.format, ctx.inputs = format, x.shape[-1]


def _gradients(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    (panels,) = ctx.saved_tensors
    dx = _BACKWARD(dy, panels, ctx.format, ctx.inputs) if ctx.needs_input_grad[0] else None
    db = dy.reshape(-1, dy.shape[-1]).sum(0) if ctx.needs_input_grad[2] else None
    return dx, None, db, None, None, None


_BACKWARD = define(
    "qlinear_backward(Tensor dy, Tensor panels, str format, int inputs) -> Tensor",
    _backward_kernel,
    _backward_fake,
)
_OP = define(
    "qlinear(Tensor x, Tensor panels, Tensor? bias, str format, int outputs, str backend)"
    " -> Tensor",
    _forward,
    _fake,
)
differentiate("qlinear", _save, _gradients)
differentiate_never("qlinear_backward")
