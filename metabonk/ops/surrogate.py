"""The clipped surrogate of PPO over hybrid actions: its gradients in one pass.

    log pi = sum over columns of log N(x; middle + half f(u), half exp(log_std))
             + sum over choices of log softmax(allowed logits)[chosen]
    r      = exp(log pi - log_prob),   gain = min(r A, clamp(r, 1 - clip, 1 + clip) A)
    e      = (v - R)^2, or the larger of it and that of v clamped to v_old +- value_clip
    loss   = -share sum w (gain - value_coef / 2 e + entropy_coef H)

(Schulman et al. 2017; f is tanh where a column is bounded, else the identity; H is the entropy of
the choices and of the Gaussians before f.) parameters [B, C + K] hold u, then the logits of all
choices one after the other; value, log_prob, advantage A, returns R, old_value and weight w [B];
log_std [C]. What was done: taken [B, C] and chosen int64 [B, G], with allowed bool [B, K] or None.

The loss is a number that everything else only flows into, so its gradients by the network's outputs
are the result, and `torch.autograd.backward` goes on from there: some fifty small operations
become one call. Backends: `native` (csrc/nn/surrogate.h: float32, the same on every thread) and
`torch` (any floating dtype and device). Knows torch and the core; no
networks and no rollouts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from metabonk import _core
from metabonk.ops.library import choose, define, differentiate_never, expect, refusal, together

Backend = Literal["auto", "native", "torch"]
STATISTICS = ("loss_policy", "loss_value", "entropy", "kl", "clip_fraction")
FORBIDDEN = -1e9  # finite, so that p log p of a forbidden choice is 0 and not NaN
HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


class Columns(NamedTuple):
    """Continuous columns: half the range and its middle (1 and 0 where there is none), whether it
    is bounded; each [C], the last bool."""

    half: Tensor
    middle: Tensor
    bounded: Tensor


class Done(NamedTuple):
    """What was done: taken [B, C], chosen int64 [B, G], allowed bool [B, K] or None for all."""

    taken: Tensor
    chosen: Tensor
    allowed: Tensor | None


class Outcome(NamedTuple):
    """How it turned out, each [B]: log-probability then, advantage, return, value then, weight."""

    log_prob: Tensor
    advantage: Tensor
    returns: Tensor
    old_value: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Terms:
    """Numbers of the loss; value_clip 0 for none. share: what a weight of 1 counts."""

    clip: float
    value_clip: float
    value_coef: float
    entropy_coef: float
    share: float


class Slopes(NamedTuple):
    """Gradients of the loss, and `STATISTICS` [5]: weighted and shared as the loss is. `kl` is
    Schulman's estimator k3, r - 1 - log r, never negative; `clip_fraction` where |r - 1| > clip."""

    parameters: Tensor
    value: Tensor
    log_std: Tensor
    statistics: Tensor


def backends() -> tuple[str, ...]:
    """What can run here, the one that is taken first in front."""
    return ("native", "torch")


def reference(
    parameters: Tensor,
    value: Tensor,
    log_std: Tensor,
    columns: Columns,
    sizes: Sequence[int],
    done: Done,
    outcome: Outcome,
    terms: Terms,
) -> tuple[Tensor, Tensor]:
    """The loss as torch writes it, differentiable, and the statistics."""
    wide = len(log_std)
    mean = torch.where(columns.bounded, torch.tanh(parameters[:, :wide]), parameters[:, :wide])
    normal = (done.taken - columns.middle - columns.half * mean) / (columns.half * log_std.exp())
    constant = HALF_LOG_TAU + log_std + columns.half.log()
    log_prob = (-0.5 * normal.square() - constant).sum(-1)
    entropy = (0.5 + constant).sum().expand(len(value))
    logits = parameters[:, wide:]
    if done.allowed is not None:
        logits = torch.where(done.allowed, logits, FORBIDDEN)
    for part, choice in zip(
        torch.split(logits, list(sizes), 1), done.chosen.unbind(1), strict=True
    ):
        log_p = part.log_softmax(1)
        log_prob = log_prob + log_p.gather(1, choice[:, None])[:, 0]
        entropy = entropy - (log_p.exp() * log_p).sum(1)
    log_ratio = log_prob - outcome.log_prob
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1.0 - terms.clip, 1.0 + terms.clip)
    gain = torch.minimum(ratio * outcome.advantage, clipped * outcome.advantage)
    error = (value - outcome.returns).square()
    if terms.value_clip:
        moved = (value - outcome.old_value).clamp(-terms.value_clip, terms.value_clip)
        error = torch.maximum(error, (outcome.old_value + moved - outcome.returns).square())
    objective = gain - 0.5 * terms.value_coef * error + terms.entropy_coef * entropy
    kl = ratio - 1.0 - log_ratio
    far = ((ratio - 1.0).abs() > terms.clip).to(ratio.dtype)
    each = torch.stack([-gain, 0.5 * error, entropy, kl, far]).detach()
    loss = -terms.share * torch.dot(objective, outcome.weight)
    return loss, terms.share * (each @ outcome.weight)


