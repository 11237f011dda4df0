"""tanh of one linear layer over one or several inputs that are never concatenated.

    y = tanh(sum_k x_k W_k^T + b)

x_k [B, width_k], W_k [outputs, width_k], b [outputs], y [B, outputs]; float32. Backends: `native`
(csrc/nn/dense.h: products, tanh and its gradient in one pass over rows that stay in the cache, on
torch's number of threads) and `torch`. `native` needs AVX2, contiguous float32 and enough rows to
pay for a call; everything else goes to `torch`, which is also the definition. They differ by
rounding only.
"""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor

from metabonk import _core
from metabonk.errors import BackendError
from metabonk.ops.library import PerProcess
from metabonk.ops.tanh import fast_tanh_

Backend = Literal["auto", "native", "torch"]
LEAST_ROWS = 32  # below, the call costs more than the arithmetic


def reference(bias: Tensor, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """The formula as torch writes it, differentiable."""
    return torch.tanh(torch.cat(list(inputs), -1) @ torch.cat(list(weights), -1).t() + bias)


def backends() -> tuple[str, ...]:
    """What can run here, the one that is taken first in front."""
    return ("native", "torch") if _core.nn.dense_kernels() else ("torch",)


def dense(
    bias: Tensor, inputs: Sequence[Tensor], weights: Sequence[Tensor], backend: Backend = "auto"
) -> Tensor:
    """See the module. One node of the graph: nothing is kept that the backward pass can do without.

    Gradients for `bias`, every weight, and the inputs that want one. Raises BackendError if
    `native` is asked for and cannot take these tensors, ValueError for shapes that do not fit.
    """
    if not inputs:
        raise ValueError("inputs: a dense layer needs at least one")
    native = backend != "torch" and _suits_native(bias, *inputs, *weights)
    if backend == "native" and not native:
        raise BackendError(
            f"dense: native takes contiguous float32 in main memory, {LEAST_ROWS} rows or more, on "
            f"AVX2; for anything else there is torch. Here are: {', '.join(backends())}"
        )
    if not torch.is_grad_enabled():
        return (_native_forward if native else _torch_forward)(bias, inputs, weights)
    out = _Dense.apply(native, bias, *inputs, *weights)  # type: ignore[no-untyped-call]
    return cast(Tensor, out)


class _Dense(torch.autograd.Function):
    """native: which backend; then bias, inputs and weights."""

    @staticmethod
    def forward(ctx: Any, native: bool, bias: Tensor, *others: Tensor) -> Tensor:
        inputs, weights = _halves(others)
        y = (_native_forward if native else _torch_forward)(bias, inputs, weights)
        ctx.native = native
        ctx.save_for_backward(y, *others)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        y, *others = ctx.saved_tensors
        inputs, weights = _halves(others)
        wanted = ctx.needs_input_grad[2 : 2 + len(inputs)]
        run = _native_backward if ctx.native else _torch_backward
        return None, *run(y, gradients[0], inputs, weights, wanted)


def _halves(others: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    half = len(others) // 2
    return others[:half], others[half:]


def _suits_native(first: Tensor, *others: Tensor) -> bool:
    """Whether the native backend can take these; the second one is an input, which has the rows."""
    if len(others[0]) < LEAST_ROWS or not _core.nn.dense_kernels():
        return False
    return all(
        t.dtype == torch.float32 and t.is_cpu and t.is_contiguous() for t in (first, *others)
    )


_engines: PerProcess[Any] = PerProcess(_core.nn.DenseEngine)
atexit.register(_engines.close)


def _native_forward(bias: Tensor, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    rows, outputs = len(inputs[0]), len(bias)
    _check(bias, inputs, weights)
    y = torch.empty(rows, outputs)
    given = [(x.data_ptr(), w.data_ptr(), x.shape[1]) for x, w in zip(inputs, weights, strict=True)]
    _engines.get_here().forward(rows, outputs, bias.data_ptr(), given, y.data_ptr())
    return y


def _check(bias: Tensor, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> None:
    """The core believes what it is told about sizes: raises ValueError for any other ones."""
    for x, w in zip(inputs, weights, strict=True):
        if x.shape != (len(inputs[0]), w.shape[1]) or w.shape[0] != len(bias):
            raise ValueError(
                f"dense: input {tuple(x.shape)} and weight {tuple(w.shape)} do not fit "
                f"{len(inputs[0])} rows and {len(bias)} outputs"
            )


def _native_backward(
    y: Tensor,
    dy: Tensor,
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
    wanted: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    rows, outputs = y.shape
    dy = dy.contiguous()
    d_bias = torch.empty(outputs)
    d_inputs = [torch.empty_like(x) if w else None for x, w in zip(inputs, wanted, strict=True)]
    d_weights = [torch.empty_like(w) for w in weights]
    given = [(x.data_ptr(), w.data_ptr(), x.shape[1]) for x, w in zip(inputs, weights, strict=True)]
    into = [
        (0 if d_x is None else d_x.data_ptr(), d_w.data_ptr())
        for d_x, d_w in zip(d_inputs, d_weights, strict=True)
    ]
    _engines.get_here().backward(
        rows, outputs, y.data_ptr(), dy.data_ptr(), given, d_bias.data_ptr(), into
    )
    return d_bias, *d_inputs, *d_weights


def _torch_forward(bias: Tensor, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    y = torch.addmm(bias, inputs[0], weights[0].t(), beta=2.0, alpha=2.0)
    for x, weight in zip(inputs[1:], weights[1:], strict=True):
        y.addmm_(x, weight.t(), alpha=2.0)
    return fast_tanh_(y, doubled=True)


def _torch_backward(
    y: Tensor,
    dy: Tensor,
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
    wanted: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    g = torch.ops.aten.tanh_backward(dy, y)
    d_inputs = [g @ w if asked else None for w, asked in zip(weights, wanted, strict=True)]
    # A product with few rows is several times as slow as its transpose.
    d_weights = [(x.t() @ g).t() if x.shape[1] < g.shape[1] else g.t() @ x for x in inputs]
    return g.sum(0), *d_inputs, *d_weights
