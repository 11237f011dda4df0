"""T steps of the closed-form continuous-time cell, one after the other (Hasani et al. 2022).

    before = keep_t h                                keep 0 forgets the past
    z  = 1.7159 tanh(0.666 (W [x_t, before] + b))    the backbone, LeCun's tanh
    f1, f2, a, s = V z + c                           four heads
    t  = sigmoid(a dt_t + s)                         how much of the way from f1 to f2, after dt
    h  = (1 - t) tanh(f1) + t tanh(f2)

x [T, B, inputs], h [B, hidden], dt [T, B, 1] the true time of every row's step in units in which
typical ones are about 1, or None for 1; keep [T, B, 1], or None where nothing is forgotten; W
[backbone, inputs + hidden], b [backbone], V [4 hidden, backbone], c [4 hidden] as torch.nn.Linear
keeps them. Result [T, B, hidden]: h after every step. Gradients for everything.

Backends: `native` (csrc/nn/cfc.h: both layers of a step and all its functions while the rows are in
the cache, on torch's number of threads; contiguous float32 in main memory), `cuda` (cfc_cuda.py: on
a GPU where asked for by name, products of bf16; its gradient is `torch`'s), `triton` (float32 on a
GPU, kernels/triton/cfc.py; its gradient is `torch`'s) and `torch` (any device and float dtype,
cfc_torch.py). They differ by rounding only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metabonk import _core
from metabonk.ops import cfc_cuda, cfc_torch, cuda, device
from metabonk.ops.engines import PerThread
from metabonk.ops.library import (
    bind,
    choose,
    define,
    differentiate,
    differentiate_never,
    expect,
    expect_tensors,
    refusal,
    together,
)

_engines: PerThread[Any] = PerThread(lambda threads: _core.nn.CfcEngine(threads))


def step(
    x: Tensor,
    h: Tensor,
    dt: Tensor | None,
    keep: Tensor | None,
    w_in: Tensor,
    b_in: Tensor,
    w_heads: Tensor,
    b_heads: Tensor,
) -> Tensor:
    """The formula of one step as torch writes it, differentiable; x [B, inputs], dt [B, 1]."""
    before = h if keep is None else h * keep
    z = 1.7159 * torch.tanh(0.666 * (torch.cat([x, before], 1) @ w_in.t() + b_in))
    f1, f2, a, s = (z @ w_heads.t() + b_heads).chunk(4, 1)
    t = torch.sigmoid((a if dt is None else a * dt) + s)
    return (1.0 - t) * torch.tanh(f1) + t * torch.tanh(f2)


def reference(
    x: Tensor, h: Tensor, dt: Tensor | None, keep: Tensor | None, *weights: Tensor
) -> Tensor:
    """The formula over all steps; any float dtype."""
    out = []
    for i in range(len(x)):
        h = step(
            x[i], h, None if dt is None else dt[i], None if keep is None else keep[i], *weights
        )
        out.append(h)
    return torch.stack(out)


def backends() -> tuple[str, ...]:
    """What can run here, the one that is taken first in front."""
    return ("native", *cuda.backends(), *device.backends(), "torch")


def cfc_scan(
    x: Tensor,
    h: Tensor,
    dt: Tensor | None,
    keep: Tensor | None,
    w_in: Tensor,
    b_in: Tensor,
    w_heads: Tensor,
    b_heads: Tensor,
    backend: str = "auto",
) -> Tensor:
    """See the module. [T, B, hidden]; one node of the graph, one call under torch.compile.

    Raises ValueError that names the argument whose shape, dtype or device does not fit, and
    BackendError if the backend asked for is not there or cannot take the tensors as they lie.
    """
    tensors = (x, h, dt, keep, w_in, b_in, w_heads, b_heads)
    expect_tensors("cfc_scan", {"x": x})
    check("cfc_scan", x.shape[:-1], *tensors)
    out, _, _ = _OP(*tensors, recorded(*tensors), backend)
    return out  # type: ignore[no-any-return]


def recorded(*tensors: Tensor | None) -> bool:
    """Whether a gradient through these can be asked for."""
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def check(
    op: str,
    lead: tuple[int, ...],
    x: Tensor,
    h: Tensor,
    dt: Tensor | None,
    keep: Tensor | None,
    w_in: Tensor,
    b_in: Tensor,
    w_heads: Tensor,
    b_heads: Tensor,
) -> None:
    """Raises ValueError unless all fit x [*lead, inputs]."""
    rank = 3 if op == "cfc_scan" else 2
    expect_tensors(op, {"x": x, "h": h, "dt": dt, "keep": keep, "b_in": b_in})
    if x.dim() != rank or not x.is_floating_point():
        raise ValueError(
            f"{op}: x is {x.dtype} {list(x.shape)}; wanted a float one of "
            f"{'[T, B, inputs]' if rank == 3 else '[B, inputs]'}"
        )
    if 0 in x.shape:
        raise ValueError(f"{op}: x is {list(x.shape)}; wanted one row or more")
    expect(op, "h", h, (lead[-1], -1), x.dtype)
    hidden = h.shape[1]
    expect(op, "b_in", b_in, (-1,), x.dtype)
    backbone = len(b_in)
    if not hidden or not backbone:
        raise ValueError(f"{op}: h is {list(h.shape)}, b_in [{backbone}]; wanted one unit or more")
    expect(op, "w_in", w_in, (backbone, x.shape[-1] + hidden), x.dtype)
    expect(op, "w_heads", w_heads, (4 * hidden, backbone), x.dtype)
    expect(op, "b_heads", b_heads, (4 * hidden,), x.dtype)
    others = {"h": h, "dt": dt, "keep": keep, "w_in": w_in, "b_in": b_in}
    others |= {"w_heads": w_heads, "b_heads": b_heads}
    together(op, {"x": x, **others})
    for name, tensor in (("dt", dt), ("keep", keep)):
        if tensor is not None:
            expect(op, name, tensor, (*lead, 1), x.dtype)


def pointers(*tensors: Tensor | None) -> tuple[int, ...]:
    """Addresses as the core takes them, 0 for None."""
    return tuple(0 if t is None else t.data_ptr() for t in tensors)


def forward(
    x: Tensor,
    h: Tensor,
    dt: Tensor | None,
    keep: Tensor | None,
    w_in: Tensor,
    b_in: Tensor,
    w_heads: Tensor,
    b_heads: Tensor,
    saving: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """The op on real tensors: out, and z and heads where `saving`, else two empty ones."""
    tensors = {"x": x, "h": h, "dt": dt, "keep": keep}
    weights = {"w_in": w_in, "b_in": b_in, "w_heads": w_heads, "b_heads": b_heads}
    everything = {**tensors, **weights}
    why_not = (
        refusal(everything),
        device.refusal(everything, backend),
        cuda.refusal(everything, backend),
    )
    chosen = choose("cfc_scan", backend, backends(), *why_not)
    if chosen == "cuda":
        return cfc_cuda.forward(x, h, dt, keep, w_in, b_in, w_heads, b_heads, saving)
    if chosen == "triton":
        given = x, h, dt, keep, w_in, b_in, w_heads, b_heads
        found: tuple[Tensor, Tensor, Tensor] = device.family("cfc").scan(*given, saving)
        return found
    if chosen == "torch":
        out, z, heads = cfc_torch.forward(x, h, dt, keep, w_in, b_in, w_heads, b_heads)
        return (out, z, heads) if saving else (out, x.new_empty(0), x.new_empty(0))
    check("cfc_scan", x.shape[:2], x, h, dt, keep, w_in, b_in, w_heads, b_heads)
    out, z, heads = fake(x, h, dt, keep, w_in, b_in, w_heads, b_heads, saving, backend)
    _engines.get_here().forward(
        (x.shape[2], h.shape[1], len(b_in)),
        x.shape[0],
        x.shape[1],
        pointers(*weights.values()),
        pointers(*tensors.values()),
        pointers(out, z, heads) if saving else (out.data_ptr(), 0, 0),
    )
    return out, z, heads


def fake(
    x: Tensor,
    h: Tensor,
    dt: Tensor | None,
    keep: Tensor | None,
    w_in: Tensor,
    b_in: Tensor,
    w_heads: Tensor,
    b_heads: Tensor,
    saving: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """The op on tensors without numbers; also the memory that the native backend writes."""
    lead, hidden = x.shape[:2], h.shape[1]
    out = x.new_empty(*lead, hidden)
    if not saving:
        return out, x.new_empty(0), x.new_empty(0)
    return out, x.new_empty(*lead, len(b_in)), x.new_empty(*lead, 4 * hidden)


def _backward(
    d_out: Tensor,
    x: Tensor,
    h: Tensor,
    dt: Tensor | None,
    keep: Tensor | None,
    w_in: Tensor,
    w_heads: Tensor,
    out: Tensor,
    z: Tensor,
    heads: Tensor,
    backend: str,
) -> tuple[Tensor, ...]:
    tensors = {"x": x, "h": h, "dt": dt, "keep": keep, "w_in": w_in, "w_heads": w_heads}
    reasons = refusal(tensors), device.refusal(tensors, backend)
    if choose("cfc_scan", backend, backends(), *reasons) != "native":  # triton has none of its own
        return cfc_torch.backward(d_out, x, h, dt, keep, w_in, w_heads, out, z, heads)
    d_out = d_out.contiguous()  # autograd's own, often expanded from one number
    _check_backward(d_out, x, h, dt, keep, w_in, w_heads, out, z, heads)
    grads = _fake_backward(d_out, x, h, dt, keep, w_in, w_heads, out, z, heads, backend)
    d_x, d_h, d_dt, d_keep, *d_weights = grads
    _engines.get_here().backward(
        (x.shape[2], h.shape[1], len(w_in)),
        x.shape[0],
        x.shape[1],
        pointers(w_in, None, w_heads, None),
        pointers(x, h, dt, keep),
        pointers(out, z, heads),
        d_out.data_ptr(),
        pointers(d_x, d_h, d_dt, d_keep),
        pointers(*d_weights),
    )
    return grads


def _check_backward(
    d_out: Tensor,
    x: Tensor,
    h: Tensor,
    dt: Tensor | None,
    keep: Tensor | None,
    w_in: Tensor,
    w_heads: Tensor,
    out: Tensor,
    z: Tensor,
    heads: Tensor,
) -> None:
    """What the forward pass made and autograd brings; the core believes what it is told."""
    biases = w_in.new_empty(w_in.shape[:1]), w_heads.new_empty(w_heads.shape[:1])
    check("cfc_scan", x.shape[:2], x, h, dt, keep, w_in, biases[0], w_heads, biases[1])
    lead, hidden = x.shape[:2], h.shape[1]
    made = {"the gradient": (d_out, hidden), "out": (out, hidden)}
    made |= {"z": (z, len(w_in)), "heads": (heads, 4 * hidden)}
    together("cfc_scan", {"x": x, **{name: tensor for name, (tensor, _) in made.items()}})
    for name, (tensor, width) in made.items():
        expect("cfc_scan", name, tensor, (*lead, width), x.dtype)
    bind("cfc_scan", {name: tensor.detach() for name, (tensor, _) in made.items()})


def _fake_backward(
    d_out: Tensor,
    x: Tensor,
    h: Tensor,
    dt: Tensor | None,
    keep: Tensor | None,
    w_in: Tensor,
    w_heads: Tensor,
    out: Tensor,
    z: Tensor,
    heads: Tensor,
    backend: str,
) -> tuple[Tensor, ...]:
    per_row = (*x.shape[:2], 1)
    shapes = (x.shape, h.shape, per_row, per_row)
    weights = (w_in.shape, w_in.shape[:1], w_heads.shape, w_heads.shape[:1])
    return tuple(x.new_empty(shape) for shape in (*shapes, *weights))


def save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """What the gradient of either op needs; the op's arguments and its three results."""
    x, h, dt, keep, w_in, _, w_heads, _, ctx.saving, ctx.backend = inputs
    ctx.save_for_backward(x, h, dt, keep, w_in, w_heads, *output)
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)


