"""Cases of the CUDA dream. What is sampled decides what follows, so that the reference takes the
kernel's own classes from step to step, and every sample must be one that the kernel's own
probabilities allow."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from metabonk.kernels.architectures import BF16
from metabonk.kernels.cases import Case, Inputs
from metabonk.kernels.cases import cases as kernel_cases
from metabonk.kernels.cost import Cost
from metabonk.kernels.work.imagine import SIZES, SMALL, Size, make, unroll
from torch import Tensor

from metabonk.ops.imagine import imagine
from metabonk.ops.rssm_weights import RssmWeights

TOLERANCE = 0.02  # of states and of what distributions are, by norm
EDGE = 1e-5  # by which rounding moves the edges between classes
WEIGHTS = "w_in", "b_in", "w_ih", "w_hh", "b_ih", "b_hh", "w_prior", "b_prior"


def cases(cuda: Any) -> list[Case]:
    """cuda: metabonk._cuda, which the op calls."""
    costs = {case.name: case.cost for case in kernel_cases(("imagine",))}
    taken = [(size, name) for size, name in zip(SIZES + SMALL, costs, strict=True) if size.classes]
    return [_case(size, name, costs[name]) for size, name in taken]


def _case(size: Size, name: str, cost: Cost) -> Case:
    operations = sum(cost.operations.values())
    return Case(
        "imagine",
        f"cuda {name}",
        functools.partial(_make, size),
        functools.partial(_run, size),
        _reference,
        Cost(cost.read, cost.written, {BF16: operations}),  # one launch
        TOLERANCE,
        size in SMALL,
        judge=functools.partial(_judge, size),
        facts={"classes": size.classes, "squashed": size.continuous},
    )


def _make(size: Size, device: torch.device | str, seed: int) -> Inputs:
    """Weights that bf16 holds, so that the reference rounds as little as the kernel."""
    given = make(size, device, seed)
    return {name: t.bfloat16().float() if name.startswith("w_") else t for name, t in given.items()}


def _run(size: Size, given: Inputs) -> tuple[Tensor, ...]:
    weights = RssmWeights(*(given[n] for n in (*WEIGHTS, "w_prior_out", "b_prior_out")))
    layers = range(len(size.units) + 1)
    actor = [(given[f"w_actor_{i}"], given[f"b_actor_{i}"]) for i in layers]
    starts = (given[name] for name in ("deter", "stoch", "noise", "action_noise"))
    dream = imagine(
        *starts, weights, actor, squashed=size.continuous, classes=size.classes, backend="cuda"
    )
    return tuple(t for t in dream if t is not None)


def _reference(given: Inputs) -> tuple[Tensor, ...]:
    """There is nothing to compare without the samples that `_judge` has."""
    return ()


def _allowed(log_share: Tensor, index: Tensor, u: Tensor) -> bool:
    """Whether classes [..] are those at which the running sum of [.., classes] passes u."""
    running = torch.nn.functional.pad(log_share.double().exp().cumsum(-1), (1, 0))
    at = index.long()[..., None]
    low, high = running.gather(-1, at)[..., 0], running.gather(-1, at + 1)[..., 0]
    return bool(((low - EDGE <= u) & (u <= high + EDGE)).all())


def _judge(size: Size, given: Inputs, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """In units of the tolerance; infinite for a sample that its probabilities do not allow."""
    deter, _, prior, index, action, log_prob, policy = (t.cpu() for t in found)
    choice = None if size.continuous else action.argmax(-1)
    if bool(((index < 0) | (index >= size.classes)).any()):
        return float("inf")
    share = prior.unflatten(-1, (-1, size.classes))
    if not _allowed(share, index, given["noise"].cpu().double()):
        return float("inf")
    if choice is not None and not _allowed(policy, choice, given["action_noise"].cpu()[..., 0]):
        return float("inf")
    exact = unroll(size, given, index, choice)
    errors = [
        float((mine.double() - exact[i]).norm() / exact[i].norm())
        for i, mine in ((0, deter), (2, prior), (4, action), (5, log_prob), (6, policy))
    ]
    worst = max(errors)
    return worst / TOLERANCE if worst == worst else float("inf")
