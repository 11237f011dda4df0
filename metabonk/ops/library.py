"""How an op enters torch, and what all ops check alike.

Knows `torch.library`, tensors and the error types; knows no op, no formula and no native kernel.

An op is defined once per process under `torch.ops.metabonk`:

    OP = define("twice(Tensor x, str backend) -> Tensor", _kernel, _fake)
    differentiate("twice", _setup, _backward)

The kernel runs on real tensors of any device and chooses its backend there (`choose`), so that a
compiled graph holds one node whatever the tensors turn out to be; the fake one says shapes. The
gradient of an op is best an op of its own: then it, too, is one node of a compiled graph.
Doors check shapes with `expect`, which can be traced; kernels ask `refusal` why native code cannot
take a tensor as it lies. Nothing here ever copies a tensor. Where a profiler is attached, every
op stands in a named range (ranges.py).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from metabonk.errors import BackendError
from metabonk.ops import cuda, device, ranges

T = TypeVar("T")
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
        return next(name for name in available if not reasons.get(name))
    here = f"here are: {', '.join(available)}"
    if asked not in available:
        problem = {"triton": device.problem, "cuda": cuda.problem}.get(asked, str)()
        why = f" ({asked}: {problem})" if problem else ""
        raise BackendError(f"{op}: no backend {asked!r}; {here}{why}")
    if reasons.get(asked):
        raise BackendError(f"{op}: {asked} cannot take {reasons[asked]}; {here}")
    return asked


def expect(op: str, name: str, tensor: Tensor, shape: Sequence[int], dtype: torch.dtype) -> None:
    """Raises ValueError unless the argument `name` has this shape and dtype; -1 is any length."""
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
    """Raises ValueError unless all are on the device of the first."""
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
            return f"{name} on {tensor.device}, wanted main memory"
        if tensor.dtype != dtype:
            return f"{name} of {tensor.dtype}, wanted {dtype}"
        if not tensor.is_contiguous():
            return f"{name} with strides {tensor.stride()}, wanted a contiguous one"
        if tensor.data_ptr() % tensor.element_size():
            return f"{name} at an address that is not a multiple of {tensor.element_size()} bytes"
    return ""


def bind(op: str, tensors: Mapping[str, Tensor | None], dtype: torch.dtype = torch.float32) -> None:
    """For plans: raises ValueError where `refusal` has a reason, and for a tensor in a graph."""
    if reason := refusal(tensors, dtype):
        raise ValueError(f"{op}: cannot bind {reason}")
    for name, tensor in tensors.items():
        if tensor is not None and tensor.requires_grad:
            raise ValueError(f"{op}: {name} requires a gradient, a plan has none; detach it")


def overlap(a: Tensor, b: Tensor) -> bool:
    """Whether two contiguous tensors share memory."""
    return a.data_ptr() < b.data_ptr() + b.nbytes and b.data_ptr() < a.data_ptr() + a.nbytes


class PerProcess(dict[tuple[int, int, int], T]):
    """One native object per process (threads do not survive a fork), number of torch's threads, and
    thread: calls from several threads do not wait for each other.

    What belongs to the process it was forked from is left alone. `close` ends one's own; register
    it with atexit where the object holds threads.
    """

    def __init__(self, make: Callable[[int], T]) -> None:
        super().__init__()
        self._make = make

    def get_here(self) -> T:
        """That of this thread, made with torch's number of threads on first use."""
        key = os.getpid(), torch.get_num_threads(), threading.get_ident()
        if key not in self:
            self[key] = self._make(key[1])
        return self[key]

    def close(self) -> None:
        for key in [key for key in self if key[0] == os.getpid()]:
            del self[key]
