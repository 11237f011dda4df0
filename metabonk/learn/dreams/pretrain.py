"""Learning a world model and a dreamer from recordings, with no game running.

Knows recordings laid out as replay, the two learners and dreams on disk; does not know games or who
recorded. As in a run, the dreams last as long as the model is seen to be right, here on episodes
that it never learned from; a run begins from what is written with `world.start`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces as gs

from metabonk.artifact import Artifact, Measured
from metabonk.config import Config
from metabonk.errors import ConfigError, DivergedError
from metabonk.learn import checkpoint
from metabonk.learn.dreams import measure, recorded, stretches
from metabonk.learn.dreams import versions as dreams
from metabonk.learn.dreams.dreamer import DreamLearner
from metabonk.learn.dreams.foresight import Foresight, foresight
from metabonk.learn.dreams.recorded import Recorded
from metabonk.learn.dreams.stretches import Stretches
from metabonk.learn.dreams.trust import Trust
from metabonk.learn.dreams.world import WorldLearner, beginnings
from metabonk.learn.faults import newest_good, unsound
from metabonk.learn.replicas import one_thread
from metabonk.learn.scratch import scratch
from metabonk.learn.trainer import parse_fixed
from metabonk.models import world as worlds
from metabonk.spaces import ActionLayout

DRAW_STREAM = 17
SCRATCH = ".replay-"  # where recordings are laid out
JUDGE_EVERY = 250  # updates
Progress = Callable[[int, int, dict[str, float]], bool]


@dataclass(frozen=True)
class Pretrained:
    """found: the version that was written. steps, episodes, left_out: of the recordings. metrics:
    the last ones of both learners. foresight: on held-out episodes. updates: of the world model,
    those it began with included. stopped: before all of them were done."""

    found: Artifact
    steps: int
    episodes: int
    left_out: dict[str, int]
    metrics: dict[str, float]
    foresight: Foresight
    updates: int
    stopped: bool


def pretrain_dream(
    out: Path,
    config: Config,
    sources: Sequence[Path],
    *,
    updates: int,
    space: gs.Dict | None = None,
    layout: ActionLayout | None = None,
    progress: Progress = lambda done, total, metrics: True,
) -> Pretrained:
    """Learns for `updates` updates of the world model and writes a version under `out`.

    space, layout: of the game that it is for; without, those that the recordings speak of.
    progress: told updates done, of how many, and metrics; False ends it early, with what was
    learned so far. Raises ConfigError where there is nothing to learn from; DivergedError after
    three updates in a row that were not finite, when what was learned before them is written.
    """
    out.mkdir(parents=True, exist_ok=True)
    with scratch(out, SCRATCH) as folder:
        data = recorded.read(
            sources,
            folder,
            space=space,
            layout=layout,
            most_steps=config.world.replay,
        )
        learning = _Learning(config, data, out)
        try:
            stopped = learning.run(updates, progress)
        except DivergedError as error:
            raise DivergedError(f"{error}; {learning.rescue(out)}") from error
        seen = learning.judge()
        return Pretrained(
            found=learning.save(out, seen),
            steps=len(data.learned) + len(data.held),
            episodes=data.episodes,
            left_out=data.left_out,
            metrics=learning.metrics,
            foresight=seen,
            updates=learning.world.updates,
            stopped=stopped,
        )


class _Learning:
    """Both learners over one set of recordings."""

    def __init__(self, config: Config, data: Recorded, out: Path) -> None:
        self.config, self.data, self.seed = config, data, config.run.seed
        fixed = parse_fixed(config.model.fixed)
        with one_thread():  # weights round by threads, and a seed is to mean one network
            model = worlds.build(data.space, data.layout, config.world, seed=self.seed)
            dreamer = dreams.make_dreamer(model, config.dream, config.model, fixed, self.seed)
        self.world = WorldLearner(model, config.world, seed=self.seed, run=out)
        self.dreamer = DreamLearner(model, dreamer, config.dream, seed=self.seed, run=out)
        for learner in (self.world, self.dreamer):
            learner.faults.advice = lambda _: (
                "lower world.learning_rate or dream.learning_rate, or look at what was learned from"
            )
        self.metrics: dict[str, float] = {}
        self.trust = Trust(config.dream)
        self.parents: tuple[str, ...] = ()
        if config.world.start:
            self.parents = (dreams.begin(config, self.world, self.dreamer).hash,)
        self.begun = self.world.updates  # that were not done here
        self._check()
        self.held = self._held_out()

    def _check(self) -> None:
        world, steps = self.config.world, len(self.data.learned)
        if not self.data.learned.ready(world.sequence):
            shorter = max(2, steps // 2)
            burn_in = " --set world.burn_in=0" if world.burn_in >= shorter else ""
            raise ConfigError(
                f"world.sequence = {world.sequence}: the recordings have {steps} steps to "
                f"learn from; record more, or --set world.sequence={shorter}{burn_in}"
            )

    def _held_out(self) -> Stretches | None:
        """Of held-out episodes, to judge by; None where a horizon was asked for and none can be
        measured. Raises ConfigError where none was, as nothing would ever be dreamed."""
        asked, keys = self.config.dream.horizon, sorted(self.data.space.spaces)
        if not measure.judged(self.world.model.decoder):
            if asked:
                return None
            raise ConfigError(
                f"dream.horizon = 0: nothing of the observation {keys} is a number or a frame, so "
                "that it cannot be seen how far the model is right; set dream.horizon"
            )
        found = stretches.of_replay(self.data.held, self.config.dream.longest)
        if found is None and not asked:
            raise ConfigError(
                "dream.horizon = 0: no two steps of held-out episodes follow one another, so that "
                "it cannot be seen how far the model is right; record longer episodes or set "
                "dream.horizon"
            )
        return found

    def run(self, updates: int, progress: Progress) -> bool:
        """Returns whether it was ended early."""
        config = self.config
        warm = 0 if self.world.updates else min(config.dream.warm_up, updates // 2)
        for done in range(updates):
            generator = np.random.Generator(
                np.random.Philox(
                    key=[self.seed, DRAW_STREAM], counter=[0, 0, 0, self.world.updates]
                )
            )
            drawn = self.data.learned.draw(config.world.batch, config.world.sequence, generator)
            metrics, states = self.world.update(drawn)
            if done >= warm and (done - warm) % JUDGE_EVERY == 0 and self.held is not None:
                self.trust.note(self.judge().trust)
            horizon = self.trust.horizon
            if done >= warm and horizon:
                start = beginnings(states, drawn, config.world.burn_in)
                metrics |= self.dreamer.update(start, horizon)
            self.metrics |= metrics
            if not progress(done + 1, updates, {**self.metrics, "horizon": float(horizon)}):
                return done + 1 < updates
        return False

    def rescue(self, out: Path) -> str:
        """Writes what was learned, of which skipped updates changed nothing, and says where it is;
        where it is nothing or not finite either, the version before."""
        learned = self.world.updates - self.begun > self.world.faults.skipped
        networks = (self.world.model, self.dreamer.dreamer)
        if learned and not any(unsound(checkpoint.weights_of(network)) for network in networks):
            return f"what was learned before is kept in {self.save(out, self.judge()).path}"
        good = newest_good(dreams.listed(out), dreams.KIND)
        return (
            f"the last good version is {good}" if good else f"{out} has no version that is usable"
        )

    def judge(self) -> Foresight:
        """How far the model is right on what it never learned from."""
        nothing = np.zeros(0, np.float32)
        if self.held is None:
            nan = float("nan")
            return Foresight(nothing, nothing, nothing, nothing, nan, nan, 0)
        return foresight(self.world.model, self.held.batch, self.held.context, seed=self.seed)

    def save(self, out: Path, seen: Foresight) -> Artifact:
        metrics: dict[str, Measured] = {}
        if seen.sequences and np.isfinite(seen.error[-1]):
            last = {"persistence": seen.persistence[-1], "mean": seen.mean[-1]}
            baselines = {name: float(value) for name, value in last.items()}
            metrics["open_loop_error"] = Measured(value=float(seen.error[-1]), baselines=baselines)
            for name in ("reward_auc", "seen_auc"):
                if np.isfinite(area := getattr(seen, name)):
                    metrics[name] = Measured(value=area, baselines={"chance": 0.5})
        details: dict[str, Any] = {
            "source": self.data.source,
            "steps": len(self.data.learned),
            "held": len(self.data.held),
            "trust": seen.trust if seen.sequences else None,
            "not_judged": list(seen.left_out),
        }
        return dreams.save(
            out,
            self.world.model,
            self.dreamer.dreamer,
            self.config,
            updates=self.world.updates,
            data=self.data.learned.digest,
            parents=self.parents,
            metrics=metrics,
            details=details,
        )
