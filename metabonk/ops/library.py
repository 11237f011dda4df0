"""How an op enters torch, and what all ops check alike.

Knows `torch.library`, tensors and the error types; knows no op, no formula and no native kernel.

An op is defined once per process under `torch.ops.metabonk`:

    OP = define("twice(Tensor x, str backend) -> Tensor", _kernel, _fake)
    differentiate("twice", _setup, _backward)

The kernel runs on real tensors of any device and chooses its backend there (`choose`), so that a
compiled graph holds one node whatever the tensors turn out to be; the fake one says shapes. The
gradient of an op is best an op of its own: then it, too, is one node of a compiled graph.
Doors check shapes with `expect`, which can be traced; kernels ask `refusal` why native code cannot
take a tensor as it lies; under "auto" torch's definition takes it then, which is counted
(fallbacks.py). Nothing here ever copies a tensor. Where a profiler is attached, every
op stands in a named range (ranges.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from metabonk.errors import BackendError
from metabonk.ops import cuda, device, fallbacks, ranges
from metabonk.ops.fallbacks import Reason

_LIBRARY = torch.library.Library("metabonk", "FRAGMENT")  # type: ignore[no-untyped-call]


def define(schema: str, kernel: Callable[..., Any], fake: Callable[..., Any]) -> Any:
    """Defines `torch.ops.metabonk.<name>` and returns it; `schema` as torch.library writes it.

    kernel: the op on real tensors; must not return one of its arguments. fake: empty tensors of
    the shapes, dtypes and strides that the kernel would return.
    """
    name = schema.split("(", 1)[0]
    _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag, torch.Tag.needs_exact_strides))  # type: ignore[no-untyped-call]
    watched = ranges.watched(name, kernel)
    _LIBRARY.impl(name, watched, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"metabonk::{name}", fake, lib=_LIBRARY)
    return getattr(torch.ops.metabonk, name).default


def differentiate(name: str, setup: Callable[..., None], backward: Callable[..., Any]) -> None:
    """Gives a defined op its gradient: `setup(ctx, inputs, output)` saves what
    `backward(ctx, *gradients)` needs, which returns one gradient or None per argument."""
    torch.library.register_autograd(
        f"metabonk::{name}", backward, setup_context=setup, lib=_LIBRARY
    )


def differentiate_never(name: str) -> None:
    """Makes backpropagating through a defined op an error: for ops that are gradients themselves,
    and for those without any."""

    def refuse(*_: Any) -> None:
        raise RuntimeError(f"{name} has no gradient of its own; differentiate the op's reference")

    differentiate(name, lambda ctx, inputs, output: None, refuse)


@ranges.telling
def choose(
    op: str,
    asked: str,
    available: Sequence[str],
    why_not_native: str = "",
    why_not_triton: str = "",
    why_not_cuda: str = "",
) -> str:
    """The backend that runs: the one asked for, or with "auto" the first that takes the tensors.

    why_not_native, .._triton, .._cuda: what `refusal`, `device.refusal` and `cuda.refusal` said.
    Raises BackendError that names those that are there.
    """
    reasons = {"native": why_not_native, "triton": why_not_triton, "cuda": why_not_cuda}
    if asked == "auto":
        chosen = next(name for name in available if not reasons.get(name))
        if chosen == "torch":
            _count_fallback(op, [reasons.get(name, "") for name in available])
        return chosen
    here = f"here are: {', '.join(available)}"
    if asked not in available:
        problem = {"triton": device.problem, "cuda": cuda.problem}.get(asked, str)()
        why = f" ({asked}: {problem})" if problem else ""
        raise BackendError(f"{op}: no backend {asked!r}; {here}{why}")
    if reasons.get(asked):
        raise BackendError(f"{op}: {asked} cannot take {reasons[asked]}; {here}")
    return asked


def _count_fallback(op: str, reasons: Sequence[str]) -> None:
    """Counts what kept a kernel from a tensor that lies where it could read it. Other reasons, as
    too few rows to be worth it, are choices."""
    for reason in reasons:
        if isinstance(reason, Reason) and not reason.placed:
            fallbacks.count(op, reason)
            return


def expect_tensors(op: str, tensors: Mapping[str, object]) -> None:
    """Raises TypeError for an argument that is neither a tensor nor None."""
    for name, value in tensors.items():
        if value is not None and not isinstance(value, Tensor):
            raise _no_tensor(op, name, value)


def _no_tensor(op: str, name: str, value: object) -> TypeError:
    said = f"{op}: {name} is {type(value).__name__}; wanted a torch tensor"
    doors = ("__array_interface__", "__cuda_array_interface__", "__dlpack__")
    if any(hasattr(value, door) for door in doors):
        said += ": metabonk.ops.arrays.tensor makes one over the same memory"
    return TypeError(said)


def expect(op: str, name: str, tensor: Tensor, shape: Sequence[int], dtype: torch.dtype) -> None:
    """Raises ValueError unless the argument `name` has this shape and dtype; -1 is any length.
    TypeError for what is no tensor."""
    if not isinstance(tensor, Tensor):
        raise _no_tensor(op, name, tensor)
    fits = tensor.dim() == len(shape) and all(
        want in (-1, got) for got, want in zip(tensor.shape, shape, strict=True)
    )
    if not fits or tensor.dtype != dtype:
        wanted = ["any" if n == -1 else str(n) for n in shape]
        raise ValueError(
            f"{op}: {name} is {tensor.dtype} {list(tensor.shape)}; "
            f"wanted {dtype} [{', '.join(wanted)}]"
        )


def together(op: str, tensors: Mapping[str, Tensor | None]) -> None:
    """Raises ValueError unless all are on the device of the first, TypeError for no tensor."""
    expect_tensors(op, tensors)
    first = next(iter(tensors))
    device = tensors[first].device  # type: ignore[union-attr]
    for name, tensor in tensors.items():
        if tensor is not None and tensor.device != device:
            raise ValueError(f"{op}: {name} is on {tensor.device}, {first} on {device}")


def refusal(tensors: Mapping[str, Tensor | None], dtype: torch.dtype = torch.float32) -> str:
    """Why native code cannot take these as they lie, or "": they must be contiguous, in main
    memory, aligned and of `dtype`. Names the argument, what it is and what is wanted."""
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        if not tensor.is_cpu:
            where = f"{name} on {tensor.device}"
            return Reason(f"{where}, wanted main memory", where, placed=True)
        if tensor.dtype != dtype:
            what = f"{name} of {tensor.dtype}"
            return Reason(f"{what}, wanted {dtype}", what)
        if not tensor.is_contiguous():
            how = f"{name} with strides {tensor.stride()}, wanted a contiguous one"
            return Reason(how, f"{name} is strided")
        size = tensor.element_size()
        if tensor.data_ptr() % size:
            how = f"{name} at an address that is not a multiple of {size} bytes"
            return Reason(how, f"{name} is misaligned")
    return ""


def bind(op: str, tensors: Mapping[str, Tensor | None], dtype: torch.dtype = torch.float32) -> None:
    """For plans: raises ValueError where `refusal` has a reason, and for a tensor in a graph;
    TypeError for what is no tensor."""
    expect_tensors(op, tensors)
    if reason := refusal(tensors, dtype):
        raise ValueError(f"{op}: cannot bind {reason}")
    for name, tensor in tensors.items():
        if tensor is not None and tensor.requires_grad:
            raise ValueError(f"{op}: {name} requires a gradient, a plan has none; detach it")


def overlap(a: Tensor, b: Tensor) -> bool:
    """Whether two contiguous tensors share memory."""
    return a.data_ptr() < b.data_ptr() + b.nbytes and b.data_ptr() < a.data_ptr() + a.nbytes
