"""Merges of several models' flat weights: weighted sums, and TIES (Yadav et al. 2023).

    weighted:  out = sum_m w_m x_m
    ties:      t_m  = x_m - base, but for the `density` of largest |t_m| set to 0      (trim)
               s    = sign(sum_m w_m t_m)                                              (elect)
               out  = base + scale * mean_w of the t_m that are not 0 and have sign s  (merge)

base and every model are [P] of one floating dtype; so is the result. Of equally large |t| at the
edge all are kept. Not differentiable: a merge is a step between trainings. Backends: `native`
(csrc/nn/merge.h: float32, a block of all models at a time, the same bits on every tier) and `torch`
(any floating dtype and device). Knows torch and the core; no networks, no names of parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor

from metabonk import _core
from metabonk.ops.library import (
    bind,
    choose,
    define,
    differentiate_never,
    expect,
    expect_tensors,
    overlap,
    refusal,
    together,
)
from metabonk.ops.ranges import stepping

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
    weights, keep = _check_ties(base, models, density, scale, weights)
    return cast(Tensor, _TIES(base, list(models), weights, keep, scale, backend))


class Plan:
    """A merge whose memory is bound: `step()` is one native call that allocates nothing and takes
    what models and base hold then. What is bound stays alive, also where only `step` was taken.
    out: where the result goes, [P]."""

    def __init__(self, native: Any, out: Tensor, op: str, models: Sequence[Tensor]) -> None:
        self.out = out
        self.step = stepping(op, _core.nn.merge_kernels, models, native.step)


def plan_weighted(
    models: Sequence[Tensor], weights: Sequence[float], out: Tensor | None = None
) -> Plan:
    """Binds `weighted` to contiguous float32 in main memory, and to out [P], a new tensor if None.

    Raises ValueError that names the argument which cannot be bound; `out` is not touched before the
    first step.
    """
    _check("weighted", models, weights)
    out = _bound_out("weighted", out, _named(models))
    held = *models, out
    bound = _pointers(models), list(weights), len(out), out.data_ptr()
    return Plan(_core.nn.WeightedPlan(*bound, held), out, "weighted", models)


def plan_ties(
    base: Tensor,
    models: Sequence[Tensor],
    *,
    density: float = 0.2,
    scale: float = 1.0,
    weights: Sequence[float] | None = None,
    out: Tensor | None = None,
) -> Plan:
    """Binds `ties` as `plan_weighted` does; `out` may be `base` itself, which is then moved.

    A step raises ValueError for a model whose difference from base is not finite, and leaves `out`
    as it was.
    """
    weights, keep = _check_ties(base, models, density, scale, weights)
    tensors = {**_named(models)} if out is base else {"base": base, **_named(models)}
    bind("ties", {"base": base})
    out = _bound_out("ties", out, tensors)
    native = _core.nn.TiesPlan(
        base.data_ptr(),
        _pointers(models),
        weights,
        keep,
        scale,
        len(base),
        out.data_ptr(),
        (base, *models, out),
    )
    return Plan(native, out, "ties", models)


def _bound_out(op: str, out: Tensor | None, tensors: dict[str, Tensor | None]) -> Tensor:
    """Binds the tensors, and `out`, which may share memory with none of them."""
    bind(op, tensors)
    like = next(t for t in tensors.values() if t is not None)
    if out is None:
        return torch.empty_like(like)
    expect(op, "out", out, like.shape, torch.float32)
    bind(op, {"out": out})
    for name, tensor in tensors.items():
        if tensor is not None and overlap(tensor, out):
            raise ValueError(f"{op}: out shares memory with {name}; wanted memory of its own")
    return out


def _pointers(models: Sequence[Tensor]) -> list[int]:
    return [model.data_ptr() for model in models]


def _check_ties(
    base: Tensor,
    models: Sequence[Tensor],
    density: float,
    scale: float,
    weights: Sequence[float] | None,
) -> tuple[list[float], int]:
    """The weights, and how many entries of each model are kept."""
    each = [1.0] * len(models) if weights is None else [float(w) for w in weights]
    _check("ties", models, each, base)
    if not 0.0 < density <= 1.0 or not math.isfinite(scale):
        raise ValueError(
            f"ties: density, scale are {density}, {scale}; wanted above 0 to 1, and a finite one"
        )
    if min(each) < 0.0:
        raise ValueError(f"ties: weights are {each}; wanted 0 or more")
    return each, max(1, round(density * len(base)))


def _check(
    op: str, models: Sequence[Tensor], weights: Sequence[float], base: Tensor | None = None
) -> None:
    if not models:
        raise ValueError(f"{op}: models is empty; wanted one or more")
    if len(weights) != len(models) or not all(math.isfinite(w) for w in weights):
        raise ValueError(f"{op}: weights are {list(weights)}; wanted {len(models)} finite numbers")
    like = models[0] if base is None else base
    name = "models[0]" if base is None else "base"
    expect_tensors(op, {name: like, **_named(models)})
    if like.dim() != 1 or not like.is_floating_point():
        raise ValueError(f"{op}: {name} is {like.dtype} {list(like.shape)}; wanted a floating [P]")
    together(op, {name: like, **_named(models)})
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
    _check("weighted", models, weights)
    out = torch.empty_like(models[0])
    _core.nn.WeightedPlan(_pointers(models), list(weights), out.numel(), out.data_ptr(), ()).step()
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
    _check("ties", models, weights, base)
    out = torch.empty_like(base)
    native = _core.nn.TiesPlan(
        base.data_ptr(),
        _pointers(models),
        list(weights),
        keep,
        scale,
        len(base),
        out.data_ptr(),
        (),
    )
    native.step()
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
differentiate_never("merge_weighted")
differentiate_never("merge_ties")
