"""Suite `ops`, radar: what is around the player as sums over sectors and rings, for one game as the
play loop has it and for a batch of rollouts; against the formula in torch and torch.compile.
"""

from __future__ import annotations

from typing import Any

from .agreement import agreeing
from .case import Case
from .meter import Timed
from .ops_cfc import OneThread
from .peers import require
from .peers.compiled import compiled
from .versus import Contender

THINGS, FEATURES = 64, 8
RINGS, REACH = (0.05, 0.15, 0.35, 0.8), 0.8  # as the arena's pilot has them
BATCHES = (1, 256)


def cases() -> list[Case]:
    return [_case(batch) for batch in BATCHES]


def _case(batch: int) -> Case:
    return Case(
        "ops",
        f"radar {batch} x {THINGS} things, {len(RINGS)} rings",
        "calls/s",
        Contender("metabonk", lambda: OneThread(_meter(batch, "native"))),
        (
            Contender("torch", lambda: OneThread(_meter(batch, "torch"))),
            Contender("torch.compile", lambda: OneThread(_meter(batch, "compiled"))),
        ),
    )


def _meter(batch: int, way: str) -> Timed:
    """A quarter of the things are none."""
    torch = require("torch", "train")
    from metabonk.ops import radar

    random = torch.Generator().manual_seed(0)
    rows = 0.4 * torch.randn(batch, THINGS, FEATURES, generator=random)
    mask = torch.rand(batch, THINGS, generator=random) < 0.75
    formula: Any = compiled(radar.reference) if way == "compiled" else radar.reference

    def run() -> Any:
        with torch.inference_mode():
            if way == "native":
                return [radar.radar(rows, mask, RINGS, REACH, "native")]
            return [formula(rows, mask, RINGS, REACH)]

    return agreeing(way, Timed(run, 1.0), [radar.reference(rows, mask, RINGS, REACH)])
