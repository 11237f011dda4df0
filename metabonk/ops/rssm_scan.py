"""T steps of a recurrent state-space model, one after the other (Hafner et al. 2019, 2021).

    s, h, a = k_t s, k_t h, k_t a_t                       keep k = 0 forgets, as a first step does
    x    = elu(W_in [s, a] + b_in)
    h    = GRUCell(x, h)                                  torch.nn.GRUCell's gates and weights
    prior     = distribution(W_prior_out elu(W_prior h + b_prior) + b_prior_out)
    posterior = distribution(W_post_out elu(W_post [h, e_t] + b_post) + b_post_out)
    s    = sample(posterior, noise_t)                     without observations of the prior

deter h [B, D] and stoch s, before the first step: float [B, S], or for categoricals int32 [B, G],
the classes; action [T, B, A] what led to each step; embed e [T, B, E] or None; keep [T, B, 1] or
None where nothing is forgotten; weights as in `rssm_weights`.

classes C > 0: G categoricals. Parameters [.., G C] are log-probabilities of the mixture
(1 - unimix) softmax + unimix / C; noise [T, B, G] is uniform in [0, 1), and the class is where the
cumulative distribution passes it; the sample is one-hot [.., G C] and its gradient reaches the
mixture straight through (Bengio et al. 2013). C = 0: G Gaussians. Parameters [.., 2 G] are means
and deviations softplus + min_std; noise [T, B, G] is standard normal.

Gradients for deter, stoch, action, embed and weights; none for keep and noise.

Backends: `native` (csrc/nn/rssm_scan.h: what waits for no step is one product over all of them, a
one-hot state picks rows of W_in, threads of torch's number share the batch; contiguous float32 in
main memory; taken by itself from 32 rows on, fewer are `rssm_step.plan`'s), `cuda` (rssm_cuda.py:
categoricals without observations, resets and gradients, products of bf16, on a GPU where asked for
by name), `triton` (float32 on a
GPU, kernels/triton/rssm_scan.py; its gradient is `torch`'s) and `torch` (any device and float
dtype, rssm_torch.py). They differ by rounding, and in categoricals where the uniform number is
within rounding of a boundary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metabonk import _core
from metabonk.ops import device, rssm_backends, rssm_cuda, rssm_plan, rssm_torch
from metabonk.ops.engines import PerThread
from metabonk.ops.library import choose, define, differentiate, differentiate_never, expect_tensors
from metabonk.ops.rssm_plan import Plan, Precision, addresses, pointers, state_pointers
from metabonk.ops.rssm_weights import (
    Distribution,
    RssmStates,
    RssmWeights,
    Sizes,
    check,
    check_saved,
)

__all__ = ["Plan", "RssmStates", "RssmWeights", "backends", "plan", "reference", "rssm_scan"]

LEAST_ROWS = 32
reference = rssm_torch.reference

_engines: PerThread[Any] = PerThread(lambda threads: _core.nn.RssmEngine(threads))


backends = rssm_backends.backends


def rssm_scan(
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
    """See the module. All of [T, B, ..]; one node of the graph, one call under torch.compile.

    Raises ValueError that names the argument whose shape, dtype, device or number does not fit, and
    BackendError if the backend asked for is not there or cannot take the tensors as they lie.
    """
    kind = Distribution(classes, unimix, min_std)
    tensors = (deter, stoch, action, embed, keep, noise)
    expect_tensors("rssm_scan", {"action": action})
    check("rssm_scan", action.shape[:-1], *tensors, weights, kind)
    return states(
        _OP(*tensors, weights.given(), *kind, recorded(*tensors, *weights), backend), kind
    )


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
    """Binds T steps to memory, all of [T, B, ..] but the state before them: see `rssm_step.plan`,
    whose arguments and errors these are; `out` shares memory with nothing."""
    tensors = (deter, stoch, action, embed, keep, noise)
    kind = Distribution(classes, unimix, min_std)
    return rssm_plan.bound("rssm_scan", *tensors, weights, kind, out, precision, backend)


def states(out: Sequence[Tensor], kind: Distribution) -> RssmStates:
    """What the ops return, named."""
    deter, stoch, prior, posterior, index, *_ = out
    observed = posterior.numel() > 0
    return RssmStates(
        deter, stoch, prior, posterior if observed else None, index if kind.classes else None
    )


def recorded(*tensors: Tensor | None) -> bool:
    """Whether a gradient through these can be asked for."""
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def sizes_of(
    action: Tensor, embed: Tensor | None, deter: Tensor, noise: Tensor, b_in: Tensor, classes: int
) -> Sizes:
    """Of tensors that have been checked."""
    seen = 0 if embed is None else embed.shape[-1]
    return Sizes(action.shape[-1], seen, len(b_in), deter.shape[1], noise.shape[-1], classes)


def forward(
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    weights: Sequence[Tensor],
    classes: int,
    unimix: float,
    min_std: float,
    saving: bool,
    backend: str,
) -> tuple[Tensor, ...]:
    """The op on real tensors: deter, stoch, prior, posterior, index, and where `saving` x, gates
    and the heads' hidden units; what is not there is empty."""
    kind, tensors = (
        Distribution(classes, unimix, min_std),
        (deter, stoch, action, embed, keep, noise),
    )
    sizes = check("rssm_scan", action.shape[:-1], *tensors, RssmWeights(*weights), kind)
    reason = rssm_backends.why_not_native(*tensors, weights)
    if backend == "auto" and action.shape[0] * action.shape[1] < LEAST_ROWS:
        reason = "so few rows"  # packing the weights would take longer than torch does
    on_device = rssm_backends.why_not_triton(backend, *tensors, weights)
    on_cuda = rssm_backends.why_not_cuda(backend, *tensors, weights, classes, saving)
    chosen = choose("rssm_scan", backend, backends(), reason, on_device, on_cuda)
    if chosen == "cuda":
        rssm_torch.check_classes(stoch, classes)
        out = fake(*tensors, weights, *kind, saving, backend)
        rssm_cuda.forward(deter, stoch, action, noise, weights, classes, unimix, out)
        return out
    if chosen == "triton":
        return _triton_forward(*tensors, weights, kind, saving)
    if chosen == "torch":
        out = rssm_torch.forward(*tensors, RssmWeights(*weights), kind)
        return out if saving else (*out[:5], *(action.new_empty(0) for _ in range(4)))
    out = fake(*tensors, weights, *kind, saving, backend)
    _engines.get_here().forward(
        tuple(sizes),
        (unimix, min_std),
        *action.shape[:2],
        addresses(weights),
        (deter.data_ptr(), *state_pointers(stoch), *pointers(action, embed, keep, noise)),
        pointers(*out),
    )
    return out