def surrogate(
    parameters: Tensor,
    value: Tensor,
    log_std: Tensor,
    columns: Columns,
    sizes: Sequence[int],
    done: Done,
    outcome: Outcome,
    terms: Terms,
    *,
    backend: Backend = "auto",
) -> Slopes:
    """See the module; nothing is differentiated, whatever wants a gradient.

    sizes: possibilities of each choice, G of them with sum K. Raises ValueError for shapes or
    dtypes that do not fit, IndexError for a `chosen` that is out of range, BackendError if
    `backend` cannot take these tensors.
    """
    everything = {"parameters": parameters, "value": value, "log_std": log_std}
    together(
        "surrogate",
        {**everything, **columns._asdict(), **done._asdict(), **outcome._asdict()},
    )
    numbers = terms.clip, terms.value_clip, terms.value_coef, terms.entropy_coef, terms.share
    found = _OP(
        parameters, value, log_std, *columns, list(sizes), *done, *outcome, *numbers, backend
    )
    return Slopes(*found)


def _check(
    parameters: Tensor,
    value: Tensor,
    log_std: Tensor,
    columns: Columns,
    sizes: Sequence[int],
    done: Done,
    outcome: Outcome,
) -> None:
    dtype = value.dtype
    expect("surrogate", "value", value, (-1,), dtype)
    expect("surrogate", "log_std", log_std, (-1,), dtype)
    rows, wide, logits = len(value), len(log_std), sum(sizes)
    if not dtype.is_floating_point or min(sizes, default=1) < 1:
        raise ValueError(
            f"surrogate: value of {dtype} and sizes {list(sizes)}; wanted a floating value and "
            "sizes of 1 or more"
        )
    for name, tensor in {"half": columns.half, "middle": columns.middle}.items():
        expect("surrogate", name, tensor, (wide,), dtype)
    expect("surrogate", "bounded", columns.bounded, (wide,), torch.bool)
    expect("surrogate", "parameters", parameters, (rows, wide + logits), dtype)
    expect("surrogate", "taken", done.taken, (rows, wide), dtype)
    expect("surrogate", "chosen", done.chosen, (rows, len(sizes)), torch.int64)
    if done.allowed is not None:
        expect("surrogate", "allowed", done.allowed, (rows, logits), torch.bool)
    for name, tensor in outcome._asdict().items():
        expect("surrogate", name, tensor, (rows,), dtype)


def _refusal(
    parameters: Tensor, value: Tensor, log_std: Tensor, columns: Columns, done: Done, out: Outcome
) -> str:
    """Why `native` cannot take these, or ""."""
    floats = {"parameters": parameters, "value": value, "log_std": log_std, "taken": done.taken}
    floats |= {"half": columns.half, "middle": columns.middle, **out._asdict()}
    flags = {"bounded": columns.bounded, "allowed": done.allowed}
    reason = refusal(floats) or refusal(flags, torch.bool)
    reason = reason or refusal({"chosen": done.chosen}, torch.int64)
    if not reason and parameters.shape[1] > _core.nn.SURROGATE_OUTPUTS:
        most = _core.nn.SURROGATE_OUTPUTS
        reason = f"parameters of {parameters.shape[1]} outputs, wanted {most} or fewer"
    return reason


