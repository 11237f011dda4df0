"""Doors of what works on batches: returns, merges, codes, frames."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from doors import SENTINEL, Arrays, Door, flags, numbers, out
from torch import Tensor

from metabonk.ops import adam, frames, frames_torch, merge, returns, surrogate, vq

raw = torch.ops.metabonk

# returns, merge, vq ----------------------------------------------------------------------------


def rollout(**more: Tensor) -> Arrays:
    ended = {name: flags(4, 3) for name in ("terminated", "truncated", "is_reset")}
    return {
        "reward": numbers(4, 3),
        "value": numbers(5, 3),
        **ended,
        "gamma": numbers(4, 3).sigmoid(),
        **more,
    }


def rollout_back() -> Arrays:
    given = rollout()
    del given["reward"], given["value"]
    return {"the gradient": numbers(4, 3), **given}


def dreams(**more: Tensor) -> Arrays:
    return {
        "reward": numbers(4, 3),
        "value": numbers(5, 3),
        "discount": numbers(4, 3).sigmoid(),
        **more,
    }


def samples() -> Arrays:
    each = ("value", "log_prob", "advantage", "returns", "old_value", "weight")
    return {
        "parameters": numbers(6, 2 + 5),
        "log_std": numbers(2),
        "half": numbers(2).exp(),
        "middle": numbers(2),
        "bounded": flags(2),
        "taken": numbers(6, 2),
        "chosen": torch.ones(6, 2, dtype=torch.int64),
        "allowed": numbers(6, 5) < 9.0,
        **{name: numbers(6) for name in each},
    }


def slopes(a: Arrays) -> object:
    return surrogate.surrogate(
        a["parameters"],
        a["value"],
        a["log_std"],
        surrogate.Columns(a["half"], a["middle"], a["bounded"]),
        [2, 3],
        surrogate.Done(a["taken"], a["chosen"], a["allowed"]),
        surrogate.Outcome(a["log_prob"], a["advantage"], a["returns"], a["old_value"], a["weight"]),
        surrogate.Terms(0.2, 0.3, 0.5, 0.01, 0.1),
        backend="native",
    )


def moments() -> Arrays:
    return {"gradient": numbers(9), **{name: out(9) for name in ("weights", "mean", "square")}}


RETURNS = {
    "adam.step": Door(
        ("adam_step",),
        moments,
        lambda a: adam.step(**a, count=1, rate=0.1, backend="native"),
        ("weights", "mean", "square"),
        follow=("weights",),
    ),
    "adam.clip": Door(
        ("adam_clip",),
        lambda: {"gradient": out(9)},
        lambda a: adam.clip(a["gradient"], 1.0, backend="native"),
        ("gradient",),
    ),
    "surrogate": Door(("surrogate",), samples, slopes, follow=("value", "log_std")),
    "gae": Door(
        ("Gae", "Gae.run"),
        rollout,
        lambda a: returns.gae(**a, gae_lambda=0.9, backend="native"),
        follow=("reward",),
    ),
    "raw gae": Door(
        ("Gae", "Gae.run"),
        rollout,
        lambda a: raw.gae(*a.values(), 1.0, 0.9, "native"),
        follow=("reward",),
    ),
    "raw gae_backward": Door(
        ("Gae.gradient",),
        rollout_back,
        lambda a: raw.gae_backward(*a.values(), 1.0, 0.9, "native"),
        follow=("the gradient",),
    ),
    "plan_gae": Door(
        ("GaePlan", "GaePlan.step"),
        lambda: rollout(out=out(4, 3)),
        lambda a: returns.plan_gae(**a, gae_lambda=0.9),
        ("out",),
        ("reward",),
    ),
    "lambda_returns": Door(
        ("LambdaReturns", "LambdaReturns.run"),
        dreams,
        lambda a: returns.lambda_returns(**a, lambda_=0.9, backend="native"),
        follow=("reward",),
    ),
    "raw lambda_returns": Door(
        ("LambdaReturns", "LambdaReturns.run"),
        dreams,
        lambda a: raw.lambda_returns(*a.values(), 0.9, "native"),
        follow=("reward",),
    ),
    "raw lambda_returns_backward": Door(
        ("LambdaReturns.gradient",),
        lambda: {
            "the gradient": numbers(4, 3),
            "out": numbers(4, 3),
            "value": numbers(5, 3),
            "discount": numbers(4, 3),
        },
        lambda a: raw.lambda_returns_backward(*a.values(), 0.9, "native"),
        follow=("the gradient",),
    ),
    "plan_lambda_returns": Door(
        ("LambdaReturnsPlan", "LambdaReturnsPlan.step"),
        lambda: dreams(out=out(4, 3)),
        lambda a: returns.plan_lambda_returns(**a, lambda_=0.9),
        ("out",),
        ("reward",),
    ),
}


def models(**more: Tensor) -> Arrays:
    return {"models[0]": numbers(9), "models[1]": numbers(9), **more}


def two(arrays: Arrays) -> list[Tensor]:
    return [arrays["models[0]"], arrays["models[1]"]]


MERGE = {
    "merge.weighted": Door(
        ("WeightedPlan", "WeightedPlan.step"),
        models,
        lambda a: merge.weighted(two(a), [0.5, 0.5], backend="native"),
        follow=("models[0]",),
    ),
    "raw merge_weighted": Door(
        ("WeightedPlan", "WeightedPlan.step"),
        models,
        lambda a: raw.merge_weighted(two(a), [0.5, 0.5], "native"),
        follow=("models[0]",),
    ),
    "merge.plan_weighted": Door(
        ("WeightedPlan",),
        lambda: models(out=out(9)),
        lambda a: merge.plan_weighted(two(a), [0.5, 0.5], a["out"]),
        ("out",),
        ("models[0]",),
    ),
    "merge.ties": Door(
        ("TiesPlan", "TiesPlan.step"),
        lambda: models(base=numbers(9)),
        lambda a: merge.ties(a["base"], two(a), backend="native"),
        follow=("base",),
    ),
    "raw merge_ties": Door(
        ("TiesPlan", "TiesPlan.step"),
        lambda: models(base=numbers(9)),
        lambda a: raw.merge_ties(a["base"], two(a), [1.0, 1.0], 2, 1.0, "native"),
        follow=("base",),
    ),
    "merge.plan_ties": Door(
        ("TiesPlan",),
        lambda: models(base=numbers(9), out=out(9)),
        lambda a: merge.plan_ties(a["base"], two(a), out=a["out"]),
        ("out",),
        ("base",),
    ),
}


def codes(**more: Tensor) -> Arrays:
    return {"x": numbers(8, 4), "codebook": numbers(6, 4), **more}


def rows(**more: Tensor) -> Arrays:
    return {"x": numbers(8, 4), "index": torch.arange(8) % 6, **more}


VQ = {
    "vq_lookup": Door(
        ("VqEngine.lookup",), codes, lambda a: vq.vq_lookup(**a, backend="native"), follow=("x",)
    ),
    "raw vq_lookup": Door(
        ("VqEngine.lookup",),
        codes,
        lambda a: raw.vq_lookup(*a.values(), "dot", "native"),
        follow=("x",),
    ),
    "vq_statistics": Door(
        ("VqEngine.accumulate",),
        rows,
        lambda a: vq.vq_statistics(**a, codes=6, backend="native"),
        follow=("x",),
    ),
    "raw vq_statistics": Door(
        ("VqEngine.accumulate",),
        rows,
        lambda a: raw.vq_statistics(*a.values(), 6, "native"),
        follow=("x",),
    ),
    "vq.plan": Door(
        ("VqPlan", "VqPlan.step", "VqPlan.repack"),
        lambda: codes(index=out(8, dtype=torch.int64), quantized=out(8, 4)),
        lambda a: vq.plan(**a),
        ("index", "quantized"),
        ("x",),
    ),
}

# frames ----------------------------------------------------------------------------------------


def frame_doors() -> Iterator[tuple[str, Door]]:
    settings: dict[str, dict[str, Any]] = {"resize": {"height": 3, "width": 4}}
    for name in ("resize", "grey", "flip", "normalise", "rgb_to_nv12", "nv12_to_rgb"):
        entries = (name, "FramePlan.step", *(["Resizer"] if name == "resize" else []))
        more = settings.get(name, {})
        shape = (12, 8) if name == "nv12_to_rgb" else (8, 6, 3)
        given = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        like = getattr(frames, name)(given, **more)

        def arrays(given: Any = given, like: Any = like) -> Arrays:
            return {"frames": given.copy(), "out": np.full_like(like, SENTINEL)}

        for door in (name, f"plan_{name}"):
            call = functools.partial(_with, getattr(frames, door), more)
            yield f"frames.{door}", Door(entries, arrays, call, ("out",), ("frames",))
        traced = functools.partial(
            _with, getattr(frames_torch, name), {**more, "backend": "native"}
        )
        tensors = functools.partial(lambda given: {"frames": torch.from_numpy(given.copy())}, given)
        yield f"frames_torch.{name}", Door(entries, tensors, traced)


def _with(function: Callable[..., Any], more: Mapping[str, Any], arrays: Arrays) -> Any:
    return function(**arrays, **more)


BATCHES: dict[str, Door] = {**RETURNS, **MERGE, **VQ, **dict(frame_doors())}
