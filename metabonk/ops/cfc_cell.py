"""One step of the closed-form continuous-time cell: `cfc_scan` with T = 1, whose module has the
formula, the shapes without T, the backends and the gradient.

    h' = cfc_cell(x, h, dt, keep, w_in, b_in, w_heads, b_heads)

x [B, inputs], h [B, hidden], dt [B, 1] or None for 1, keep [B, 1] or None where nothing is
forgotten; h' [B, hidden]. `plan` is the door for loops: memory and instruction set bound once, a
step is one native call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import torch
from torch import Tensor

from metabonk import _core
from metabonk.errors import BackendError
from metabonk.ops import cfc_scan as scan
from metabonk.ops.engines import threads_of
from metabonk.ops.library import bind, define, differentiate, expect, expect_tensors, overlap
from metabonk.ops.ranges import stepping

backends = scan.backends
reference = scan.step


def cfc_cell(
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
    """See the module. [B, hidden]; one node of the graph. Raises as `cfc_scan` does."""
    tensors = (x, h, dt, keep, w_in, b_in, w_heads, b_heads)
    expect_tensors("cfc_cell", {"x": x})
    scan.check("cfc_cell", x.shape[:-1], *tensors)
    out, _, _ = _OP(*tensors, scan.recorded(*tensors), backend)
    return out  # type: ignore[no-any-return]


class Plan:
    """A step bound to memory, or some.

    step(): out = the next states of what x, h, dt and keep hold now. One native call, which
    allocates nothing; taken from the plan, it still holds the tensors. tier: name of the loops,
    threads: how many a step takes; both chosen when the plan was made.
    """

    def __init__(
        self, native: Any, tensors: Mapping[str, Tensor | None], weights: Mapping[str, Tensor]
    ) -> None:
        self._native = native
        self._tensors = tensors
        self._shapes = {name: weight.shape for name, weight in weights.items()}
        self.tier: str = native.tier
        self.threads: int = native.threads
        op = "cfc_cell" if self.out.dim() == 2 else "cfc_scan"
        bound = *tensors.values(), *weights.values()
        # The core's own: no Python frame around it but where a profiler looks.
        self.step: Callable[[], None] = stepping(op, lambda: native.tier, bound, native.step)

    @property
    def out(self) -> Tensor:
        """Where the next states go, [B, hidden] or [T, B, hidden]."""
        return cast(Tensor, self._tensors["out"])

    def load(self, w_in: Tensor, b_in: Tensor, w_heads: Tensor, b_heads: Tensor) -> None:
        """Takes other weights, or the same ones after they changed: a plan keeps its own copy in
        the order in which the loops read it. Not while another thread is in `step`."""
        weights = {"w_in": w_in, "b_in": b_in, "w_heads": w_heads, "b_heads": b_heads}
        for name, weight in weights.items():
            expect("cfc_cell", name, weight, self._shapes[name], torch.float32)
        bind("cfc_cell", weights)
        self._native.load(scan.pointers(*weights.values()))


def plan(
    x: Tensor,
    h: Tensor,
    dt: Tensor | None,
    keep: Tensor | None,
    w_in: Tensor,
    b_in: Tensor,
    w_heads: Tensor,
    b_heads: Tensor,
    out: Tensor | None = None,
    backend: str = "native",
    *,
    precision: Literal["fp32", "bf16"] = "fp32",
    threads: int | None = None,
) -> Plan:
    """Binds one step to contiguous float32 in main memory, none of which may want a gradient; or
    T of them, as `cfc_scan` takes them, where x is [T, B, inputs].

    out [B, hidden] or [T, B, hidden]: a new tensor if None; of one step it may be `h` itself, then
    the state is carried in place.
    precision: "bf16" keeps both weights rounded to it, half the memory that a step of few rows
    waits for; biases, states and sums stay float32. threads: at most so many for large batches,
    torch's number if None; a row gives the same bits on any number. Raises ValueError that names
    the argument that cannot be bound, BackendError for a backend without plans; `out` is not
    touched before the first step.
    """
    if backend != "native":
        raise BackendError(f"cfc_cell: no plan of backend {backend!r}; here are: native")
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"cfc_cell: precision is {precision!r}; wanted 'fp32' or 'bf16'")
    threads = threads_of("cfc_cell", threads)
    tensors = {"x": x, "h": h, "dt": dt, "keep": keep}
    weights = {"w_in": w_in, "b_in": b_in, "w_heads": w_heads, "b_heads": b_heads}
    expect_tensors("cfc_cell", tensors)
    op = "cfc_scan" if x.dim() == 3 else "cfc_cell"
    scan.check(op, x.shape[:-1], x, h, dt, keep, w_in, b_in, w_heads, b_heads)
    shape = (*x.shape[:-1], h.shape[1])
    out = x.new_empty(shape) if out is None else out
    expect(op, "out", out, shape, torch.float32)
    bind(op, {**tensors, **weights, "out": out})
    for name, tensor in {**tensors, **weights}.items():
        carried = name == "h" and op == "cfc_cell" and h.data_ptr() == out.data_ptr()
        if tensor is not None and not carried and overlap(tensor, out):
            raise ValueError(
                f"{op}: out shares memory with {name}; of one step h may be out itself"
            )
    bound = {**tensors, "out": out}
    native = _core.nn.CfcPlan(
        (x.shape[-1], h.shape[1], len(b_in)),
        1 if op == "cfc_cell" else len(x),
        x.shape[-2],
        scan.pointers(*weights.values()),
        scan.pointers(*tensors.values()),
        out.data_ptr(),
        tuple(bound.values()),
        precision == "bf16",
        threads,
    )
    return Plan(native, bound, weights)


def _as_scan(tensors: tuple[Any, ...]) -> tuple[Any, ...]:
    """x, dt and keep as sequences of one step; anything else as it is."""
    x, h, dt, keep, *rest = tensors
    dt, keep = (None if t is None else t[None] for t in (dt, keep))
    return x[None], h, dt, keep, *rest


def _forward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    out, z, heads = scan.forward(*_as_scan(arguments))
    return out[0], z, heads


def _fake(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    out, z, heads = scan.fake(*_as_scan(arguments))
    return out[0], z, heads


def _gradients(ctx: Any, d_out: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
    return scan.gradients(ctx, d_out, one_step=True)


_OP = define(f"cfc_cell({scan.ARGUMENTS}) -> (Tensor, Tensor, Tensor)", _forward, _fake)
differentiate("cfc_cell", scan.save, _gradients)
