"""One step of a recurrent state-space model: `rssm_scan` with T = 1, whose module has the formula,
the shapes without T, the backends and the gradient.

    deter', stoch', prior, posterior, indices =
        rssm_step(deter, stoch, action, embed, keep, noise, weights)

deter [B, D]; stoch float [B, S], or for categoricals int32 [B, G], the classes: those only pick
rows of W_in, where numbers are a product; action [B, A]; embed [B, E], or None for a step without
observation, whose stoch' is a sample of the prior; keep [B, 1] or None; noise [B, G].

`plan` is the door for loops: memory and instruction set bound once, a step is one native call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from metabonk import _core
from metabonk.errors import BackendError
from metabonk.ops import rssm_scan as scan
from metabonk.ops import rssm_torch
from metabonk.ops.library import bind, define, differentiate, expect, overlap
from metabonk.ops.ranges import stepping
from metabonk.ops.rssm_scan import RssmStates, RssmWeights
from metabonk.ops.rssm_weights import Distribution, Sizes, check

__all__ = ["Plan", "RssmStates", "RssmWeights", "backends", "plan", "reference", "rssm_step"]

Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

backends = scan.backends


def reference(
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    weights: RssmWeights,
    *,
    classes: int,
    unimix: float = 0.01,
    min_std: float = 0.1,
    index: Tensor | None = None,
) -> RssmStates:
    """The formula as torch writes it, differentiable, any float dtype; index as in `rssm_scan`."""
    if not stoch.is_floating_point():
        stoch = rssm_torch.one_hot(stoch, classes, deter.dtype)
    kind = Distribution(classes, unimix, min_std)
    done = rssm_torch.step(deter, stoch, action, embed, keep, noise, weights, kind, index)
    return RssmStates(*done[:5])


def rssm_step(
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    weights: RssmWeights,
    *,
    classes: int,
    unimix: float = 0.01,
    min_std: float = 0.1,
    backend: str = "auto",
) -> RssmStates:
    """See the module. All of [B, ..]; one node of the graph. Raises as `rssm_scan` does."""
    kind = Distribution(classes, unimix, min_std)
    tensors = (deter, stoch, action, embed, keep, noise)
    check("rssm_step", action.shape[:-1], *tensors, weights, kind)
    saving = scan.recorded(*tensors, *weights)
    return scan.states(_OP(*tensors, weights.given(), *kind, saving, backend), kind)


class Plan:
    """A step bound to memory.

    step(): writes `out`, the next states of what deter, stoch, action, embed, keep and noise hold
    now. One native call on one thread, which allocates nothing; taken from the plan, it still holds
    the tensors. Raises ValueError, before it writes, where stoch holds what is no class. tier: name
    of the loops, chosen when the plan was made.
    """

    def __init__(self, native: Any, out: RssmStates, weights: RssmWeights) -> None:
        self._native = native
        self._shapes = [None if w is None else w.shape for w in weights]
        self.out = out
        self.tier: str = native.tier
        # The core's own: no Python frame around it but where a profiler looks.
        bound = *out, weights.w_in, weights.w_hh
        self.step: Callable[[], None] = stepping(
            "rssm_step", lambda: native.tier, bound, native.step
        )

    def load(self, weights: RssmWeights) -> None:
        """Takes other weights, or the same ones after they changed: a plan keeps its own copy in
        the order in which the loops read it. Not while another thread is in `step`. Raises
        ValueError as `plan` does; steps then go on with the weights from before."""
        for name, weight, shape in zip(weights._fields, weights, self._shapes, strict=True):
            if weight is None or shape is None:
                if (weight is None) != (shape is None):
                    raise ValueError(f"rssm_step: {name} is there or not unlike in the plan")
                continue
            expect("rssm_step", name, weight, shape, torch.float32)
        bind("rssm_step", weights._asdict())
        self._native.load(scan.addresses(weights.given()))


def plan(
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    weights: RssmWeights,
    *,
    classes: int,
    unimix: float = 0.01,
    min_std: float = 0.1,
    out: RssmStates | None = None,
    precision: Precision = "fp32",
    backend: str = "native",
) -> Plan:
    """Binds one step to contiguous tensors in main memory, none of which may want a gradient.

    out: new tensors if None; its deter may be `deter` itself, its stoch or indices `stoch`, then
    the state is carried in place; its prior may be None with observations, then none is computed.
    precision: "bf16" keeps the weights rounded to it, half the memory that a step of few rows waits
    for; "int8" as codes with a scale per output, a quarter, and rounds what meets them row by row
    as `qlinear` does (W_in and W_post cut where what they read comes from, each part with scales of
    its own; the rows that classes pick are not rounded further). Biases, states and sums stay
    float32.
    Raises ValueError that names the argument that cannot be bound, or the weight that int8 has no
    codes for; BackendError for a backend without plans; `out` is not touched before the first step.
    """
    if backend != "native":
        raise BackendError(f"rssm_step: no plan of backend {backend!r}; here are: native")
    if precision not in PRECISIONS:
        wanted = " or ".join(map(repr, PRECISIONS))
        raise ValueError(f"rssm_step: precision is {precision!r}; wanted {wanted}")
    kind = Distribution(classes, unimix, min_std)
    tensors = (deter, stoch, action, embed, keep, noise)
    sizes = check("rssm_step", action.shape[:-1], *tensors, weights, kind)
    given = dict(zip(("deter", "action", "embed", "keep", "noise"), _floats(tensors), strict=True))
    bind("rssm_step", {**given, **weights._asdict()})
    bind("rssm_step", {"stoch": stoch}, _type(stoch))
    if out is None:
        out = _outputs(len(action), sizes)
    _check_outputs(out, len(action), sizes)
    _check_apart({**given, "stoch": stoch}, out)
    native = _core.nn.RssmPlan(
        tuple(sizes),
        (unimix, min_std),
        len(action),
        scan.addresses(weights.given()),
        (deter.data_ptr(), *scan.state_pointers(stoch), *scan.pointers(*tensors[2:])),
        scan.pointers(out.deter, out.stoch, out.indices, out.prior, out.posterior),
        (tensors, tuple(out)),
        PRECISIONS.index(precision),
    )
    return Plan(native, out, weights)


def _type(stoch: Tensor) -> torch.dtype:
    return torch.float32 if stoch.is_floating_point() else torch.int32


def _floats(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """All but stoch."""
    return [tensors[0], *tensors[2:]]


def _outputs(batch: int, sizes: Sizes) -> RssmStates:
    def room(width: int) -> Tensor:
        return torch.empty(batch, width)

    seen, classes = sizes.embed > 0, sizes.classes > 0
    return RssmStates(
        room(sizes.deter),
        room(sizes.stoch),
        room(sizes.parameters),
        room(sizes.parameters) if seen else None,
        torch.empty(batch, sizes.groups, dtype=torch.int32) if classes else None,
    )


def _check_outputs(out: RssmStates, batch: int, sizes: Sizes) -> None:
    widths = (sizes.deter, sizes.stoch, sizes.parameters, sizes.parameters, sizes.groups)
    for name, tensor, width in zip(out._fields, out, widths, strict=True):
        wanted = {"posterior": sizes.embed > 0, "indices": sizes.classes > 0}.get(name, True)
        optional = name == "prior" and sizes.embed > 0
        if tensor is None and wanted and not optional:
            raise ValueError(f"rssm_step: out.{name} is None; wanted [{batch}, {width}]")
        if tensor is not None and not wanted:
            raise ValueError(f"rssm_step: out.{name} is given; wanted None")
        if tensor is None:
            continue
        dtype = torch.int32 if name == "indices" else torch.float32
        expect("rssm_step", f"out.{name}", tensor, (batch, width), dtype)
        bind("rssm_step", {f"out.{name}": tensor}, dtype)


def _check_apart(given: Mapping[str, Tensor | None], out: RssmStates) -> None:
    """Outputs share memory with no input but a state that is carried, and with no other output."""
    carried = {"deter": ("deter",), "stoch": ("stoch", "indices")}
    written = [(name, tensor) for name, tensor in out._asdict().items() if tensor is not None]
    for i, (name, tensor) in enumerate(written):
        for other, read in given.items():
            if read is None or not overlap(read, tensor):
                continue
            if name in carried.get(other, ()) and read.data_ptr() == tensor.data_ptr():
                continue
            raise ValueError(f"rssm_step: out.{name} shares memory with {other}")
        for other, second in written[i + 1 :]:
            if overlap(tensor, second):
                raise ValueError(f"rssm_step: out.{name} shares memory with out.{other}")


def _as_scan(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """action, embed, keep and noise as sequences of one step; anything else as it is."""
    deter, stoch, *tensors = arguments[:6]
    return deter, stoch, *(None if t is None else t[None] for t in tensors), *arguments[6:]


def _one(results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(t[0] if t.numel() else t for t in results)


def _forward(*arguments: Any) -> tuple[Tensor, ...]:
    return _one(scan.forward(*_as_scan(arguments)))


def _fake(*arguments: Any) -> tuple[Tensor, ...]:
    return _one(scan.fake(*_as_scan(arguments)))


def _gradients(ctx: Any, *given: Tensor | None) -> tuple[Any, ...]:
    return scan.gradients(ctx, given[:4], one_step=True)


_OP = define(
    f"rssm_step({scan.ARGUMENTS}, bool saving, str backend) -> {scan.RESULTS}", _forward, _fake
)
differentiate("rssm_step", scan.save, _gradients)