def _triton_forward(
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    weights: Sequence[Tensor],
    kind: Distribution,
    saving: bool,
) -> tuple[Tensor, ...]:
    rssm_torch.check_classes(stoch, kind.classes)
    scan = device.family("rssm_scan").scan
    out: tuple[Tensor, ...] = scan(deter, stoch, action, embed, keep, noise, weights, *kind)
    return out if saving else (*out[:5], *(action.new_empty(0) for _ in range(4)))


def fake(
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    weights: Sequence[Tensor],
    classes: int,
    unimix: float,
    min_std: float,
    saving: bool,
    backend: str,
) -> tuple[Tensor, ...]:
    """The op on tensors without numbers; also the memory that the native backend writes."""
    lead, seen = action.shape[:2], embed is not None
    sizes = sizes_of(action, embed, deter, noise, weights[1], classes)

    def room(there: bool, width: int, dtype: torch.dtype | None = None) -> Tensor:
        return action.new_empty((*lead, width) if there else (0,), dtype=dtype)

    return (
        room(True, sizes.deter),
        room(True, sizes.stoch),
        room(True, sizes.parameters),
        room(seen, sizes.parameters),
        room(classes > 0, sizes.groups, torch.int32),
        room(saving, sizes.hidden),
        room(saving, 4 * sizes.deter),
        room(saving, sizes.hidden),
        room(saving and seen, sizes.hidden),
    )


