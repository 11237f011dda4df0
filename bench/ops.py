"""Suite `ops`: operations of `metabonk.ops` against what torch offers, forward and backward."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

from . import (
    ops_adam,
    ops_cfc,
    ops_frames,
    ops_merge,
    ops_qlinear,
    ops_radar,
    ops_returns,
    ops_rssm,
    ops_surrogate,
    ops_vq,
)
from .agreement import agreeing
from .case import Case
from .meter import Timed
from .peers import require
from .peers.compiled import compiled
from .versus import AbsentError, Contender

# rows, inputs, outputs: of PPO on CartPole's hidden and input layers, and of the arena's encoder.
DENSE = ((4096, 64, 64), (4096, 4, 64), (4096, 600, 128))


Way = Literal["native", "torch", "reference", "compiled"]


def cases() -> list[Case]:
    return [
        *(_dense(*shape) for shape in DENSE),
        *ops_cfc.cases(),
        *ops_rssm.cases(),
        *ops_vq.cases(),
        *ops_returns.cases(),
        *ops_surrogate.cases(),
        *ops_adam.cases(),
        *ops_merge.cases(),
        *ops_frames.cases(),
        *ops_qlinear.cases(),
        *ops_radar.cases(),
    ]


def _dense(rows: int, inputs: int, outputs: int) -> Case:
    return Case(
        "ops",
        f"dense {rows}x{inputs}x{outputs}",
        "rows/s",
        Contender("metabonk", lambda: dense(rows, inputs, outputs, "native")),
        (
            Contender("torch", lambda: dense(rows, inputs, outputs, "reference")),
            Contender("torch.compile", lambda: dense(rows, inputs, outputs, "compiled")),
            Contender("torch, one node, fast tanh", lambda: dense(rows, inputs, outputs, "torch")),
        ),
    )


def dense(rows: int, inputs: int, outputs: int, backend: Way) -> Timed:
    """Rows per second, forwards and backwards to every weight and the input."""
    torch = require("torch", "train")
    from metabonk.ops import dense as op

    if backend == "native" and backend not in op.backends():
        raise AbsentError("the native backend needs AVX2")
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, inputs, generator=generator) for n in (rows, outputs))
    bias, dy = torch.randn(outputs, generator=generator), torch.ones(rows, outputs)
    leaves = [t.requires_grad_(inputs >= outputs or t is not x) for t in (bias, x, weight)]
    run = op.reference if backend == "reference" else functools.partial(op.dense, backend=backend)
    if backend == "compiled":
        run = compiled(op.reference)

    def gradients(run: Callable[..., Any]) -> list[Any]:
        for leaf in leaves:
            leaf.grad = None
        torch.autograd.backward(run(bias, [x], [weight]), dy)
        return [leaf.grad for leaf in leaves if leaf.requires_grad]

    wanted = [gradient.clone() for gradient in gradients(op.reference)]
    return agreeing(backend, Timed(lambda: gradients(run), rows), wanted)
