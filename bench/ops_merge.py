"""Suite `ops`, merges of flat weights: weighted sums and TIES of three models of 2.5 M numbers,
on one thread, against torch as one writes the formulas; and reading them all once.
"""

from __future__ import annotations

from typing import Any

from . import peaks
from .agreement import agreeing
from .case import Case
from .meter import Timed
from .ops_cfc import OneThread
from .peers import require
from .peers.compiled import compiled
from .versus import Contender

SIZE, MODELS = 2_500_000, 3
WEIGHTS = [0.5, 0.3, 0.2]
DENSITY = 0.2


def cases() -> list[Case]:
    size = f"{MODELS} x {SIZE / 1e6:g} M"
    return [
        Case(
            "ops",
            f"merge, weighted, {size}",
            "merges/s",
            Contender("metabonk", lambda: OneThread(_weighted())),
            (
                Contender("torch, one after the other", lambda: OneThread(_torch_weighted())),
                Contender("torch, formula", lambda: OneThread(_weighted_formula())),
                Contender("torch.compile", lambda: OneThread(_weighted_formula(compile_=True))),
                Contender("floor", lambda: peaks.reads(MODELS * SIZE)),
            ),
        ),
        Case(
            "ops",
            f"merge, TIES, {size}",
            "merges/s",
            Contender("metabonk", lambda: OneThread(_ties())),
            (
                Contender("torch, formula", lambda: OneThread(_ties_formula())),
                Contender("torch.compile", lambda: OneThread(_ties_formula(compile_=True))),
                # Three passes for the edges of every model, two to elect and to merge.
                Contender("floor", lambda: peaks.reads((MODELS * 2 * 3 + (MODELS + 1) * 2) * SIZE)),
            ),
        ),
    ]


def _tensors() -> tuple[Any, list[Any]]:
    torch = require("torch", "train")
    generator = torch.Generator().manual_seed(0)
    base, *moves = (torch.randn(SIZE, generator=generator) for _ in range(1 + MODELS))
    return base, [base + 0.1 * move for move in moves]


def _wanted(ties: bool) -> list[Any]:
    from metabonk.ops import merge

    base, models = _tensors()
    if ties:
        return [merge.ties_reference(base, models, WEIGHTS, round(DENSITY * SIZE), 1.0)]
    return [merge.weighted_reference(models, WEIGHTS)]


def _weighted() -> Timed:
    from metabonk.ops import merge

    plan = merge.plan_weighted(_tensors()[1], WEIGHTS)
    return agreeing("plan", Timed(plan.step, 1.0), _wanted(ties=False), got=lambda: [plan.out])


def _torch_weighted() -> Timed:
    """As model soups do it: into one tensor, without a stack of all."""
    torch = require("torch", "train")
    _, models = _tensors()

    def run() -> Any:
        out = torch.mul(models[0], WEIGHTS[0])
        for model, weight in zip(models[1:], WEIGHTS[1:], strict=True):
            out.add_(model, alpha=weight)
        return [out]

    return agreeing("torch", Timed(run, 1.0), _wanted(ties=False))


def _weighted_formula(*, compile_: bool = False) -> Timed:
    from metabonk.ops import merge

    _, models = _tensors()
    run = compiled(merge.weighted_reference) if compile_ else merge.weighted_reference
    return agreeing("torch", Timed(lambda: [run(models, WEIGHTS)], 1.0), _wanted(ties=False))


def _ties() -> Timed:
    from metabonk.ops import merge

    base, models = _tensors()
    plan = merge.plan_ties(base, models, density=DENSITY, weights=WEIGHTS)
    return agreeing("plan", Timed(plan.step, 1.0), _wanted(ties=True), got=lambda: [plan.out])


def _ties_formula(*, compile_: bool = False) -> Timed:
    from metabonk.ops import merge

    base, models = _tensors()
    keep = round(DENSITY * SIZE)
    run = compiled(merge.ties_reference) if compile_ else merge.ties_reference
    return agreeing(
        "torch", Timed(lambda: [run(base, models, WEIGHTS, keep, 1.0)], 1.0), _wanted(ties=True)
    )
