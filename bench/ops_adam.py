"""Suite `ops`, Adam: a clipped step over the flat weights of a network that plays games, against
torch's, flat and over the network's tensors.
"""

from __future__ import annotations

import math
from typing import Any

from .case import Case
from .meter import Timed
from .ops_cfc import OneThread
from .peers import require
from .versus import Contender

SHAPES = ((64, 4), (64,), (64, 64), (64,), (2, 64), (2,)) * 2  # about CartPole's two towers
LONGEST = 0.5


def cases() -> list[Case]:
    return [
        Case(
            "ops",
            f"adam, clipped, {len(SHAPES)} tensors of {_count():,} numbers",
            "steps/s",
            Contender("metabonk", lambda: OneThread(_ours())),
            (
                Contender("torch fused, flat", lambda: OneThread(_torch(flat=True))),
                Contender("torch fused", lambda: OneThread(_torch(flat=False))),
            ),
        )
    ]


def _count() -> int:
    return sum(math.prod(shape) for shape in SHAPES)


def _ours() -> Timed:
    torch = require("torch", "train")
    from metabonk.ops import adam

    random = torch.Generator().manual_seed(0)
    gradient, weights = (torch.randn(_count(), generator=random) for _ in range(2))
    mean, square = torch.zeros_like(weights), torch.zeros_like(weights)
    taken = 0

    def step() -> None:
        nonlocal taken
        taken += 1
        adam.clip(gradient, LONGEST)
        adam.step(weights, gradient, mean, square, count=taken, rate=1e-3)

    return Timed(step, 1)


def _torch(*, flat: bool) -> Timed:
    torch = require("torch", "train")
    random = torch.Generator().manual_seed(0)
    shapes: Any = ((_count(),),) if flat else SHAPES
    weights = [torch.nn.Parameter(torch.randn(*shape, generator=random)) for shape in shapes]
    for tensor in weights:
        tensor.grad = torch.randn(tensor.shape, generator=random)
    adam = torch.optim.Adam(weights, lr=1e-3, fused=True)

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(weights, LONGEST)
        adam.step()

    return Timed(step, 1)
