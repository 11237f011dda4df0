"""Merges of several models' flat weights: weighted sums, and TIES (Yadav et al. 2023).

    weighted:  out = sum_m w_m x_m
    ties:      t_m  = x_m - base, but for the `density` of largest |t_m| set to 0      (trim)
               s    = sign(sum_m w_m t_m)                                              (elect)
               out  = base + scale * mean_w of the t_m that are not 0 and have sign s  (merge)

base and every model are [P] of one floating dtype; so is the result. Of equally large |t| at the
edge all are kept. Not differentiable: a merge is a step between trainings. It happens once a
generation, so there is no plan. Backends: `native` (csrc/nn/merge.h: float32, a block of all models
at a time) and `torch` (any floating dtype and device). Knows torch and the core; no networks, no
names of parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor

from metabonk import _core
from metabonk.ops.library import choose, define, refusal

Backend = Literal["auto", "native", "torch"]


def backends() -> tuple[str, ...]:
    """What can run here, the one that is taken first in front."""
    return ("native", "torch")


def weighted_reference(models: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The formula as torch writes it."""
    each = models[0].new_tensor(list(weights))
    return (torch.stack(list(models)) * each[:, None]).sum(0)


def ties_reference(
    base: Tensor, models: Sequence[Tensor], weights: Sequence[float], keep: int, scale: float
) -> Tensor:
    """The formula as torch writes it; keep: how many entries of each model are not trimmed."""
    moved = torch.stack(list(models)) - base
    edge = moved.abs().kthvalue(len(base) - keep + 1, -1, keepdim=True).values
    moved = torch.where(moved.abs() >= edge, moved, 0.0)
    mass = base.new_tensor(list(weights))[:, None]
    elected = (mass * moved).sum(0).sign()
    mass = mass * ((moved.sign() == elected) & (moved != 0.0))
    whole = mass.sum(0)
    return base + scale * (mass * moved).sum(0) / torch.where(whole > 0.0, whole, 1.0)


def weighted(
    models: Sequence[Tensor], weights: Sequence[float], *, backend: Backend = "auto"
) -> Tensor:
    """[P]; weights are taken as they are: give ones that sum to 1 for a mean.

    Raises ValueError for no models, or shapes, dtypes or weights that do not fit, BackendError if
    `backend` cannot take these tensors.
    """
    _check("weighted", models, weights)
    return cast(Tensor, _WEIGHTED(list(models), [float(w) for w in weights], backend))


def ties(
    base: Tensor,
    models: Sequence[Tensor],
    *,
    density: float = 0.2,
    scale: float = 1.0,
    weights: Sequence[float] | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """[P]. density: the part of each model's entries that is kept, above 0 and up to 1 (rounded, at
    least one entry); weights: 0 or more, all 1 where not given.

    Raises as `weighted`, and ValueError for a model whose difference from base is not finite.
    """
    weights = [1.0] * len(models) if weights is None else [float(w) for w in weights]
    _check("ties", models, weights, base)
    if not 0.0 < density <= 1.0 or not math.isfinite(scale):
        raise ValueError(
            f"ties: density, scale are {density}, {scale}; wanted above 0 to 1, and a finite one"
        )
    if min(weights) < 0.0:
        raise ValueError(f"ties: weights are {weights}; wanted 0 or more")
    keep = max(1, round(density * len(base)))
    return cast(Tensor, _TIES(base, list(models), weights, keep, scale, backend))


def _check(
    op: str, models: Sequence[Tensor], weights: Sequence[float], base: Tensor | None = None
) -> None:
    if not models:
        raise ValueError(f"{op}: models is empty; wanted one or more")
    if len(weights) != len(models) or not all(math.isfinite(w) for w in weights):
        raise ValueError(f"{op}: weights are {list(weights)}; wanted {len(models)} finite numbers")
    like = models[0] if base is None else base
    name = "models[0]" if base is None else "base"
    if like.dim() != 1 or not like.is_floating_point():
        raise ValueError(f"{op}: {name} is {like.dtype} {list(like.shape)}; wanted a floating [P]")
    for m, model in enumerate(models):
        if model.shape != like.shape or model.dtype != like.dtype:
            raise ValueError(
                f"{op}: models[{m}] is {model.dtype} {list(model.shape)}; "
                f"wanted {like.dtype} {list(like.shape)}"
            )


def _named(models: Sequence[Tensor]) -> dict[str, Tensor | None]:
    return {f"models[{m}]": model for m, model in enumerate(models)}


def _weighted(models: Sequence[Tensor], weights: Sequence[float], backend: str) -> Tensor:
    if choose("weighted", backend, backends(), refusal(_named(models))) == "torch":
        return weighted_reference(models, weights)
    out = torch.empty_like(models[0])
    pointers = [model.data_ptr() for model in models]
    _core.nn.merge_weighted(pointers, list(weights), out.numel(), out.data_ptr())
    return out


def _ties(
    base: Tensor,
    models: Sequence[Tensor],
    weights: Sequence[float],
    keep: int,
    scale: float,
    backend: str,
) -> Tensor:
    reason = refusal({"base": base, **_named(models)})
    if choose("ties", backend, backends(), reason) == "torch":
        for m, model in enumerate(models):
            finite = (model - base).isfinite()
            if not finite.all():
                place = int(finite.logical_not().nonzero()[0])
                raise ValueError(f"ties: models[{m}]: entry {place} less base is not finite")
        return ties_reference(base, models, weights, keep, scale) if len(base) else base.clone()
    out = torch.empty_like(base)
    pointers = [model.data_ptr() for model in models]
    _core.nn.merge_ties(
        base.data_ptr(), pointers, list(weights), keep, scale, out.numel(), out.data_ptr()
    )
    return out


def _like_models(models: Sequence[Tensor], *_: object) -> Tensor:
    return models[0].new_empty(models[0].shape)


def _like_base(base: Tensor, *_: object) -> Tensor:
    return base.new_empty(base.shape)


_WEIGHTED = define(
    "merge_weighted(Tensor[] models, float[] weights, str backend) -> Tensor",
    _weighted,
    _like_models,
)
_TIES = define(
    "merge_ties(Tensor base, Tensor[] models, float[] weights, int keep, float scale, str backend) "
    "-> Tensor",
    _ties,
    _like_base,
)
