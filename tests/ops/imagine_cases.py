"""Dreams for the tests of `imagine`: models, actors and starts of any size from one seed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import torch
from rssm_cases import Size, classes_of, problem
from torch import Tensor

from metabonk.ops import imagine as op
from metabonk.ops.rssm_weights import RssmWeights

NAMES = ("deter", "stoch", "noise", "action_noise")
GIVEN = ("deter", "stoch", "prior", "action", "log_prob", "policy")  # what has gradients


class Case(NamedTuple):
    size: Size  # steps is H
    layers: tuple[int, ...]  # hidden units of the actor
    squashed: bool


CASES = [
    Case(Size(1, 1, 2, 0, 1, 1, 1, 2), (), False),
    Case(Size(4, 5, 3, 0, 9, 7, 4, 5), (6,), False),
    Case(Size(3, 50, 5, 0, 33, 20, 3, 8), (17, 64, 9), True),
    Case(Size(3, 7, 4, 0, 9, 11, 6, 0), (40, 8), False),
    Case(Size(5, 101, 1, 0, 70, 65, 5, 0), (), True),
]


class Start(NamedTuple):
    """The arguments of `imagine` in order."""

    deter: Tensor
    stoch: Tensor
    noise: Tensor
    action_noise: Tensor
    weights: RssmWeights
    actor: list[tuple[Tensor, Tensor]]


def start(case: Case, dtype: torch.dtype = torch.float32) -> Start:
    p = problem(case.size, dtype)
    generator = torch.Generator().manual_seed(4)
    steps, batch, action = case.size[:3]
    widths = [p.deter.shape[1] + p.stoch.shape[1], *case.layers]
    widths.append(2 * action if case.squashed else action)
    actor = []
    for inputs, outputs in pairwise(widths):
        weight = torch.randn(outputs, inputs, generator=generator) * inputs**-0.5
        actor.append((weight.to(dtype), torch.randn(outputs, generator=generator).to(dtype) * 0.1))
    draw = torch.randn if case.squashed else torch.rand
    noise = draw(steps, batch, action if case.squashed else 1, generator=generator).to(dtype)
    return Start(p.deter, p.stoch, p.noise, noise, p.weights, actor)


def double(given: Start) -> Start:
    weights = RssmWeights(*(None if w is None else w.double() for w in given.weights))  # type: ignore[arg-type]
    actor = [(w.double(), b.double()) for w, b in given.actor]
    state = given.stoch.double() if given.stoch.is_floating_point() else given.stoch
    noises = (given.noise.double(), given.action_noise.double())
    return Start(given.deter.double(), state, *noises, weights, actor)


def settings(case: Case) -> dict[str, Any]:
    return {"squashed": case.squashed, "classes": case.size.classes}


def fresh(given: Start, dtype: torch.dtype | None = None) -> Start:
    """Copies, of another float dtype if asked, whose leaves want gradients."""

    def copy(t: Tensor, leaf: bool = True) -> Tensor:
        if not t.is_floating_point():
            return t
        return t.detach().to(dtype or t.dtype, copy=True).requires_grad_(leaf)

    weights = RssmWeights(*map(copy, given.weights.prior().given()))
    actor = [(copy(w), copy(b)) for w, b in given.actor]
    noises = copy(given.noise, False), copy(given.action_noise, False)
    return Start(copy(given.deter), copy(given.stoch), *noises, weights, actor)


def leaves_of(given: Start) -> list[Tensor]:
    state = [t for t in (given.deter, given.stoch) if t.is_floating_point()]
    return [*state, *given.weights.given(), *(t for layer in given.actor for t in layer)]


def with_gradients(
    run: Any,
    given: Start,
    dtype: torch.dtype | None = None,
    of: tuple[str, ...] = GIVEN,
    **more: Any,
) -> tuple[op.Dream, list[Tensor]]:
    """A dream, and the gradients of a fixed sum over some of its results."""
    given = fresh(given, dtype)
    dream = run(*given, **more)
    generator = torch.Generator().manual_seed(9)
    loss = torch.zeros((), dtype=given.deter.dtype)
    for name in GIVEN:
        pull = torch.randn(getattr(dream, name).shape, generator=generator)
        if name in of:
            loss = loss + (getattr(dream, name) * pull.to(loss.dtype)).sum()
    found = torch.autograd.grad(loss, leaves_of(given), allow_unused=True)
    zeros = [torch.zeros_like(t) for t in leaves_of(given)]
    return dream, [z if g is None else g for g, z in zip(found, zeros, strict=True)]


def exact_gradients(given: Start, case: Case, dream: op.Dream, **more: Any) -> list[Tensor]:
    """The formula's in float64, which takes the same classes and choices."""
    choice = None if case.squashed else dream.action.detach().argmax(-1, keepdim=True).int()
    return with_gradients(
        op.reference, given, torch.float64, **settings(case), index=dream.indices, choice=choice,
        **more,
    )[1]  # fmt: skip


def starts_of(case: Case) -> list[Start]:
    """From numbers, and of categoricals also from classes."""
    numbers = start(case)
    if not case.size.classes:
        return [numbers]
    return [numbers, numbers._replace(stoch=classes_of(case.size))]
