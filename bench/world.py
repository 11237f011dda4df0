"""Suite `world`: whole updates of a world model, 16 sequences of 64 steps: loss, gradient, Adam.

Against the same model and loss in torch (peers/torch_world.py). Sequences are of what a policy that
learned nothing went through, drawn once; drawing them is not measured.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .case import Case, Evidence
from .meter import Meter, Timed
from .ops_cfc import OneThread
from .peers import require
from .versus import Contender

BATCH, LENGTH = 16, 64
# Units of every layer with which the model has 2.5 million parameters.
UNITS = {"grid64/ice_slide": 240, "arena": 320}
PROOF = 3  # updates that have to lose alike
ALIKE = 2e-3  # of a loss; a class drawn otherwise where rounding decides is another sample
SECONDS = 1.0  # of a round: an update takes a good part of the usual


def cases() -> list[Case]:
    from . import world_gpu

    here = [_case(game, one) for game in UNITS for one in (True, False)]
    return here + world_gpu.cases()


def _case(game: str, one_thread: bool) -> Case:
    def opened(way: Callable[[str], Any]) -> Meter:
        learner, (sequences, _) = way(game), problem(game)
        meter = Timed(lambda: learner.update(sequences), 1.0, seconds=SECONDS)
        return OneThread(meter) if one_thread else meter

    threads = "one thread" if one_thread else "all threads"
    return Case(
        "world",
        f"update, {game}, 2.5 M parameters, {BATCH} x {LENGTH} steps, {threads}",
        "updates/s",
        Contender("metabonk", lambda: opened(ours)),
        (Contender("torch", lambda: opened(theirs)),),
        evidence=lambda mine, other: lose_alike(game),
    )


@functools.cache
def problem(game: str, units: int = 0) -> tuple[Any, Any]:
    """Sequences of that game and a world model that learned nothing, of UNITS or so many; the same
    for all."""
    require("torch", "train")
    import numpy as np

    from metabonk.config import load
    from metabonk.learn.presets import preset
    from metabonk.models.world import build

    from .study_world import played

    flags: dict[str, Any] = {"game.name": game, "game.envs": BATCH, "run.torch_threads": 1}
    flags |= {"world.batch": BATCH, "world.sequence": LENGTH}
    flags |= dict.fromkeys(("world.deter", "world.hidden"), units or UNITS[game])
    config = load(environ={}, presets=preset, flags=flags)
    with tempfile.TemporaryDirectory() as directory:
        replay, played_in = played(config, Path(directory), 4 * BATCH * LENGTH, 0)
        played_in.close()
        sequences = replay.draw(BATCH, LENGTH, np.random.default_rng(0))
    model = build(played_in.observation_space, played_in.action_layout, config.world, seed=0)
    return sequences, (model, config.world)


def ours(game: str) -> Any:
    """A learner of ours with a model of its own."""
    import copy

    from metabonk.learn.dreams.world import WorldLearner

    model, config = problem(game)[1]
    return WorldLearner(copy.deepcopy(model), config, seed=0)


def theirs(game: str) -> Any:
    """The peer, from the same weights."""
    from .peers.torch_world import TorchLearner, of_torch

    model, config = problem(game)[1]
    return TorchLearner(of_torch(model), config, seed=0)


def lose_alike(game: str) -> Evidence:
    """Evidence that both do the same work: from the same weights, on the same sequences with the
    same random numbers, every part of the loss is the same after every update."""
    sequences, (model, _) = problem(game)
    learners = ours(game), theirs(game)
    apart = 0.0
    for _ in range(PROOF):
        mine, other = (learner.update(sequences)[0] for learner in learners)
        pairs = ((mine[key], other[key]) for key in other)
        apart = max(apart, *(abs(a - b) / max(abs(b), 1.0) for a, b in pairs))
    count = sum(p.numel() for p in model.parameters())
    note = f"{count:,} parameters; losses of {PROOF} updates differ by {apart:.1e} at most"
    return Evidence(apart <= ALIKE, note)
