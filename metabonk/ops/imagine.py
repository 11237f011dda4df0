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

Backends: `native` (csrc/nn/rssm_imagine.h: all steps in one call, threads of torch's number share
the starts; contiguous float32 in main memory) and `torch` (any device and float dtype). Only the
formula has gradients: where one can be asked for, "auto" runs it in the open, step by step, and
"native" raises. Actors that learn from log-probabilities need none through the dream.
"""

from __future__ import annotations

import atexit
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from metabonk import _core
from metabonk.errors import BackendError
from metabonk.ops import rssm_scan as scan
from metabonk.ops import rssm_torch
from metabonk.ops.library import (
    PerProcess,
    choose,
    define,
    differentiate_never,
    expect,
    refusal,
    together,
)
from metabonk.ops.rssm_weights import CLASSES_MAX, Distribution, RssmWeights, Sizes, check

__all__ = ["Dream", "backends", "imagine", "reference"]

LAYERS_MAX = 16
Layer = tuple[Tensor, Tensor]

_engines: PerProcess[Any] = PerProcess(_core.nn.RssmImagination)
atexit.register(_engines.close)
backends = scan.backends


class Dream(NamedTuple):
    """Of every step: the state after it, [H, B, ..] as in RssmStates; action [H, B, A], log_prob
    [H, B] and policy [H, B, outputs], the action's distribution, in the state before it. indices
    is None for Gaussians."""

    deter: Tensor
    stoch: Tensor
    prior: Tensor
    indices: Tensor | None
    action: Tensor
    log_prob: Tensor
    policy: Tensor


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
    """See the module. Raises ValueError that names the argument whose shape, dtype, device or
    number does not fit, BackendError if the backend asked for is not there or cannot do it."""
    kind = Distribution(classes, unimix, min_std)
    weights = weights.prior()
    flat = [t for layer in actor for t in layer]
    _check(deter, stoch, noise, action_noise, weights, flat, squashed, kind, actor_min_std)
    if scan.recorded(deter, stoch, *weights, *flat) and backend in ("auto", "torch"):
        return reference(
            deter, stoch, noise, action_noise, weights, actor, squashed=squashed, classes=classes,
            unimix=unimix, min_std=min_std, actor_min_std=actor_min_std,
        )  # fmt: skip
    if scan.recorded(deter, stoch, *weights, *flat) and backend == "native":
        raise BackendError(
            "imagine: native has no gradient; use torch.no_grad, or one of: torch (the formula)"
        )
    out = _OP(
        deter, stoch, noise, action_noise, weights.given(), flat, squashed, *kind, actor_min_std,
        backend,
    )  # fmt: skip
    after, drawn, prior, indices, action, log_prob, policy = out
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
    if not stoch.is_floating_point():
        stoch = rssm_torch.one_hot(stoch, classes, deter.dtype)
    steps = []
    for t in range(len(noise)):
        picked = None if choice is None else choice[t]
        out = torch.cat([deter, stoch], -1)
        for i, (weight, bias) in enumerate(actor):
            out = functional.linear(out, weight, bias)
            out = functional.elu(out) if i + 1 < len(actor) else out
        act = _squash if squashed else _choose
        action, log_prob, policy = act(out, action_noise[t], actor_min_std, picked)
        drawn = None if index is None else index[t]
        done = rssm_torch.step(
            deter, stoch, action, None, None, noise[t], weights.prior(), kind, drawn
        )
        deter, stoch = done.deter, done.stoch
        steps.append((deter, stoch, done.prior, done.indices, action, log_prob, policy))
    *columns, drawn_classes, actions, log_probs, policies = zip(*steps, strict=True)
    after, drawn_states, priors = (torch.stack(column) for column in columns)
    acted, density, policy = (torch.stack(c) for c in (actions, log_probs, policies))
    indices = torch.stack(drawn_classes) if classes else None
    return Dream(after, drawn_states, priors, indices, acted, density, policy)


def _choose(
    out: Tensor, noise: Tensor, _: float, index: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    kind = Distribution(out.shape[-1], 0.0, 0.0)
    policy = rssm_torch.distribution(out, kind)
    action, picked = rssm_torch.sample(policy, noise, kind, index)
    assert picked is not None
    return action, policy.gather(-1, picked.long())[..., 0], policy


def _squash(
    out: Tensor, noise: Tensor, min_std: float, _: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    mean, raw = out.chunk(2, -1)
    std = functional.softplus(raw) + min_std
    before = mean + std * noise
    bend = 2.0 * (math.log(2.0) - before - functional.softplus(-2.0 * before))
    density = -0.5 * noise.square() - std.log() - 0.5 * math.log(2.0 * math.pi) - bend
    return torch.tanh(before), density.sum(-1), torch.cat([mean, std], -1)


def _check(
    deter: Tensor,
    stoch: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    weights: RssmWeights,
    actor: Sequence[Tensor],
    squashed: bool,
    kind: Distribution,
    actor_min_std: float,
) -> Sizes:
    """The model's sizes, once all fit. Raises ValueError that names what does not."""
    layers = len(actor) // 2
    if not 0 < layers <= LAYERS_MAX:
        raise ValueError(f"imagine: actor has {layers} layers; wanted 1 to {LAYERS_MAX}")
    if not 0.0 <= actor_min_std < float("inf"):
        raise ValueError(f"imagine: actor_min_std is {actor_min_std}; wanted 0 or more")
    if noise.dim() != 3 or not noise.is_floating_point() or 0 in noise.shape:
        raise ValueError(
            f"imagine: noise is {noise.dtype} {list(noise.shape)}; wanted a float one of [H, B, G]"
        )
    outputs = len(actor[-1]) if actor[-1].dim() else 0
    width = outputs // 2 if squashed else outputs
    if not width or (squashed and outputs % 2) or width > CLASSES_MAX:
        raise ValueError(f"imagine: actor puts out {outputs} numbers, which are no distribution")
    # An action that is never made stands for those that the actor will choose.
    stand_in = noise.new_empty(1).expand(*noise.shape[:2], width)
    lead = noise.shape[:2]
    sizes = check("imagine", lead, deter, stoch, stand_in, None, None, noise, weights, kind)
    expect("imagine", "action_noise", action_noise, (*lead, width if squashed else 1), noise.dtype)
    inputs = sizes.deter + sizes.stoch
    named: dict[str, Tensor | None] = {"noise": noise, "action_noise": action_noise}
    for i in range(layers):
        weight, bias = actor[2 * i], actor[2 * i + 1]
        expect("imagine", f"actor[{i}] bias", bias, (-1,), noise.dtype)
        expect("imagine", f"actor[{i}] weight", weight, (len(bias), inputs), noise.dtype)
        if not len(bias):
            raise ValueError(f"imagine: actor[{i}] bias is [0]; wanted one unit or more")
        named |= {f"actor[{i}] weight": weight, f"actor[{i}] bias": bias}
        inputs = len(bias)
    together("imagine", named)
    return sizes