def _backward(
    given: Sequence[Tensor],
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    weights: Sequence[Tensor],
    saved: Sequence[Tensor],
    classes: int,
    unimix: float,
    min_std: float,
    backend: str,
) -> list[Tensor]:
    """given: of deter, stoch, prior, posterior; empty where nothing is. Returns the gradients of
    deter, stoch, action, embed (empty where there is none) and of all weights."""
    kind, tensors = (
        Distribution(classes, unimix, min_std),
        (deter, stoch, action, embed, keep, noise),
    )
    reasons = (
        rssm_backends.why_not_native(*tensors, weights),
        rssm_backends.why_not_triton(backend, *tensors, weights),
    )
    if choose("rssm_scan", backend, backends(), *reasons) != "native":  # triton has none of its own
        found = rssm_torch.backward(given, *tensors, RssmWeights(*weights), saved, kind)
        return list(found)
    given = [g.contiguous() for g in given]  # autograd's own, often expanded from one number
    sizes = check("rssm_scan", action.shape[:-1], *tensors, RssmWeights(*weights), kind)
    check_saved("rssm_scan", action.shape[:-1], sizes, saved, given)
    grads = _fake_backward(given, *tensors, weights, saved, *kind, backend)
    _engines.get_here().backward(
        tuple(sizes),
        (unimix, min_std),
        *action.shape[:2],
        addresses(weights),
        (deter.data_ptr(), *state_pointers(stoch), *pointers(action, embed, keep, noise)),
        pointers(*saved),
        pointers(*given),
        pointers(*grads[:4]),
        addresses(grads[4:]),
    )
    return grads


def _fake_backward(
    given: Sequence[Tensor],
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    weights: Sequence[Tensor],
    saved: Sequence[Tensor],
    classes: int,
    unimix: float,
    min_std: float,
    backend: str,
) -> list[Tensor]:
    numbers = stoch if stoch.is_floating_point() else None
    inputs = (deter, numbers, action, embed)
    return [action.new_empty((0,) if t is None else t.shape) for t in (*inputs, *weights)]


def save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """What the gradient of either op needs; the op's arguments and its nine results."""
    *tensors, weights, classes, unimix, min_std, ctx.saving, ctx.backend = inputs
    ctx.kind = Distribution(classes, unimix, min_std)
    ctx.weights = len(weights)
    ctx.save_for_backward(*tensors, *weights, *output)
    ctx.mark_non_differentiable(*output[4:])
    ctx.set_materialize_grads(False)


def gradients(ctx: Any, given: Sequence[Tensor | None], one_step: bool = False) -> tuple[Any, ...]:
    """One per argument of either op. one_step: of `rssm_step`, whose tensors lack the first one."""
    if not ctx.saving:
        raise RuntimeError("rssm: called with saving=False, so there is no gradient; use the door")
    tensors, others = list(ctx.saved_tensors[:6]), ctx.saved_tensors[6:]
    weights, saved = others[: ctx.weights], others[ctx.weights :]
    empty = tensors[0].new_empty(0)
    there = [empty if g is None else g for g in given]
    if one_step:
        tensors[2:] = [None if t is None else t[None] for t in tensors[2:]]
        saved = [t[None] if t.numel() else t for t in saved]
        there = [t[None] if t.numel() else t for t in there]
    found = _OP_BACKWARD(there, *tensors, weights, saved, *ctx.kind, ctx.backend)
    d_deter, d_stoch, d_action, d_embed, *d_weights = found
    if one_step:
        d_action, d_embed = d_action[0], d_embed[0] if d_embed.numel() else d_embed
    inputs = [d if d.numel() else None for d in (d_deter, d_stoch, d_action, d_embed)]
    return (*inputs, None, None, d_weights, None, None, None, None, None)


def _gradients(ctx: Any, *given: Tensor | None) -> tuple[Any, ...]:
    return gradients(ctx, given[:4])


ARGUMENTS = (
    "Tensor deter, Tensor stoch, Tensor action, Tensor? embed, Tensor? keep, Tensor noise, "
    "Tensor[] weights, int classes, float unimix, float min_std"
)
RESULTS = "(" + ", ".join(["Tensor"] * 9) + ")"
_OP = define(f"rssm_scan({ARGUMENTS}, bool saving, str backend) -> {RESULTS}", forward, fake)
_OP_BACKWARD = define(
    "rssm_scan_backward(Tensor[] given, "
    + ARGUMENTS.replace("weights,", "weights, Tensor[] saved,")
    + ", str backend) -> Tensor[]",
    _backward,
    _fake_backward,
)
differentiate("rssm_scan", save, _gradients)
differentiate_never("rssm_scan_backward")
