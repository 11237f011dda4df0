"""Dreams bound to memory: what `imagine.plan` returns, for loops that dream often with the same
weights, which are packed once.

Knows tensors, what may share memory, and how the core takes them; the formula and the shapes are
`imagine`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from metabonk import _core
from metabonk.errors import BackendError
from metabonk.ops.engines import threads_of
from metabonk.ops.imagine_checks import check, named
from metabonk.ops.imagine_torch import Dream, Layer
from metabonk.ops.library import bind, expect
from metabonk.ops.ranges import stepping
from metabonk.ops.rssm_plan import addresses, check_alike, check_apart, pointers, state_pointers
from metabonk.ops.rssm_weights import Distribution, RssmWeights, Sizes


class Plan:
    """Dreams bound to memory.

    step(): writes `out`, the dreams from what deter and stoch hold now, with the noises as they are
    now. One native call, which allocates nothing; taken from the plan, it still holds the tensors.
    Raises ValueError, before it writes, where stoch holds what is no class. tier: name of the
    loops, threads: how many take part at most; both chosen when the plan was made.
    """

    def __init__(
        self, native: Any, out: Dream, weights: RssmWeights, actor: Sequence[Layer]
    ) -> None:
        self._native = native
        self._shapes = [None if w is None else w.shape for w in weights]
        self._layers = [(w.shape, b.shape) for w, b in actor]
        self.out = out
        self.tier: str = native.tier
        self.threads: int = native.threads
        bound = *out, weights.w_in, weights.w_hh
        # The core's own: no Python frame around it but where a profiler looks.
        self.step: Callable[[], None] = stepping("imagine", lambda: native.tier, bound, native.step)

    def load(self, weights: RssmWeights, actor: Sequence[Layer]) -> None:
        """Takes other weights, or the same ones after they changed: a plan keeps its own copy in
        the order in which the loops read it. Not while another thread is in `step`. Raises
        ValueError as `plan` does; dreams then go on with the weights from before."""
        weights = weights.prior()
        check_alike("imagine", weights, self._shapes)
        if len(actor) != len(self._layers):
            wanted = f"wanted {len(self._layers)} as in the plan"
            raise ValueError(f"imagine: actor has {len(actor)} layers; {wanted}")
        for i, (layer, shapes) in enumerate(zip(actor, self._layers, strict=True)):
            for name, tensor, shape in zip(("weight", "bias"), layer, shapes, strict=True):
                expect("imagine", f"actor[{i}] {name}", tensor, shape, torch.float32)
                bind("imagine", {f"actor[{i}] {name}": tensor})
        self._native.load(addresses(weights.given()), layer_pointers(actor))


def plan(
    deter: Tensor,
    stoch: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    weights: RssmWeights,
    actor: Sequence[Layer],
    *,
    squashed: bool,
    classes: int,
    unimix: float = 0.01,
    min_std: float = 0.1,
    actor_min_std: float = 0.1,
    out: Dream | None = None,
    threads: int | None = None,
    backend: str = "native",
) -> Plan:
    """Binds dreams to contiguous tensors in main memory, none of which may want a gradient.

    out: new tensors if None; shares memory with nothing. threads: at most so many for large dreams,
    torch's number if None; a start gives the same bits on any number. Raises ValueError that names
    the argument that cannot be bound, BackendError for a backend without plans; `out` is not
    touched before the first step.
    """
    if backend != "native":
        raise BackendError(f"imagine: no plan of backend {backend!r}; here are: native")
    threads = threads_of("imagine", threads)
    kind, weights = Distribution(classes, unimix, min_std), weights.prior()
    tensors, flat = (deter, stoch, noise, action_noise), [t for layer in actor for t in layer]
    sizes = check(*tensors, weights, flat, squashed, kind, actor_min_std)
    floats = {"deter": deter, "noise": noise, "action_noise": action_noise}
    bind("imagine", {**floats, **weights._asdict(), **named(action_noise, flat)})
    bind("imagine", {"stoch": stoch}, stoch.dtype if classes else torch.float32)
    lead = (len(noise), noise.shape[1])
    out = _outputs(lead, sizes, len(flat[-1])) if out is None else out
    _check_outputs(out, lead, sizes, len(flat[-1]))
    read = {**floats, "stoch": stoch, **weights._asdict(), **named(action_noise, flat)}
    check_apart("imagine", read, out._asdict(), {})
    native = _core.nn.RssmDreamPlan(
        tuple(sizes),
        (unimix, min_std),
        lead[0],
        lead[1],
        addresses(weights.given()),
        layer_pointers(actor),
        squashed,
        actor_min_std,
        start_pointers(*tensors),
        pointers(*out, None, None, None, None),
        (tensors, tuple(out)),
        threads,
    )
    return Plan(native, out, weights, actor)


def layer_pointers(actor: Sequence[Layer]) -> list[tuple[int, int, int]]:
    """As the core takes them."""
    return [(w.data_ptr(), b.data_ptr(), len(b)) for w, b in actor]


def start_pointers(
    deter: Tensor, stoch: Tensor, noise: Tensor, action_noise: Tensor
) -> tuple[int, int, int, int, int]:
    """As the core takes them."""
    state = state_pointers(stoch)
    return deter.data_ptr(), *state, noise.data_ptr(), action_noise.data_ptr()


def _widths(sizes: Sizes, outputs: int) -> list[tuple[int, ...]]:
    """Of the fields of Dream, without [H, B]."""
    before = [(sizes.deter,), (sizes.stoch,), (sizes.parameters,), (sizes.groups,)]
    return [*before, (sizes.action,), (), (outputs,)]


def _outputs(lead: tuple[int, ...], sizes: Sizes, outputs: int) -> Dream:
    rooms: list[Any] = [torch.empty(*lead, *width) for width in _widths(sizes, outputs)]
    rooms[3] = torch.empty(*lead, sizes.groups, dtype=torch.int32) if sizes.classes else None
    return Dream(*rooms)


def _check_outputs(out: Dream, lead: tuple[int, ...], sizes: Sizes, outputs: int) -> None:
    for name, tensor, width in zip(out._fields, out, _widths(sizes, outputs), strict=True):
        wanted = name != "indices" or sizes.classes > 0
        if tensor is None and wanted:
            raise ValueError(f"imagine: out.{name} is None; wanted {[*lead, *width]}")
        if tensor is not None and not wanted:
            raise ValueError(f"imagine: out.{name} is given; wanted None")
        if tensor is None:
            continue
        dtype = torch.int32 if name == "indices" else torch.float32
        expect("imagine", f"out.{name}", tensor, (*lead, *width), dtype)
        bind("imagine", {f"out.{name}": tensor}, dtype)