def _why_not_native(
    deter: Tensor,
    stoch: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    weights: Sequence[Tensor],
    actor: Sequence[Tensor],
) -> str:
    named: dict[str, Tensor | None] = {"action_noise": action_noise}
    named |= {f"actor[{i // 2}] {('weight', 'bias')[i % 2]}": t for i, t in enumerate(actor)}
    return scan.why_not_native(deter, stoch, deter, None, None, noise, weights) or refusal(named)


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
    backend: str,
) -> tuple[Tensor, ...]:
    kind, tensors = Distribution(classes, unimix, min_std), (deter, stoch, noise, action_noise)
    whole = RssmWeights(*weights)
    sizes = _check(*tensors, whole, actor, squashed, kind, actor_min_std)
    reason = _why_not_native(*tensors, weights, actor)
    if choose("imagine", backend, backends(), reason) == "torch":
        found = reference(
            *tensors, whole, list(zip(actor[::2], actor[1::2], strict=True)), squashed=squashed,
            classes=classes, unimix=unimix, min_std=min_std, actor_min_std=actor_min_std,
        )  # fmt: skip
        empty = noise.new_empty(0, dtype=torch.int32)
        return tuple(empty if t is None else t for t in found)
    out = _fake(*tensors, weights, actor, squashed, *kind, actor_min_std, backend)
    layers = zip(actor[::2], actor[1::2], strict=True)
    _engines.get_here().run(
        tuple(sizes),
        (unimix, min_std),
        *noise.shape[:2],
        scan.addresses(weights),
        [(w.data_ptr(), b.data_ptr(), len(b)) for w, b in layers],
        squashed,
        actor_min_std,
        (deter.data_ptr(), *scan.state_pointers(stoch), noise.data_ptr(), action_noise.data_ptr()),
        scan.pointers(*out),
    )
    return out


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
    backend: str,
) -> tuple[Tensor, ...]:
    lead, groups, outputs = noise.shape[:2], noise.shape[2], len(actor[-1])

    def room(*shape: int) -> Tensor:
        return noise.new_empty((*lead, *shape))

    return (
        room(deter.shape[1]),
        room(groups * (classes or 1)),
        room(groups * (classes or 2)),
        noise.new_empty((*lead, groups) if classes else (0,), dtype=torch.int32),
        room(outputs // 2 if squashed else outputs),
        room(),
        room(outputs),
    )


_OP = define(
    "imagine(Tensor deter, Tensor stoch, Tensor noise, Tensor action_noise, Tensor[] weights, "
    "Tensor[] actor, bool squashed, int classes, float unimix, float min_std, "
    "float actor_min_std, str backend) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _forward,
    _fake,
)
differentiate_never("imagine")
