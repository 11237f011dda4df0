"""H steps of a world model that nobody observes, an actor choosing: dreams (Hafner et al. 2020).

    policy_t = actor([h_t, s_t])                   layers of elu, the last one linear
    a_t      = sample(policy_t, action_noise_t)
    h_t+1, s_t+1, prior_t+1 = rssm_step(h_t, s_t, a_t, None, None, noise_t)

deter h [B, D] and stoch s (float [B, S] or, of categoricals, int32 [B, G]): where dreams start;
noise [H, B, G] as `rssm_scan` takes it; weights as in `rssm_weights`, the posterior's unused.
actor: (weight [units, inputs], bias [units]) of each layer, up to 16, of which the first reads
D + S inputs. The action's distribution follows from `squashed`:

    False   A choices: outputs [A] become log-probabilities, action_noise [H, B, 1] is uniform in
            [0, 1), the action is one-hot [A]
    True    A numbers in (-1, 1): outputs [2 A] become means and deviations softplus +
            actor_min_std, action_noise [H, B, A] is standard normal, a = tanh(mean + std noise);
            log_prob is the density of a (Haarnoja et al. 2018)

Gradients for deter, stoch where it is float, weights and actor; none for the noises. They reach
choices straight through, as they reach categorical states (Bengio et al. 2013). Actors that learn
from log-probabilities alone need none through the dream.

Backends: `native` (csrc/nn/rssm_imagine.h: all steps in one call, forwards and backwards, threads
of torch's number share the starts; contiguous float32 in main memory), `cuda` (imagine_cuda.py:
from int32 classes, actors of up to four layers, without gradients, products of bf16, in one launch,
on a GPU where asked for by name), `triton` (float32 on a GPU, kernels/triton/rssm_imagine.py; its
gradient is `torch`'s) and `torch` (any device and float dtype, imagine_torch.py). They differ by
rounding, and where the uniform number is within rounding of a boundary between classes. `plan`
binds dreams to memory, for loops (imagine_plan.py).

Training beside a policy does not dream by it: the dreamer there acts by the policy's own head, with
masks that the decoder believes in at every step, which is another formula (models/dreamer.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metabonk import _core
from metabonk.ops import cuda, device, imagine_cuda, imagine_torch, rssm_backends, rssm_torch
from metabonk.ops import rssm_scan as scan
from metabonk.ops.engines import PerThread
from metabonk.ops.imagine_checks import check, check_saved, named
from metabonk.ops.imagine_plan import Plan, layer_pointers, plan, start_pointers
from metabonk.ops.imagine_torch import Dream, Layer
from metabonk.ops.library import (
    choose,
    define,
    differentiate,
    differentiate_never,
    refusal,
)
from metabonk.ops.rssm_plan import addresses, pointers
from metabonk.ops.rssm_weights import Distribution, RssmWeights

__all__ = ["Dream", "Plan", "backends", "imagine", "plan", "reference"]

_engines: PerThread[Any] = PerThread(_core.nn.RssmImagination)


def backends() -> tuple[str, ...]:
    """What can run here, the one that is taken first in front."""
    return ("native", *cuda.backends(), *device.backends(), "torch")


def imagine(
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
    backend: str = "auto",
) -> Dream:
    """See the module; one node of the graph. Raises ValueError that names the argument whose shape,
    dtype, device or number does not fit, BackendError if the backend asked for is not there or
    cannot take the tensors as they lie."""
    kind = Distribution(classes, unimix, min_std)
    weights = weights.prior()
    flat = [t for layer in actor for t in layer]
    check(deter, stoch, noise, action_noise, weights, flat, squashed, kind, actor_min_std)
    saving = scan.recorded(deter, stoch, *weights, *flat)
    out = _OP(
        deter, stoch, noise, action_noise, weights.given(), flat, squashed, *kind, actor_min_std,
        saving, backend,
    )  # fmt: skip
    after, drawn, prior, indices, action, log_prob, policy, *_ = out
    return Dream(after, drawn, prior, indices if classes else None, action, log_prob, policy)


def reference(
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
    index: Tensor | None = None,
    choice: Tensor | None = None,
) -> Dream:
    """The formula as torch writes it, any float dtype; differentiable, straight through samples.

    index [H, B, G], choice [H, B, 1]: classes that are taken instead of those that the noise picks.
    """
    kind = Distribution(classes, unimix, min_std)
    columns = imagine_torch.unroll(
        deter, stoch, noise, action_noise, weights.prior(), actor, squashed, kind, actor_min_std,
        index, choice,
    )  # fmt: skip
    return Dream(*columns[:7])  # type: ignore[arg-type]


def _reasons(
    backend: str,
    deter: Tensor,
    stoch: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    weights: Sequence[Tensor],
    actor: Sequence[Tensor],
    classes: int,
    saving: bool,
) -> tuple[str, str, str]:
    """Why native code, Triton's and CUDA's cannot take these, or ""."""
    world = (deter, stoch, deter, None, None, noise, weights)
    others = named(action_noise, actor)
    return (
        rssm_backends.why_not_native(*world) or refusal(others),
        rssm_backends.why_not_triton(backend, *world) or device.refusal(others, backend),
        cuda.refusal(others, backend)
        or rssm_backends.why_not_cuda(backend, *world, classes, saving)
        or imagine_cuda.refusal(actor),
    )


def _pairs(actor: Sequence[Tensor]) -> list[Layer]:
    return list(zip(actor[::2], actor[1::2], strict=True))


def _forward(
    deter: Tensor,
    stoch: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    weights: Sequence[Tensor],
    actor: Sequence[Tensor],
    squashed: bool,
    classes: int,
    unimix: float,
    min_std: float,
    actor_min_std: float,
    saving: bool,
    backend: str,
) -> tuple[Tensor, ...]:
    """The op on real tensors: the fields of Dream, and where `saving` x, gates, prior_hidden and
    units of `imagine_torch.Step`; what is not there is empty."""
    kind, tensors = Distribution(classes, unimix, min_std), (deter, stoch, noise, action_noise)
    sizes = check(*tensors, RssmWeights(*weights), actor, squashed, kind, actor_min_std)
    chosen = choose(
        "imagine",
        backend,
        backends(),
        *_reasons(backend, *tensors, weights, actor, classes, saving),
    )
    if chosen == "cuda":
        rssm_torch.check_classes(stoch, classes)
        out = _fake(*tensors, weights, actor, squashed, *kind, actor_min_std, saving, backend)
        numbers = squashed, classes, unimix, actor_min_std
        imagine_cuda.forward(*tensors, weights, actor, *numbers, out)
        return out
    if chosen != "native":
        return _elsewhere(chosen, *tensors, weights, actor, squashed, kind, actor_min_std, saving)
    out = _fake(*tensors, weights, actor, squashed, *kind, actor_min_std, saving, backend)
    _engines.get_here().run(
        tuple(sizes),
        (unimix, min_std),
        *noise.shape[:2],
        addresses(weights),
        layer_pointers(_pairs(actor)),
        squashed,
        actor_min_std,
        start_pointers(*tensors),
        pointers(*out),
    )
    return out


def _elsewhere(
    chosen: str,
    deter: Tensor,
    stoch: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    weights: Sequence[Tensor],
    actor: Sequence[Tensor],
    squashed: bool,
    kind: Distribution,
    actor_min_std: float,
    saving: bool,
) -> tuple[Tensor, ...]:
    """By torch or Triton."""
    tensors = deter, stoch, noise, action_noise
    if chosen == "triton":
        rssm_torch.check_classes(stoch, kind.classes)
        unroll = device.family("rssm_imagine").imagine
        columns = unroll(*tensors, weights, _pairs(actor), squashed, *kind, actor_min_std, saving)
        columns += (None,) * (11 - len(columns))
    else:
        columns = imagine_torch.unroll(
            *tensors, RssmWeights(*weights), _pairs(actor), squashed, kind, actor_min_std
        )
    last = 11 if saving else 7
    types = [torch.int32 if i == 3 else noise.dtype for i in range(11)]
    return tuple(
        t if i < last and t is not None and t.numel() else noise.new_empty(0, dtype=types[i])
        for i, t in enumerate(columns)
    )


def _fake(
    deter: Tensor,
    stoch: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    weights: Sequence[Tensor],
    actor: Sequence[Tensor],
    squashed: bool,
    classes: int,
    unimix: float,
    min_std: float,
    actor_min_std: float,
    saving: bool,
    backend: str,
) -> tuple[Tensor, ...]:
    """The op on tensors without numbers; also the memory that the native backend writes."""
    lead, groups, outputs = noise.shape[:2], noise.shape[2], len(actor[-1])
    hidden, units = len(weights[1]), sum(imagine_torch.hidden(actor))

    def room(*shape: int) -> Tensor:
        return noise.new_empty((*lead, *shape))

    def kept(width: int) -> Tensor:
        return room(width) if saving and width else noise.new_empty(0)

    return (
        room(deter.shape[1]),
        room(groups * (classes or 1)),
        room(groups * (classes or 2)),
        noise.new_empty((*lead, groups) if classes else (0,), dtype=torch.int32),
        room(outputs // 2 if squashed else outputs),
        room(),
        room(outputs),
        kept(hidden),
        kept(4 * deter.shape[1]),
        kept(hidden),
        kept(units),
    )


def _backward(
    given: Sequence[Tensor],
    deter: Tensor,
    stoch: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    weights: Sequence[Tensor],
    actor: Sequence[Tensor],
    saved: Sequence[Tensor],
    squashed: bool,
    classes: int,
    unimix: float,
    min_std: float,
    actor_min_std: float,
    backend: str,
) -> list[Tensor]:
    """given: of GIVEN, empty where nothing is. Returns the gradients of deter, stoch (empty where
    it is classes), the prior's ten weights and the actor's."""
    kind, tensors = Distribution(classes, unimix, min_std), (deter, stoch, noise, action_noise)
    whole = RssmWeights(*weights)
    reasons = _reasons(backend, *tensors, weights, actor, classes, True)
    if choose("imagine", backend, backends(), *reasons) != "native":  # triton has none of its own
        return imagine_torch.backward(
            given, *tensors, whole, _pairs(actor), saved, squashed, kind, actor_min_std
        )
    given = [g.contiguous() for g in given]  # autograd's own, often expanded from one number
    sizes = check(*tensors, whole, actor, squashed, kind, actor_min_std)
    units = sum(imagine_torch.hidden(actor))
    check_saved(tuple(noise.shape[:2]), sizes, len(actor[-1]), units, saved, given)
    grads = _fake_backward(
        given, *tensors, weights, actor, saved, squashed, *kind, actor_min_std, backend
    )
    first = 2 + len(weights)
    _engines.get_here().backward(
        tuple(sizes),
        (unimix, min_std),
        *noise.shape[:2],
        addresses(weights),
        layer_pointers(_pairs(actor)),
        squashed,
        actor_min_std,
        start_pointers(*tensors),
        pointers(*saved),
        pointers(*given),
        pointers(*grads[:2]),
        pointers(*grads[2:first]),
        [(w.data_ptr(), b.data_ptr()) for w, b in _pairs(grads[first:])],
    )
    return grads


def _fake_backward(
    given: Sequence[Tensor],
    deter: Tensor,
    stoch: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    weights: Sequence[Tensor],
    actor: Sequence[Tensor],
    saved: Sequence[Tensor],
    squashed: bool,
    classes: int,
    unimix: float,
    min_std: float,
    actor_min_std: float,
    backend: str,
) -> list[Tensor]:
    state = stoch.shape if stoch.is_floating_point() else (0,)
    shapes = [deter.shape, state, *(t.shape for t in (*weights, *actor))]
    return [noise.new_empty(shape) for shape in shapes]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, weights, actor, ctx.squashed, classes, unimix, min_std, floor, saving, backend = (
        inputs
    )
    ctx.kind, ctx.floor = Distribution(classes, unimix, min_std), floor
    ctx.saving, ctx.backend, ctx.counts = saving, backend, (len(weights), len(actor))
    ctx.save_for_backward(*tensors, *weights, *actor, *output)
    ctx.mark_non_differentiable(output[3], *output[7:])
    ctx.set_materialize_grads(False)


def _gradients(ctx: Any, *of_results: Tensor | None) -> tuple[Any, ...]:
    if not ctx.saving:
        raise RuntimeError(
            "imagine: called with saving=False, so there is no gradient; use the door"
        )
    tensors, others = ctx.saved_tensors[:4], ctx.saved_tensors[4:]
    weights, actor = others[: ctx.counts[0]], others[ctx.counts[0] : sum(ctx.counts)]
    empty = tensors[0].new_empty(0)
    given = [empty if of_results[i] is None else of_results[i] for i in (0, 1, 2, 4, 5, 6)]
    d_deter, d_stoch, *found = _OP_BACKWARD(
        given, *tensors, weights, actor, others[sum(ctx.counts) :], ctx.squashed, *ctx.kind,
        ctx.floor, ctx.backend,
    )  # fmt: skip
    d_weights, d_actor = found[: ctx.counts[0]], found[ctx.counts[0] :]
    d_state = d_stoch if d_stoch.numel() else None
    return (d_deter, d_state, None, None, d_weights, d_actor, *[None] * 7)


_ARGUMENTS = (
    "Tensor deter, Tensor stoch, Tensor noise, Tensor action_noise, Tensor[] weights, "
    "Tensor[] actor, bool squashed, int classes, float unimix, float min_std, float actor_min_std"
)
_OP = define(
    f"imagine({_ARGUMENTS}, bool saving, str backend) -> ({', '.join(['Tensor'] * 11)})",
    _forward,
    _fake,
)
_OP_BACKWARD = define(
    "imagine_backward(Tensor[] given, "
    + _ARGUMENTS.replace("actor,", "actor, Tensor[] saved,", 1)
    + ", str backend) -> Tensor[]",
    _backward,
    _fake_backward,
)
differentiate("imagine", _setup, _gradients)
differentiate_never("imagine_backward")
