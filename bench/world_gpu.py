"""Suite `world` on a GPU: the same whole updates at 12 million parameters, in steps of sequences.

Against the same model and loss in torch, eager and compiled with CUDA graphs, and against the same
with TorchRL's recurrent part (peers/). Where there is no GPU the cases say so and nothing is timed.
"""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable
from typing import Any

from .case import Case, Evidence
from .meter import Meter, Timed
from .peers import require
from .versus import AbsentError, Contender
from .world import ALIKE, BATCH, LENGTH, SECONDS, problem

# Units of every layer with which the model has 12 million parameters.
UNITS = {"grid64/ice_slide": 720, "arena": 816}
GROUP = "gpu"
WARM_UPDATES = 12  # in which compilers compile, and graphs are recorded
PROOF = 4  # updates that have to lose alike: graphs are recorded in the second


def cases() -> list[Case]:
    return [_case(game) for game in UNITS]


def _case(game: str) -> Case:
    def opened(way: Callable[[str, str], Any]) -> Callable[[], Meter]:
        def run() -> Meter:
            device = gpu()
            learner, (sequences, _) = way(game, device), sized(game)
            try:
                for _ in range(WARM_UPDATES):
                    learner.update(sequences)
            except RuntimeError as error:  # no memory, or no compiler for what torch generates
                why = " ".join(str(error).split())[:300]
                raise AbsentError(f"it cannot be had on this device: {why}") from error
            return Timed(lambda: learner.update(sequences), BATCH * LENGTH, seconds=SECONDS)

        return run

    return Case(
        "world",
        f"update, {game}, 12 M parameters, {BATCH} x {LENGTH} steps, a GPU",
        "steps/s",
        Contender("metabonk", opened(ours)),
        (
            Contender("torch", opened(eager)),
            Contender("torch.compile, graphs", opened(compiled)),
            Contender("TorchRL", opened(torchrl)),
        ),
        evidence=lambda mine, other: lose_alike(game, gpu()),
        group=GROUP,
    )


def gpu() -> str:
    """The device. Raises AbsentError where there is none."""
    torch = require("torch", "train")
    if not torch.cuda.is_available():
        raise AbsentError(f"torch {torch.__version__} finds no CUDA device")
    return "cuda"


def sized(game: str) -> tuple[Any, Any]:
    return problem(game, UNITS[game])


@functools.cache
def _apart(game: str, device: str) -> tuple[float, int]:
    """How far the losses of ours and of the compiled one are from torch's over some updates, and
    the parameters."""
    sequences, (model, _) = sized(game)

    def told(way: Callable[[str, str], Any]) -> list[dict[str, float]]:
        learner = way(game, device)
        return [learner.update(sequences)[0] for _ in range(PROOF)]

    right, found = told(eager), [told(ours)]
    with contextlib.suppress(RuntimeError):
        found.append(told(compiled))
    apart = max(
        abs(mine[key] - other[key]) / max(abs(other[key]), 1.0)
        for one in found
        for mine, other in zip(one, right, strict=True)
        for key in other
    )
    return apart, sum(p.numel() for p in model.parameters())


def lose_alike(game: str, device: str) -> Evidence:
    """As world.lose_alike, of all but TorchRL's, which draws for itself. What the compiler cannot
    have on this device stands in no row, and is left out."""
    apart, count = _apart(game, device)
    note = (
        f"{count:,} parameters; losses of {PROOF} updates differ by {apart:.1e} at most; those of "
        "TorchRL, which draws for itself, are not compared"
    )
    return Evidence(apart <= ALIKE, note)


def ours(game: str, device: str) -> Any:
    from metabonk.learn.dreams.world import WorldLearner

    model, config = sized(game)[1]
    return WorldLearner(copy.deepcopy(model).to(device), config, seed=0)


def eager(game: str, device: str) -> Any:
    from .peers.torch_world import TorchLearner, of_torch

    model, config = sized(game)[1]
    return TorchLearner(of_torch(model).to(device), config, seed=0)


def compiled(game: str, device: str) -> Any:
    from .peers.torch_world import of_torch
    from .peers.torch_world_compiled import CompiledLearner

    model, config = sized(game)[1]
    return CompiledLearner(of_torch(model).to(device), config, seed=0)


def torchrl(game: str, device: str) -> Any:
    from .peers.torch_world import TorchLearner
    from .peers.torchrl_world import of_torchrl

    model, config = sized(game)[1]
    return TorchLearner(of_torchrl(model, compiled=True).to(device), config, seed=0)
