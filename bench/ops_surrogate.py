"""Suite `ops`, PPO's loss: its gradients by the network's outputs, over actions as the arena's,
against the formula under autograd and torch.compile.
"""

from __future__ import annotations

from typing import Any

from .case import Case
from .meter import Timed
from .ops_cfc import OneThread
from .peers import require
from .peers.compiled import compiled
from .versus import Contender

ROWS = 4096  # samples of a piece
COLUMNS = 2  # continuous
SIZES = (2, 2, 2, 2, 2, 17, 33)  # choices


def cases() -> list[Case]:
    return [
        Case(
            "ops",
            f"surrogate {ROWS}, {COLUMNS} columns, {len(SIZES)} choices",
            "batches/s",
            Contender("metabonk", lambda: OneThread(_surrogate())),
            (
                Contender("torch", lambda: OneThread(_autograd(compile_=False))),
                Contender("torch.compile", lambda: OneThread(_autograd(compile_=True))),
            ),
        )
    ]


def _given() -> Any:
    torch = require("torch", "train")
    from metabonk.ops.surrogate import Columns, Done, Outcome, Terms

    random = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=random)

    chosen = torch.stack([torch.randint(s, (ROWS,), generator=random) for s in SIZES], 1)
    flag = torch.ones(COLUMNS, dtype=torch.bool)
    return (
        normal(ROWS, COLUMNS + sum(SIZES)),
        normal(ROWS),
        normal(COLUMNS),
        Columns(torch.ones(COLUMNS), torch.zeros(COLUMNS), flag),
        SIZES,
        Done(normal(ROWS, COLUMNS), chosen, torch.ones(ROWS, sum(SIZES), dtype=torch.bool)),
        Outcome(normal(ROWS) - 12.0, *(normal(ROWS) for _ in range(3)), torch.ones(ROWS)),
        Terms(clip=0.2, value_clip=0.0, value_coef=0.5, entropy_coef=0.01, share=1.0 / ROWS),
    )


def _surrogate() -> Timed:
    from metabonk.ops import surrogate

    given = _given()
    return Timed(lambda: surrogate.surrogate(*given, backend="native"), 1)


def _autograd(*, compile_: bool) -> Timed:
    torch = require("torch", "train")
    from metabonk.ops import surrogate

    *leaves, columns, sizes, done, outcome, terms = _given()
    for leaf in leaves:
        leaf.requires_grad_()
    run = compiled(surrogate.reference) if compile_ else surrogate.reference

    def step() -> None:
        loss, _ = run(*leaves, columns, sizes, done, outcome, terms)
        torch.autograd.grad(loss, leaves)

    return Timed(step, 1)