def gradients(ctx: Any, d_out: Tensor | None, one_step: bool = False) -> tuple[Tensor | None, ...]:
    """One per argument of either op, None for those without. one_step: of the cell, whose tensors
    lack the first axis."""
    if d_out is None:
        return (None,) * 10
    if not ctx.saving:
        raise RuntimeError("cfc: called with saving=False, so there is no gradient; use the door")
    x, h, dt, keep, w_in, w_heads, out, z, heads = ctx.saved_tensors
    if one_step:
        x, out, d_out = x[None], out[None], d_out[None]
        dt, keep = (None if t is None else t[None] for t in (dt, keep))
    found = _OP_BACKWARD(d_out, x, h, dt, keep, w_in, w_heads, out, z, heads, ctx.backend)
    d_x, d_h, d_dt, d_keep, *d_weights = found
    if one_step:
        d_x, d_dt, d_keep = d_x[0], d_dt[0], d_keep[0]
    d_dt, d_keep = (None if dt is None else d_dt), (None if keep is None else d_keep)
    return d_x, d_h, d_dt, d_keep, *d_weights, None, None


def _gradients(ctx: Any, d_out: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
    return gradients(ctx, d_out)


ARGUMENTS = (
    "Tensor x, Tensor h, Tensor? dt, Tensor? keep, Tensor w_in, Tensor b_in, Tensor w_heads, "
    "Tensor b_heads, bool saving, str backend"
)
_OP = define(f"cfc_scan({ARGUMENTS}) -> (Tensor, Tensor, Tensor)", forward, fake)
_OP_BACKWARD = define(
    "cfc_scan_backward(Tensor d_out, Tensor x, Tensor h, Tensor? dt, Tensor? keep, Tensor w_in, "
    "Tensor w_heads, Tensor out, Tensor z, Tensor heads, str backend) -> "
    "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _backward,
    _fake_backward,
)
differentiate("cfc_scan", save, _gradients)
differentiate_never("cfc_scan_backward")