def _surrogate(
    parameters: Tensor,
    value: Tensor,
    log_std: Tensor,
    half: Tensor,
    middle: Tensor,
    bounded: Tensor,
    sizes: list[int],
    taken: Tensor,
    chosen: Tensor,
    allowed: Tensor | None,
    log_prob: Tensor,
    advantage: Tensor,
    returns: Tensor,
    old_value: Tensor,
    weight: Tensor,
    clip: float,
    value_clip: float,
    value_coef: float,
    entropy_coef: float,
    share: float,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    columns, done = Columns(half, middle, bounded), Done(taken, chosen, allowed)
    outcome = Outcome(log_prob, advantage, returns, old_value, weight)
    terms = Terms(clip, value_clip, value_coef, entropy_coef, share)
    _check(parameters, value, log_std, columns, sizes, done, outcome)
    why_not = _refusal(parameters, value, log_std, columns, done, outcome)
    if choose("surrogate", backend, backends(), why_not) == "torch":
        return _torch_surrogate(parameters, value, log_std, columns, sizes, done, outcome, terms)
    out = _fake(parameters, value, log_std)
    inputs = (parameters, value, log_std, half, middle, bounded, allowed, taken, chosen, *outcome)
    _core.nn.surrogate(
        len(value),
        len(log_std),
        sizes,
        [0 if t is None else t.data_ptr() for t in inputs],
        [clip, value_clip, value_coef, entropy_coef, share],
        [t.data_ptr() for t in out],
    )
    return out


def _torch_surrogate(
    parameters: Tensor,
    value: Tensor,
    log_std: Tensor,
    columns: Columns,
    sizes: Sequence[int],
    done: Done,
    outcome: Outcome,
    terms: Terms,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of `reference` by hand: autograd does not reach into an op."""
    size = torch.tensor(list(sizes), device=done.chosen.device)
    outside = ((done.chosen < 0) | (done.chosen >= size)).any(1).nonzero()
    if len(outside):
        raise IndexError(f"surrogate: chosen[{int(outside[0])}] is no choice of its size")
    wide, weight = len(log_std), terms.share * outcome.weight
    mean = torch.where(columns.bounded, torch.tanh(parameters[:, :wide]), parameters[:, :wide])
    normal = (done.taken - columns.middle - columns.half * mean) / (columns.half * log_std.exp())
    slope = torch.where(columns.bounded, 1.0 - mean.square(), 1.0) / log_std.exp()
    constant = HALF_LOG_TAU + log_std + columns.half.log()
    log_prob = (-0.5 * normal.square() - constant).sum(-1)
    entropy = (0.5 + constant).sum().expand(len(value))
    logits = parameters[:, wide:]
    if done.allowed is not None:
        logits = torch.where(done.allowed, logits, FORBIDDEN)
    choices = []
    for part, choice in zip(
        torch.split(logits, list(sizes), 1), done.chosen.unbind(1), strict=True
    ):
        log_p = part.log_softmax(1)
        disorder = -(log_p.exp() * log_p).sum(1)
        log_prob = log_prob + log_p.gather(1, choice[:, None])[:, 0]
        entropy = entropy + disorder
        choices.append((log_p, disorder, choice))
    log_ratio = log_prob - outcome.log_prob
    pull, d_value, statistics = _weighed(log_ratio, entropy, value, outcome, terms, weight)
    d_means = pull[:, None] * normal * slope
    spread = pull[:, None] * (normal.square() - 1.0) - terms.entropy_coef * weight[:, None]
    calm = terms.entropy_coef * weight[:, None]
    parts = [d_means]
    for log_p, disorder, choice in choices:
        d_logits = log_p.exp() * (calm * (log_p + disorder[:, None]) - pull[:, None])
        parts.append(d_logits.scatter_add(1, choice[:, None], pull[:, None]))
    return torch.cat(parts, 1), d_value, spread.sum(0), statistics


def _weighed(
    log_ratio: Tensor,
    entropy: Tensor,
    value: Tensor,
    outcome: Outcome,
    terms: Terms,
    weight: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """How the loss pulls at each log-probability and each value [B], and the statistics."""
    ratio, advantage = log_ratio.exp(), outcome.advantage
    low, high = 1.0 - terms.clip, 1.0 + terms.clip
    # What is not a number is on no side of a bound, and stays what it is.
    flat = ((advantage > 0.0) & (ratio > high)) | ((advantage < 0.0) & (ratio < low))
    pull = torch.where(flat, 0.0, -weight * ratio * advantage)
    gain = torch.minimum(ratio * advantage, ratio.clamp(low, high) * advantage)
    off = value - outcome.returns
    error, slope = off.square(), 2.0 * off
    if terms.value_clip:
        moved = value - outcome.old_value
        held = moved.clamp(-terms.value_clip, terms.value_clip)
        other = (outcome.old_value + held - outcome.returns).square()
        larger = (held != moved) & (other > error)
        error, slope = torch.where(larger, other, error), torch.where(larger, 0.0, slope)
    far = ((ratio - 1.0).abs() > terms.clip).to(ratio.dtype)
    each = torch.stack([-gain, 0.5 * error, entropy, ratio - 1.0 - log_ratio, far])
    return pull, weight * 0.5 * terms.value_coef * slope, each @ weight


def _fake(
    parameters: Tensor, value: Tensor, log_std: Tensor, *_: object
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    slopes = torch.empty_like(parameters), torch.empty_like(value), torch.empty_like(log_std)
    return *slopes, value.new_empty(len(STATISTICS))


_OP = define(
    "surrogate(Tensor parameters, Tensor value, Tensor log_std, Tensor half, Tensor middle, "
    "Tensor bounded, int[] sizes, Tensor taken, Tensor chosen, Tensor? allowed, Tensor log_prob, "
    "Tensor advantage, Tensor returns, Tensor old_value, Tensor weight, float clip, "
    "float value_clip, float value_coef, float entropy_coef, float share, str backend) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
    _surrogate,
    _fake,
)
differentiate_never("surrogate")
