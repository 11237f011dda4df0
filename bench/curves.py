"""Learning curves of runs, and how soon they get somewhere. Knows trainers; does not know studies.

Runs are compared by environment steps, not by time: what learns beside the policy is paid for in
time, which suites of speed measure. A curve is what whoever serves returns, the policy or a dreamer
that leads (metabonk.learn.players), in episodes of their own that nobody learns from, the same ones
at every look and for every arm of a seed. What training earns would not do: an episode counts there
when it ended, so that long ones tell of a policy that is gone by then, and the first to end are the
short ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metabonk.config import Config

Doubles = npt.NDArray[np.float64]
POINTS = 200  # at which curves are compared
LOOKS = 80  # over the budget, where there are as many rollouts
EPISODES = 32  # of a look
WINDOW = 3  # looks over which returns are averaged


def learn(
    config: Config,
    directory: Path,
    steps: int,
    prepare: Callable[[Any], None] = lambda trainer: None,
    *,
    looks: int = LOOKS,
    episodes: int = EPISODES,
    alone: bool = True,
    until: float | None = None,
    planned: int = 0,
) -> dict[str, Any]:
    """Trains for `steps` environment steps and looks at whoever serves, `looks` times, before
    anything is learned and at the end: `steps`, the mean `returns` of each look, and who that was,
    `served`. dreamer: what whoever dreams returns by itself, [] where nobody does or nobody asks.
    dreamt: the share of the rollouts after which something was dreamed.

    prepare: called with the trainer before anything is played. alone: whether the dreamer is looked
    at, too. until: a mean return over the last WINDOW looks that ends the training. planned: steps
    that schedules count by, where a run is to end sooner than the others. Raises what training
    raises.
    """
    import torch

    from metabonk.games import from_config
    from metabonk.learn.trainer import Trainer

    torch.set_num_threads(1)
    torch.manual_seed(config.run.seed)
    game = from_config(config.game)
    judge = _Judge(config, steps // looks, episodes, alone)
    told: dict[str, float] = {}
    horizons: list[float] = []
    try:
        trainer = Trainer(game, config, directory=directory, planned=planned or steps)
        trainer.dream_on()
        prepare(trainer)
        trainer.start()
        judge.look(trainer)
        rollout = trainer.ppo.config.horizon * game.num_envs
        while trainer.steps + rollout <= steps and not judge.reached(until):
            made = trainer.iterate()
            told |= made
            horizons.append(made.get("dream_horizon", 0.0))
            judge.look(trainer)
        judge.look(trainer, last=True)
    finally:
        game.close()
        judge.game.close()
    last = {k: v for k, v in told.items() if k.startswith(("wm_", "dream_", "distill"))}
    return {
        "steps": judge.steps, "returns": judge.returns, "dreamer": judge.dreamer, "budget": steps,
        "served": judge.served, "metrics": last,
        "dreamt": float(np.mean([h > 0.0 for h in horizons])) if horizons else 0.0,
    }  # fmt: skip


class _Judge:
    """Has players play every `every` steps. steps, returns, served, dreamer: see `learn`."""

    def __init__(self, config: Config, every: int, episodes: int, alone: bool) -> None:
        from metabonk.learn.assess import at_once, repeatable

        self.game = repeatable(config.game, at_once(config.game, episodes))
        self.run, self.every, self.episodes, self.alone = config.run, every, episodes, alone
        self.steps: list[int] = []
        self.returns: list[float] = []
        self.served: list[str] = []
        self.dreamer: list[float] = []

    def look(self, trainer: Any, *, last: bool = False) -> None:
        """Unless it did so just before, or has seen the last."""
        from metabonk.models.actor import Actor
        from metabonk.models.dreamer import DreamerPolicy

        due = self.steps[-1] + (1 if last else self.every) if self.steps else 0
        if trainer.steps < due:
            return
        how: dict[str, Any] = {"sampled": self.run.eval_sampled, "seed": self.run.seed}
        serves = trainer.players.serves
        found: dict[str, float] = {}
        if trainer.dreams is not None and (self.alone or serves == "dreamer"):
            learner = trainer.dreams.learner
            found["dreamer"] = self._mean(DreamerPolicy(learner.world, learner.dreamer, **how))
        if serves == "policy":
            found["policy"] = self._mean(Actor(trainer.model, **how))
        self.steps.append(trainer.steps)
        self.served.append(serves)
        self.returns.append(found[serves])
        if self.alone and "dreamer" in found:
            self.dreamer.append(found["dreamer"])

    def reached(self, wanted: float | None) -> bool:
        """Whether the last looks return that much; see `smooth`."""
        return wanted is not None and float(np.mean(self.returns[-WINDOW:])) >= wanted

    def _mean(self, policy: Any) -> float:
        from metabonk.learn.evaluate import play

        returns = play(self.game, policy, self.episodes, self.run.seed)["return"]
        return round(float(returns.mean()), 4)


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
    """Steps and mean return of the last WINDOW looks at POINTS places up to the budget; NaN before
    the first look. What a run came to that was ended sooner holds from there on."""
    places = np.linspace(0.0, found["budget"], POINTS + 1)[1:]
    steps = np.asarray(found["steps"], np.float64)
    returns = np.asarray(found["returns"], np.float64)
    sums = np.concatenate([[0.0], returns.cumsum()])
    last = np.searchsorted(steps, places, side="right")
    first = np.maximum(0, last - WINDOW)
    with np.errstate(invalid="ignore"):
        means = (sums[last] - sums[first]) / (last - first)
    return places, means


def steps_to(found: dict[str, Any], wanted: float) -> tuple[float, bool]:
    """Environment steps of the first look at which the mean return of the last WINDOW is `wanted`,
    and whether there was one; the whole budget if not. Who begins there took a POINTS-th of the
    budget: none would be beyond every ratio."""
    returns = np.asarray(found["returns"], np.float64)
    for last, steps in enumerate(found["steps"], start=1):
        if returns[max(0, last - WINDOW) : last].mean() >= wanted:
            return max(float(steps), found["budget"] / POINTS), True
    return float(found["budget"]), False


def of_dreamer(found: dict[str, Any]) -> dict[str, Any]:
    """The curve of whoever dreams, playing itself."""
    return {**found, "returns": found["dreamer"]}


def area(found: dict[str, Any], budget: int | None = None) -> float:
    """The mean of the smoothed curve over a budget, by default its own: what was earned on the
    way."""
    whole = found if budget is None else {**found, "budget": budget}
    return float(np.nanmean(smooth(whole)[1]))
