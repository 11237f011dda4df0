"""T steps of a state space whose parameters follow from its input (Gu & Dao 2023, algorithm 2).

    before = keep_t h                                  keep 0 forgets the past
    h   = exp(delta_t A) before + (delta_t x_t) b_t    every channel d has N numbers of its own
    y_t = sum_n h[n] c_t[n]

x and delta [T, B, D], delta the step size of every channel, not negative; A [D, N], not positive,
so that nothing grows; b and c [T, B, N], shared by the channels; h [B, D, N] the state before the
first step; keep [T, B, 1], or None where nothing is forgotten. Results: y [T, B, D] and the state
after the last step [B, D, N]. Gradients for everything. The input enters as it does in the paper's
own code, by delta b rather than by the exact integral.

Backend: `torch` (any device and float dtype). The forward pass keeps only what it was given; the
backward pass makes the states again, as the paper has it: T states of N numbers per channel are
what would fill the memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metabonk.ops.library import (
    choose,
    define,
    differentiate,
    differentiate_never,
    expect,
    together,
)


def step(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, h: Tensor, keep: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The formula of one step as torch writes it, differentiable: x and delta [B, D], b and c
    [B, N], keep [B, 1] -> y [B, D] and the next state [B, D, N]."""
    before = h if keep is None else h * keep[..., None]
    h = torch.exp(delta[..., None] * a) * before + (delta * x)[..., None] * b[:, None]
    return (h * c[:, None]).sum(-1), h


def reference(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, h: Tensor, keep: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The formula over all steps; any float dtype."""
    out = []
    for i in range(len(x)):
        y, h = step(x[i], delta[i], a, b[i], c[i], h, None if keep is None else keep[i])
        out.append(y)
    return torch.stack(out), h


def backends() -> tuple[str, ...]:
    """What can run here."""
    return ("torch",)


def selective_scan(
    x: Tensor,
    delta: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    h: Tensor,
    keep: Tensor | None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """See the module. y [T, B, D] and the last state [B, D, N]; one node of the graph.

    Raises ValueError that names the argument whose shape, dtype or device does not fit, and
    BackendError for a backend that is not there.
    """
    _check(x, delta, a, b, c, h, keep)
    y, last = _OP(x, delta, a, b, c, h, keep, backend)
    return y, last


def _check(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, h: Tensor, keep: Tensor | None
) -> None:
    op = "selective_scan"
    if x.dim() != 3 or 0 in x.shape or not x.is_floating_point():
        raise ValueError(
            f"{op}: x is {x.dtype} {list(x.shape)}; wanted a float one [T, B, D] without zeros"
        )
    steps, batch, channels = x.shape
    expect(op, "delta", delta, (steps, batch, channels), x.dtype)
    expect(op, "a", a, (channels, -1), x.dtype)
    width = a.shape[1]
    if not width:
        raise ValueError(f"{op}: a is {list(a.shape)}; wanted one number per channel or more")
    expect(op, "b", b, (steps, batch, width), x.dtype)
    expect(op, "c", c, (steps, batch, width), x.dtype)
    expect(op, "h", h, (batch, channels, width), x.dtype)
    if keep is not None:
        expect(op, "keep", keep, (steps, batch, 1), x.dtype)
    together(op, {"x": x, "delta": delta, "a": a, "b": b, "c": c, "h": h, "keep": keep})


def _advance(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, h: Tensor, keep: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The next state, and by how much the one before was multiplied, keep left out."""
    decay = torch.mul(delta[:, :, None], a).exp_()
    before = h if keep is None else h * keep[:, :, None]
    written = (delta * x)[:, :, None] * b[:, None, :]
    return torch.addcmul(written, decay, before), decay


def _forward(
    x: Tensor,
    delta: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    h: Tensor,
    keep: Tensor | None,
    backend: str,
) -> tuple[Tensor, Tensor]:
    _check(x, delta, a, b, c, h, keep)
    choose("selective_scan", backend, backends())
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    for t in range(len(x)):
        h, _ = _advance(x[t], delta[t], a, b[t], h, None if keep is None else keep[t])
        y[t] = torch.bmm(h, c[t, :, :, None])[:, :, 0]
    return y, h


def _fake(
    x: Tensor,
    delta: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    h: Tensor,
    keep: Tensor | None,
    backend: str,
) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), h.new_empty(h.shape)


def _backward(
    d_y: Tensor,
    d_last: Tensor,
    x: Tensor,
    delta: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    h: Tensor,
    keep: Tensor | None,
    backend: str,
) -> tuple[Tensor, ...]:
    """Gradients of x, delta, a, b, c, h and keep, the last one zeros if there is none."""
    choose("selective_scan", backend, backends())
    steps = range(len(x))
    kept = [None if keep is None else keep[t] for t in steps]
    states, decays = [h], []
    for t in steps:
        after, decay = _advance(x[t], delta[t], a, b[t], states[-1], kept[t])
        states.append(after)
        decays.append(decay)
    d_x, d_delta, d_b, d_c = (torch.empty_like(v) for v in (x, delta, b, c))
    d_a, d_keep = torch.zeros_like(a), x.new_zeros(*x.shape[:2], 1)
    d_h = d_last
    for t in reversed(steps):
        before = states[t] if keep is None else states[t] * keep[t][:, :, None]
        d_h = torch.addcmul(d_h, d_y[t, :, :, None], c[t, :, None, :])
        d_c[t] = torch.bmm(d_y[t, :, None], states[t + 1])[:, 0]
        # What was written, (delta x) b.
        d_b[t] = torch.bmm((delta[t] * x[t])[:, None], d_h)[:, 0]
        d_written = torch.bmm(d_h, b[t, :, :, None])[:, :, 0]
        # What was kept, exp(delta a) before.
        d_h = d_h * decays[t]
        d_exponent = d_h * before
        d_x[t] = d_written * delta[t]
        d_delta[t] = torch.addcmul((d_exponent * a).sum(-1), d_written, x[t])
        d_a += (d_exponent * delta[t][:, :, None]).sum(0)
        if keep is not None:
            d_keep[t] = (d_h * states[t]).sum((1, 2))[:, None]
            d_h = d_h * keep[t][:, :, None]
    return d_x, d_delta, d_a, d_b, d_c, d_h, d_keep


def _fake_backward(
    d_y: Tensor,
    d_last: Tensor,
    x: Tensor,
    delta: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    h: Tensor,
    keep: Tensor | None,
    backend: str,
) -> tuple[Tensor, ...]:
    made = tuple(torch.empty_like(v) for v in (x, delta, a, b, c, h))
    return (*made, x.new_empty(*x.shape[:2], 1))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.backend = inputs
    ctx.save_for_backward(*tensors)


def _gradients(ctx: Any, d_y: Tensor, d_last: Tensor) -> tuple[Tensor | None, ...]:
    keep = ctx.saved_tensors[-1]
    *found, d_keep = _OP_BACKWARD(d_y, d_last, *ctx.saved_tensors, ctx.backend)
    return *found, None if keep is None else d_keep, None


_ARGUMENTS = (
    "Tensor x, Tensor delta, Tensor a, Tensor b, Tensor c, Tensor h, Tensor? keep, str backend"
)
_OP = define(f"selective_scan({_ARGUMENTS}) -> (Tensor, Tensor)", _forward, _fake)
_OP_BACKWARD = define(
    f"selective_scan_backward(Tensor d_y, Tensor d_last, {_ARGUMENTS}) -> "
    "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _backward,
    _fake_backward,
)
differentiate("selective_scan", _save, _gradients)
differentiate_never("selective_scan_backward")
