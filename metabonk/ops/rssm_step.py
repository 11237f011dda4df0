"""One step of a recurrent state-space model: `rssm_scan` with T = 1, whose module has the formula,
the shapes without T, the backends and the gradient.

    deter', stoch', prior, posterior, indices =
        rssm_step(deter, stoch, action, embed, keep, noise, weights)

deter [B, D]; stoch float [B, S], or for categoricals int32 [B, G], the classes: those only pick
rows of W_in, where numbers are a product; action [B, A]; embed [B, E], or None for a step without
observation, whose stoch' is a sample of the prior; keep [B, 1] or None; noise [B, G].

`plan` is the door for loops: memory and instruction set bound once, a step is one native call
(rssm_plan.py).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from metabonk.ops import rssm_plan, rssm_torch
from metabonk.ops import rssm_scan as scan
from metabonk.ops.library import define, differentiate, expect_tensors
from metabonk.ops.rssm_plan import PRECISIONS, Plan, Precision
from metabonk.ops.rssm_weights import Distribution, RssmStates, RssmWeights, check

__all__ = [
    "PRECISIONS",
    "Plan",
    "Precision",
    "RssmStates",
    "RssmWeights",
    "backends",
    "plan",
    "reference",
    "rssm_step",
]

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
    expect_tensors("rssm_step", {"action": action})
    check("rssm_step", action.shape[:-1], *tensors, weights, kind)
    saving = scan.recorded(*tensors, *weights)
    return scan.states(_OP(*tensors, weights.given(), *kind, saving, backend), kind)


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
    tensors = (deter, stoch, action, embed, keep, noise)
    kind = Distribution(classes, unimix, min_std)
    return rssm_plan.bound("rssm_step", *tensors, weights, kind, out, precision, backend)


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
