"""Judges of points in a square, of which they learned nothing outside: how unsure they are where.

Knows the Q ensemble; does not know motors, games or studies. What a point leads to is judged, too:
each member by its own target, or all by their mean, which is the usual mistake.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from metabonk.learn.optimizer import FlatAdam
from metabonk.models.ensemble import QEnsemble, bootstrap

MEMBERS, ROWS, GAMMA = 5, 2048, 0.5
Way = Literal["own", "shared target", "through the mean"]


def inside(num: int, seed: int) -> Tensor:
    return torch.rand(num, 2, generator=torch.Generator().manual_seed(seed)) * 2.0 - 1.0


def outside(num: int) -> Tensor:
    return inside(num, 9) + 4.0


def learned(
    way: Way,
    *,
    leads_out: bool = False,
    updates: int = 1500,
    hidden: int = 48,
    prior: float = 1.0,
    seed: int = 0,
) -> QEnsemble:
    """Q of points in a square, reward sin(2 x) + y, which lead further in or out of it."""
    torch.manual_seed(seed)
    x = inside(ROWS, 100 * seed)
    after = x + 4.0 if leads_out else 0.5 * x
    reward = torch.sin(2.0 * x[:, 0]) + x[:, 1]
    ensemble = QEnsemble(MEMBERS, 2, hidden, prior=prior)
    optimizer = FlatAdam(ensemble.online)
    mask = torch.from_numpy(bootstrap(MEMBERS, ROWS, seed))
    generator = torch.Generator().manual_seed(100 * seed + 1)
    for update in range(updates):
        rows = torch.randint(0, ROWS, (256,), generator=generator)
        later = ensemble.target(after[rows])
        if way != "own":
            later = later.mean(0, keepdim=True).expand(MEMBERS, -1)
        targets = reward[rows] + GAMMA * later
        if way == "through the mean":
            loss = (ensemble(x[rows]).mean(0) - targets[0]).square().mean()
        else:
            loss = ensemble.losses(x[rows], targets, mask[:, rows]).sum()
        optimizer.zero()
        loss.backward()
        optimizer.clip(10.0)
        optimizer.step(3e-3 * (1.05 - update / updates))
        ensemble.follow(0.02)
    return ensemble


def spread(ensemble: QEnsemble, points: Tensor) -> float:
    with torch.no_grad():
        return float(ensemble.agreed(points)[1].mean())


def ratio(ensemble: QEnsemble) -> float:
    """How many times as unsure it is outside as inside, of points it did not learn from."""
    return spread(ensemble, outside(500)) / spread(ensemble, 0.9 * inside(500, 7))
