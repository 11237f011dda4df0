"""tanh of one linear layer over one or several inputs that are never concatenated.

    y = tanh(sum_k x_k W_k^T + b)

x_k [B, width_k], W_k [outputs, width_k], b [outputs], y [B, outputs]; float32. Backends: `native`
(csrc/nn/dense.h: products, tanh and its gradient in one pass over rows that stay in the cache, on
torch's number of threads) and `torch`. `native` needs AVX2, contiguous float32 and enough rows to
pay for a call; everything else goes to `torch`, which is also the definition. They differ by
rounding only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from metabonk import _core
from metabonk.ops.engines import PerThread
from metabonk.ops.library import (
    choose,
    define,
    differentiate,
    differentiate_never,
    expect,
    refusal,
    together,
)
from metabonk.ops.tanh import fast_tanh_

LEAST_ROWS = 32  # below, the call costs more than the arithmetic


def reference(bias: Tensor, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """The formula as torch writes it, differentiable."""
    return torch.tanh(torch.cat(list(inputs), -1) @ torch.cat(list(weights), -1).t() + bias)


def backends() -> tuple[str, ...]:
    """What can run here, the one that is taken first in front."""
    return ("native", "torch") if _core.nn.dense_kernels() else ("torch",)


def dense(
    bias: Tensor, inputs: Sequence[Tensor], weights: Sequence[Tensor], backend: str = "auto"
) -> Tensor:
    """See the module. One node of the graph: nothing is kept that the backward pass can do without.

    Gradients for `bias`, every weight, and the inputs that want one. Raises BackendError if
    `native` is asked for and cannot take these tensors, ValueError for shapes that do not fit.
    """
    if torch.compiler.is_compiling():
        return _OP(bias, list(inputs), list(weights), backend)  # type: ignore[no-any-return]
    # A registered operation over lists takes half as long again as a layer of a thousand rows.
    if not torch.is_grad_enabled():
        return _forward(bias, inputs, weights, backend)
    out = _Dense.apply(backend, bias, *inputs, *weights)  # type: ignore[no-untyped-call]
    return cast(Tensor, out)


class _Dense(torch.autograd.Function):
    """The same node where nothing is traced. backend; then bias, inputs and weights."""

    @staticmethod
    def forward(ctx: Any, backend: str, bias: Tensor, *others: Tensor) -> Tensor:
        half = len(others) // 2
        inputs, weights = others[:half], others[half:]
        y = _forward(bias, inputs, weights, backend)
        ctx.backend, ctx.parts = backend, half
        ctx.save_for_backward(y, *others)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        y, *others = ctx.saved_tensors
        inputs, weights = others[: ctx.parts], others[ctx.parts :]
        wanted = ctx.needs_input_grad[2 : 2 + ctx.parts]
        d_bias, *rest = _backward(gradients[0], y, inputs, weights, wanted, ctx.backend)
        found = iter(rest)
        d_inputs = [next(found) if asked else None for asked in wanted]
        return None, d_bias, *d_inputs, *found


def _check(bias: Tensor, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> None:
    """The core believes what it is told about sizes: raises ValueError for any other ones."""
    if not inputs or len(inputs) != len(weights):
        raise ValueError(
            f"inputs: {len(inputs)} with {len(weights)} weights; a dense layer needs at least one "
            "and a weight for each"
        )
    together("dense", {"bias": bias, **_named(inputs, weights)})
    expect("dense", "bias", bias, (-1,), bias.dtype)
    expect("dense", "inputs[0]", inputs[0], (-1, -1), bias.dtype)
    for i, (x, w) in enumerate(zip(inputs, weights, strict=True)):
        expect("dense", f"inputs[{i}]", x, (len(inputs[0]), -1), bias.dtype)
        expect("dense", f"weights[{i}]", w, (len(bias), x.shape[1]), bias.dtype)


def _named(inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> dict[str, Tensor | None]:
    named: dict[str, Tensor | None] = {f"inputs[{i}]": x for i, x in enumerate(inputs)}
    return named | {f"weights[{i}]": w for i, w in enumerate(weights)}


def _forward(
    bias: Tensor, inputs: Sequence[Tensor], weights: Sequence[Tensor], backend: str
) -> Tensor:
    _check(bias, inputs, weights)
    native = _is_native(backend, {"bias": bias}, inputs, weights)
    return (_native_forward if native else _torch_forward)(bias, inputs, weights)


def _fake(
    bias: Tensor, inputs: Sequence[Tensor], weights: Sequence[Tensor], backend: str
) -> Tensor:
    _check(bias, inputs, weights)
    return bias.new_empty(len(inputs[0]), len(bias))


def _backward(
    dy: Tensor,
    y: Tensor,
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
    wanted: Sequence[bool],
    backend: str,
) -> list[Tensor]:
    """Gradients of the bias, of the inputs that are `wanted`, of the weights."""
    _check(y.new_empty(y.shape[-1]), inputs, weights)
    if len(wanted) != len(inputs):
        raise ValueError(f"dense: wanted has {len(wanted)} flags; wanted {len(inputs)}")
    together("dense", {"y": y, "the gradient": dy})
    expect("dense", "inputs[0]", inputs[0], (len(y), -1), y.dtype)
    expect("dense", "the gradient", dy, y.shape, y.dtype)
    dy = dy.contiguous()  # autograd's own, often expanded from one number
    native = _is_native(backend, {"y": y, "the gradient": dy}, inputs, weights)
    run = _native_backward if native else _torch_backward
    return run(y, dy, inputs, weights, wanted)


def _fake_backward(
    dy: Tensor,
    y: Tensor,
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
    wanted: Sequence[bool],
    backend: str,
) -> list[Tensor]:
    asked = [x for x, w in zip(inputs, wanted, strict=True) if w]
    return [y.new_empty(y.shape[1]), *(torch.empty_like(t) for t in (*asked, *weights))]


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, given, weights, ctx.backend = inputs
    ctx.parts = len(given)
    ctx.wanted = [x.requires_grad for x in given]
    ctx.save_for_backward(output, *given, *weights)


def _gradients(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
    y, *others = ctx.saved_tensors
    inputs, weights = others[: ctx.parts], others[ctx.parts :]
    d_bias, *rest = _OP_BACKWARD(dy, y, inputs, weights, ctx.wanted, ctx.backend)
    found = iter(rest)
    d_inputs = [next(found) if asked else None for asked in ctx.wanted]
    return d_bias, d_inputs, list(found), None


def _is_native(
    backend: str,
    first: Mapping[str, Tensor | None],
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
) -> bool:
    """Whether the native backend runs; `first`: tensors beside those. Raises BackendError if it is
    asked for and cannot."""
    why_not = refusal({**first, **_named(inputs, weights)})
    if len(inputs[0]) < LEAST_ROWS:
        why_not = f"inputs[0] of {len(inputs[0])} rows, wanted {LEAST_ROWS} or more"
    return choose("dense", backend, backends(), why_not) == "native"


_engines: PerThread[Any] = PerThread(_core.nn.DenseEngine)


def _native_forward(bias: Tensor, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    rows, outputs = len(inputs[0]), len(bias)
    y = torch.empty(rows, outputs)
    given = [(x.data_ptr(), w.data_ptr(), x.shape[1]) for x, w in zip(inputs, weights, strict=True)]
    _engines.get_here().forward(rows, outputs, bias.data_ptr(), given, y.data_ptr())
    return y


def _native_backward(
    y: Tensor,
    dy: Tensor,
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
    wanted: Sequence[bool],
) -> list[Tensor]:
    rows, outputs = y.shape
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
    return [d_bias, *(d for d in d_inputs if d is not None), *d_weights]


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
) -> list[Tensor]:
    g = torch.ops.aten.tanh_backward(dy, y)
    d_inputs = [g @ w for w, asked in zip(weights, wanted, strict=True) if asked]
    # A product with few rows is several times as slow as its transpose.
    d_weights = [(x.t() @ g).t() if x.shape[1] < g.shape[1] else g.t() @ x for x in inputs]
    return [g.sum(0), *d_inputs, *(w.contiguous() for w in d_weights)]


_OP = define(
    "dense(Tensor bias, Tensor[] inputs, Tensor[] weights, str backend) -> Tensor", _forward, _fake
)
_OP_BACKWARD = define(
    "dense_backward(Tensor dy, Tensor y, Tensor[] inputs, Tensor[] weights, bool[] wanted, "
    "str backend) -> Tensor[]",
    _backward,
    _fake_backward,
)
differentiate("dense", _save, _gradients)
differentiate_never("dense_backward")
