"""Policies that a policy is drawn towards, and whether what was really earned speaks for them.

Knows action heads, rollouts and advantages; does not know who teaches or how one learns from it.

A teacher that learned elsewhere, in dreams for one, may be wrong about the game. Before it is
heeded its decisions are held against those that were really taken and what came of them:

    promise = mean over steps of (min(pi_teacher(a | s) / pi(a | s), CAP) - 1) A(s, a)

the first-order gain of acting as it would (Kakade and Langford 2002), ratios cut as in Espeholt et
al. 2018. A teacher that has to prove itself counts in an update if its promise exceeds that
estimate's standard error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metabonk.learn.minibatch import Targets
from metabonk.learn.rollout import Rollout
from metabonk.models.heads import ActionHead
from metabonk.protocols import Array

CAP = 2.0  # of the ratio: the product over many branches has no bound of its own
ROWS = 4096  # steps whose probabilities are worked out at once


class Teacher(NamedTuple):
    """A policy to come close to. parameters [T, N, outputs] of its action distribution at every
    step of the rollout, as the network's own head has them; log_std [continuous]; weight of the
    divergence KL(teacher || policy) in the loss; name of the metric that is this divergence.
    proven: it counts only in updates in which its promise is clear. passes: over the rollout, after
    all others, in which coming close to it is all that the policy learns."""

    parameters: Tensor
    log_std: Tensor
    weight: float
    name: str = "distill_kl"
    proven: bool = False
    passes: int = 0


class Promise(NamedTuple):
    """gain: in units of the advantages, per step. error: its standard error."""

    gain: float
    error: float

    @property
    def clear(self) -> bool:
        return self.gain > self.error


def heeded(
    teachers: tuple[Teacher, ...],
    head: ActionHead,
    rollout: Rollout,
    targets: Targets,
    average: Callable[[Array], None],
) -> tuple[tuple[Teacher, ...], dict[str, float]]:
    """The teachers, those without weight whose promise is not clear, and each promise as a metric
    `<name>_promise`. average: over all learners, in place."""
    found: dict[str, float] = {}
    kept = []
    for teacher in teachers:
        if teacher.proven:
            seen = promise(teacher, head, rollout, targets, average)
            found[f"{teacher.name}_promise"] = seen.gain
            teacher = teacher if seen.clear else teacher._replace(weight=0.0)
        kept.append(teacher)
    return tuple(kept), found


@torch.no_grad()
def promise(
    teacher: Teacher,
    head: ActionHead,
    rollout: Rollout,
    targets: Targets,
    average: Callable[[Array], None],
) -> Promise:
    """What acting as the teacher would be worth, by the steps that were learned from."""
    start, stop = rollout.burn_in, rollout.burn_in + rollout.horizon
    parameters = teacher.parameters.flatten(0, 1)
    action = torch.from_numpy(rollout.action[start:stop]).flatten(0, 1)
    mask = rollout.observation.get("action_mask")
    masks = None if mask is None else torch.from_numpy(mask[start:stop]).flatten(0, 1)
    parts = [
        head.log_prob(
            parameters[at : at + ROWS],
            None if masks is None else masks[at : at + ROWS],
            action[at : at + ROWS],
            teacher.log_std,
        )[0]
        for at in range(0, len(action), ROWS)
    ]
    ratio = (torch.cat(parts) - torch.from_numpy(targets.log_prob).flatten()).exp().clamp(max=CAP)
    gain = (ratio - 1.0) * torch.from_numpy(targets.advantage).flatten()
    valid = gain[torch.from_numpy(targets.valid).flatten()].double()
    sums = np.array([len(valid), float(valid.sum()), float(valid.square().sum())])
    average(sums)
    size, total, squares = sums.tolist()
    if size < 2.0:
        return Promise(0.0, math.inf)
    mean = total / size
    return Promise(mean, math.sqrt(max(squares / size - mean * mean, 0.0) / size))
