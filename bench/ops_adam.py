"""Suite `ops`, Adam: a clipped step over the flat weights of a network that plays games, against
torch's, flat and over the network's tensors.
"""

from __future__ import annotations

import math
from typing import Any

from .agreement import agreeing
from .case import Case
from .meter import Timed
from .ops_cfc import OneThread
from .peers import require
from .peers.compiled import compiled
from .versus import Contender

SHAPES = ((64, 4), (64,), (64, 64), (64,), (2, 64), (2,)) * 2  # about CartPole's two towers
LONGEST, RATE = 0.5, 1e-3


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
                Contender(
                    "torch.compile, flat", lambda: OneThread(_torch(flat=True, compile_=True))
                ),
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
        adam.step(weights, gradient, mean, square, count=taken, rate=RATE)

    return agreeing("metabonk", Timed(step, 1), _wanted(), got=lambda: [weights])


def _torch(*, flat: bool, compile_: bool = False) -> Timed:
    torch = require("torch", "train")
    shapes: Any = ((_count(),),) if flat else SHAPES
    random = torch.Generator().manual_seed(0)
    gradient, start = (torch.randn(_count(), generator=random) for _ in range(2))
    sizes = [math.prod(shape) for shape in shapes]
    weights = [
        torch.nn.Parameter(part.view(shape).clone())
        for part, shape in zip(start.split(sizes), shapes, strict=True)
    ]
    for tensor, part in zip(weights, gradient.split(sizes), strict=True):
        tensor.grad = part.view(tensor.shape).clone()
    # What is fused already is one call that it would not look into.
    adam = torch.optim.Adam(weights, lr=RATE, fused=not compile_, foreach=compile_)

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(weights, LONGEST)
        adam.step()

    run = compiled(step) if compile_ else step
    return agreeing(
        "torch", Timed(run, 1), _wanted(), got=lambda: [torch.cat([w.flatten() for w in weights])]
    )


def _wanted() -> list[Any]:
    """The weights after the first step, by the definition."""
    torch = require("torch", "train")
    from metabonk.ops import adam

    random = torch.Generator().manual_seed(0)
    gradient, weights, mean, square = (
        torch.randn(_count(), generator=random).double() for _ in range(4)
    )
    adam.clip(gradient, LONGEST, backend="torch")
    adam.step(weights, gradient, mean.zero_(), square.zero_(), count=1, rate=RATE, backend="torch")
    return [weights]
