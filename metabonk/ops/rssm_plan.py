"""Steps of an RSSM bound to memory: what `rssm_step.plan` and `rssm_scan.plan` return.

Knows tensors, what may share memory, and how the core takes them; the formula and the shapes are
`rssm_scan`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from metabonk import _core
from metabonk.errors import BackendError
from metabonk.ops.library import bind, expect, expect_tensors, overlap
from metabonk.ops.ranges import stepping
from metabonk.ops.rssm_weights import Distribution, RssmStates, RssmWeights, Sizes, check

Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


class Plan:
    """A step bound to memory, or some.

    step(): writes `out`, the next states of what deter, stoch, action, embed, keep and noise hold
    now. One native call on one thread, which allocates nothing; taken from the plan, it still holds
    the tensors. Raises ValueError, before it writes, where stoch holds what is no class. tier: name
    of the loops, chosen when the plan was made.
    """

    def __init__(self, op: str, native: Any, out: RssmStates, weights: RssmWeights) -> None:
        self._op = op
        self._native = native
        self._shapes = [None if w is None else w.shape for w in weights]
        self.out = out
        self.tier: str = native.tier
        # The core's own: no Python frame around it but where a profiler looks.
        bound = *out, weights.w_in, weights.w_hh
        self.step: Callable[[], None] = stepping(op, lambda: native.tier, bound, native.step)

    def load(self, weights: RssmWeights) -> None:
        """Takes other weights, or the same ones after they changed: a plan keeps its own copy in
        the order in which the loops read it. Not while another thread is in `step`. Raises
        ValueError as `plan` does; steps then go on with the weights from before."""
        check_alike(self._op, weights, self._shapes)
        self._native.load(addresses(weights.given()))


def bound(
    op: str,
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    weights: RssmWeights,
    kind: Distribution,
    out: RssmStates | None,
    precision: Precision,
    backend: str,
) -> Plan:
    """The plan of `rssm_step`, or of `rssm_scan`; arguments and errors as theirs."""
    if backend != "native":
        raise BackendError(f"{op}: no plan of backend {backend!r}; here are: native")
    if precision not in PRECISIONS:
        wanted = " or ".join(map(repr, PRECISIONS))
        raise ValueError(f"{op}: precision is {precision!r}; wanted {wanted}")
    tensors = (deter, stoch, action, embed, keep, noise)
    expect_tensors(op, {"action": action})
    sizes = check(op, action.shape[:-1], *tensors, weights, kind)
    lead = tuple(action.shape[:-1])
    floats = {"deter": deter, "action": action, "embed": embed, "keep": keep, "noise": noise}
    bind(op, {**floats, **weights._asdict()})
    bind(op, {"stoch": stoch}, _type(stoch))
    out = _outputs(lead, sizes) if out is None else out
    _check_outputs(op, out, lead, sizes)
    carried = {"deter": ("deter",), "stoch": ("stoch", "indices")} if op == "rssm_step" else {}
    read = {**floats, "stoch": stoch, **weights._asdict()}
    check_apart(op, read, out._asdict(), carried)
    native = _core.nn.RssmPlan(
        tuple(sizes),
        (kind.unimix, kind.min_std),
        lead[0] if len(lead) == 2 else 1,
        lead[-1],
        addresses(weights.given()),
        (deter.data_ptr(), *state_pointers(stoch), *pointers(*tensors[2:])),
        pointers(out.deter, out.stoch, out.indices, out.prior, out.posterior),
        (tensors, tuple(out)),
        PRECISIONS.index(precision),
    )
    return Plan(op, native, out, weights)


def pointers(*tensors: Tensor | None) -> tuple[int, ...]:
    """Addresses as the core takes them, 0 for what is not there."""
    return tuple(0 if t is None or not t.numel() else t.data_ptr() for t in tensors)


def addresses(weights: Sequence[Tensor | None]) -> tuple[int, ...]:
    """Fourteen, whether the posterior's are there or not."""
    return pointers(*weights, *[None] * (14 - len(weights)))


def state_pointers(stoch: Tensor) -> tuple[int, int]:
    """Of a stochastic state: as numbers, as indices."""
    return (stoch.data_ptr(), 0) if stoch.is_floating_point() else (0, stoch.data_ptr())


def check_alike(op: str, weights: RssmWeights, shapes: Sequence[torch.Size | None]) -> None:
    """Raises ValueError unless these can be bound in the place of weights of these shapes."""
    for name, weight, shape in zip(weights._fields, weights, shapes, strict=True):
        if weight is None or shape is None:
            if (weight is None) != (shape is None):
                raise ValueError(f"{op}: {name} is there or not unlike in the plan")
            continue
        expect(op, name, weight, shape, torch.float32)
    bind(op, weights._asdict())


def check_apart(
    op: str,
    given: Mapping[str, Tensor | None],
    out: Mapping[str, Tensor | None],
    carried: Mapping[str, Sequence[str]],
) -> None:
    """Raises ValueError where an output shares memory with another one, or with an input but one
    that is carried in exactly its place. carried: input -> outputs."""
    written = [(name, tensor) for name, tensor in out.items() if tensor is not None]
    for i, (name, tensor) in enumerate(written):
        for other, read in given.items():
            if read is None or not overlap(read, tensor):
                continue
            if name in carried.get(other, ()) and read.data_ptr() == tensor.data_ptr():
                continue
            raise ValueError(f"{op}: out.{name} shares memory with {other}")
        for other, second in written[i + 1 :]:
            if overlap(tensor, second):
                raise ValueError(f"{op}: out.{name} shares memory with out.{other}")


def _type(stoch: Tensor) -> torch.dtype:
    return torch.float32 if stoch.is_floating_point() else torch.int32


def _outputs(lead: tuple[int, ...], sizes: Sizes) -> RssmStates:
    def room(width: int) -> Tensor:
        return torch.empty(*lead, width)

    seen, classes = sizes.embed > 0, sizes.classes > 0
    return RssmStates(
        room(sizes.deter),
        room(sizes.stoch),
        room(sizes.parameters),
        room(sizes.parameters) if seen else None,
        torch.empty(*lead, sizes.groups, dtype=torch.int32) if classes else None,
    )


def _check_outputs(op: str, out: RssmStates, lead: tuple[int, ...], sizes: Sizes) -> None:
    widths = (sizes.deter, sizes.stoch, sizes.parameters, sizes.parameters, sizes.groups)
    for name, tensor, width in zip(out._fields, out, widths, strict=True):
        wanted = {"posterior": sizes.embed > 0, "indices": sizes.classes > 0}.get(name, True)
        optional = name == "prior" and sizes.embed > 0
        if tensor is None and wanted and not optional:
            raise ValueError(f"{op}: out.{name} is None; wanted {[*lead, width]}")
        if tensor is not None and not wanted:
            raise ValueError(f"{op}: out.{name} is given; wanted None")
        if tensor is None:
            continue
        dtype = torch.int32 if name == "indices" else torch.float32
        expect(op, f"out.{name}", tensor, (*lead, width), dtype)
        bind(op, {f"out.{name}": tensor}, dtype)
