"""Learning curves of runs, and how soon they get somewhere. Knows trainers; does not know studies.

Runs are compared by environment steps, not by time: what learns beside the policy is paid for in
time, which suites of speed measure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metabonk.config import Config

Doubles = npt.NDArray[np.float64]
POINTS = 200  # at which curves are compared
WINDOW = 40  # episodes over which returns are averaged
REACHED = 0.8  # of the way from the first to the best


def learn(
    config: Config,
    directory: Path,
    steps: int,
    prepare: Callable[[Any], None] = lambda trainer: None,
) -> dict[str, Any]:
    """Trains for `steps` environment steps; every episode's return, at the steps of its rollout.

    prepare: called with the trainer before anything is played. Raises what training raises.
    """
    import torch

    from metabonk.games import from_config
    from metabonk.learn.trainer import Trainer

    torch.set_num_threads(1)
    torch.manual_seed(config.run.seed)
    game = from_config(config.game)
    at: list[int] = []
    returns: list[float] = []
    told: dict[str, float] = {}
    try:
        trainer = Trainer(game, config, directory=directory, planned=steps)
        trainer.dream_on()
        prepare(trainer)
        trainer.start()
        rollout = trainer.ppo.config.horizon * game.num_envs
        while trainer.steps + rollout <= steps:
            told |= trainer.iterate()
            ended = trainer.collector.rollout.episodes.get("return", [])
            at += [trainer.steps] * len(ended)
            returns += [round(float(value), 4) for value in ended]
    finally:
        game.close()
    last = {k: v for k, v in told.items() if k.startswith(("wm_", "dream_", "distill"))}
    return {"steps": at, "returns": returns, "budget": steps, "metrics": last}


def shuffled(trainer: Any) -> None:
    """Has the world model learn from actions that belong to other moments: the control."""
    replay = trainer.world.replay
    draw = replay.draw

    def mixed(batch: int, length: int, generator: np.random.Generator) -> Any:
        drawn = draw(batch, length, generator)
        flat = drawn.action.reshape(-1, drawn.action.shape[-1])
        action = generator.permutation(flat).reshape(drawn.action.shape)
        return dataclasses.replace(drawn, action=action)

    replay.draw = mixed


def smooth(found: dict[str, Any]) -> tuple[Doubles, Doubles]:
    """Steps and mean return of the last WINDOW episodes at POINTS places up to the budget; NaN
    before the first episode ended."""
    places = np.linspace(0.0, found["budget"], POINTS + 1)[1:]
    steps = np.asarray(found["steps"], np.float64)
    returns = np.asarray(found["returns"], np.float64)
    sums = np.concatenate([[0.0], returns.cumsum()])
    last = np.searchsorted(steps, places, side="right")
    first = np.maximum(0, last - WINDOW)
    with np.errstate(invalid="ignore"):
        means = (sums[last] - sums[first]) / (last - first)
    return places, means


def level(curves: Sequence[dict[str, Any]]) -> float:
    """The return that counts as having learned: REACHED of the way from where runs begin to the
    best that any of them came to."""
    means = [smooth(curve)[1] for curve in curves]
    begins = [float(m[np.isfinite(m)][0]) for m in means if np.isfinite(m).any()]
    bests = [float(np.nanmax(m)) for m in means if np.isfinite(m).any()]
    if not begins:
        return float("nan")
    start = float(np.mean(begins))
    return start + REACHED * (max(bests) - start)


def steps_to(found: dict[str, Any], wanted: float) -> tuple[float, bool]:
    """Environment steps after which the mean return is `wanted`, and whether it ever was; the whole
    budget if not."""
    places, means = smooth(found)
    reached = np.flatnonzero(np.nan_to_num(means, nan=-np.inf) >= wanted)
    if not len(reached):
        return float(found["budget"]), False
    return float(places[reached[0]]), True


def area(found: dict[str, Any]) -> float:
    """The mean of the smoothed curve over the whole budget: how much was earned on the way."""
    return float(np.nanmean(smooth(found)[1]))
