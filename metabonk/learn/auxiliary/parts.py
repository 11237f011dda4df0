"""What learns beside the policy, together: a world model, and whoever dreams in it.

Knows which parts a configuration turns on, the order in which they learn from a rollout, and the
two ways in which that reaches the policy: teachers, and a reward on top of the game's. Does not
know PPO's loss, games or files. The time of every part is told.

`teaches` and `rewards` stand between the parts and the policy; whoever wants to know what a part is
good for (learn/ablation) puts something else there.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from metabonk.config import Config
from metabonk.errors import ConfigError
from metabonk.learn.auxiliary.active import ActiveInference
from metabonk.learn.auxiliary.dreams import DreamTraining
from metabonk.learn.auxiliary.intrinsic import Surprise
from metabonk.learn.auxiliary.world import WorldTraining
from metabonk.learn.replay import Sequences
from metabonk.learn.rollout import Rollout
from metabonk.learn.teachers import Teacher
from metabonk.metrics import declare
from metabonk.models.rssm import Latent
from metabonk.protocols import Array, BatchGame, FloatArray

T = TypeVar("T")

declare("dream_lead", "return", "What the dreamer's games return, or bring, beyond the policy's")
declare("dream_lead_low", "return", "The low end of its 95 % interval: above 0 the dreamer leads")
declare("distill_kl_promise", "", "What acting as the dreamer would be worth, in advantages")
declare("seconds_dream", "s", "Time of the dreamer's updates")
declare("seconds_efe", "s", "Time of active inference's updates")


class Lesson(NamedTuple):
    """What a rollout gave beside the policy. bonus: reward [S, N] on top of the game's own."""

    metrics: dict[str, float]
    teachers: tuple[Teacher, ...] = ()
    bonus: FloatArray | None = None

    def rewarded(self, rollout: Rollout) -> Rollout:
        """The rollout as the policy learns from it; the game's own reward stays as it was."""
        if self.bonus is None:
            return rollout
        return dataclasses.replace(rollout, reward=rollout.reward + self.bonus)


def parts(config: Config) -> tuple[str, ...]:
    """What a configuration has learn beside the policy, by the names of their times. Whoever dreams
    does so where there is a world model to dream of."""
    if not config.world.learned:
        return ()
    dreaming = {"dream": config.dream.enabled, "efe": config.efe.enabled}
    return ("world", *(part for part, on in dreaming.items() if on))


class Imagination:
    """world, dreams, active, surprise: the parts, None where they are off.

    teaches: called with a part's name and its teacher, gives the one that the policy gets or None.
    rewards: called with the reward [S, N] for surprise, gives the one that is added.
    """

    def __init__(
        self, game: BatchGame, config: Config, directory: Path | None, fixed: dict[str, float]
    ) -> None:
        self.world: WorldTraining | None = None
        self.dreams: DreamTraining | None = None
        self.active: ActiveInference | None = None
        self.surprise: Surprise | None = None
        self.teaches: Callable[[str, Teacher], Teacher | None] = lambda _, teacher: teacher
        self.rewards: Callable[[FloatArray], FloatArray] = lambda bonus: bonus
        self._seconds: dict[str, float] = {}
        there = parts(config)
        if not there:
            return
        if directory is None:
            raise ConfigError("world.enabled: a directory is needed to keep what was played")
        self.world = WorldTraining(
            game, config.world, directory, config.run.seed, horizon=config.ppo.horizon
        )
        if "dream" in there:
            if not config.dream.share and not config.dream.distill_coef:
                raise ConfigError(
                    "dream.share, dream.distill_coef: both are 0, so what is learned in dreams "
                    "reaches nobody: let the dreamer play (dream.share = 0.25) or teach "
                    "(dream.distill_coef = 0.1), or leave it out (dream.enabled = 0)"
                )
            self.dreams = DreamTraining(game, config, self.world.learner, fixed)
        if "efe" in there:
            self.active = ActiveInference(game, config, self.world.learner, fixed)
        if config.world.intrinsic:
            columns = game.action_layout.columns
            self.surprise = Surprise(
                self.world.learner, game.num_envs, columns, seed=config.run.seed
            )

    @property
    def actors(self) -> dict[str, DreamTraining]:
        """Who dreams, by name."""
        named = {"dream": self.dreams, "efe": self.active}
        return {name: actor for name, actor in named.items() if actor is not None}

    def learn(self, rollout: Rollout, beyond: Callable[[Rollout], FloatArray]) -> Lesson:
        """Every part learns from a rollout of finite numbers. beyond: what its games [N] brought
        beyond what was expected, see PPO."""
        if self.world is None:
            return Lesson({})
        began = time.perf_counter()
        self._seconds = dict.fromkeys(self.actors, 0.0)
        metrics = self._judge(rollout)
        if self.dreams is not None:
            metrics |= self._spend("dream", self.dreams.compete, rollout, beyond(rollout))
        metrics |= self.world.learn(rollout, self._after)
        teachers = self._teachers(rollout)
        bonus = None
        if self.surprise is not None:
            bonus, told = self.surprise.reward(rollout)
            metrics |= told
            bonus = self.rewards(bonus)
        metrics |= {f"seconds_{name}": seconds for name, seconds in self._seconds.items()}
        metrics["seconds_world"] = time.perf_counter() - began - sum(self._seconds.values())
        return Lesson(metrics, teachers, bonus)

    def silent(self) -> str:
        """Why nothing that is on was ever heard, and what to do about it, in a sentence: a run may
        be over before its world model learns, or before anything is dreamed. Empty if that began,
        or if there is nothing to begin."""
        if self.world is None:
            return ""
        if self.world.learner.updates == self.world.begun:
            return f"The world model never learned, and nothing was dreamed: {self.world.waits}."
        actors = self.actors.values()
        if any(actor.learner.updates for actor in actors) or not actors:
            return ""
        return f"Nothing was dreamed, so that dreams reached nobody: {next(iter(actors)).waits}."

    def _judge(self, rollout: Rollout) -> dict[str, float]:
        """The measure of the world model: the first who dreams takes it, for all."""
        actors = self.actors
        for name, first in actors.items():
            metrics = self._spend(name, first.judge, rollout)
            for actor in actors.values():
                actor.trust = first.trust
            return metrics
        return {}

    def _teachers(self, rollout: Rollout) -> tuple[Teacher, ...]:
        """What everybody who dreams would do; the first of them goes along with what was played."""
        actors = self.actors
        found: list[Teacher] = []
        features: Tensor | None = None
        for name, actor in actors.items():
            if features is None:
                features = self._spend(name, actor.follow, rollout)
            teacher = self._spend(name, actor.teach, features)
            teacher = None if teacher is None else self.teaches(name, teacher)
            found += [] if teacher is None else [teacher]
        return tuple(found)

    def _after(self, seen: Latent, drawn: Sequences) -> dict[str, float]:
        """The world model learned from sequences `drawn` and went through states `seen`."""
        metrics: dict[str, float] = {}
        if self.dreams is not None:
            metrics |= self._spend("dream", self.dreams.dream, seen, drawn)
        if self.active is not None:
            metrics |= self._spend("efe", self.active.learn, seen, drawn)
        return metrics

    def _spend(self, part: str, action: Callable[..., T], *arguments: Any) -> T:
        """Does it, and counts its time for a part."""
        began = time.perf_counter()
        result = action(*arguments)
        self._seconds[part] += time.perf_counter() - began
        return result

    def forget(self) -> None:
        """A rollout is not to last: states that followed it begin anew, and replay has a gap."""
        if self.world is not None:
            self.world.replay.gap = True
        for actor in self.actors.values():
            actor.forget()
        if self.surprise is not None:
            self.surprise.forget()

    def _named(self) -> dict[str, Any]:
        """The parts that are on, by their names in a checkpoint."""
        named = {
            "world": self.world,
            "dreams": self.dreams,
            "active": self.active,
            "surprise": self.surprise,
        }
        return {name: part for name, part in named.items() if part is not None}

    def state(self) -> dict[str, Array]:
        """Arrays by dotted name."""
        return {
            f"{name}.{key}": array
            for name, part in self._named().items()
            for key, array in part.state().items()
        }

    def details(self) -> dict[str, Any]:
        """Counters by part; a part that is off has none."""
        return {name: part.details() for name, part in self._named().items()}

    def load(self, state: Mapping[str, Array], details: Mapping[str, Any]) -> None:
        """Inverse of `state` and `details`, which may hold more. Raises CheckpointError naming what
        does not fit."""
        for name, part in self._named().items():
            start = f"{name}."
            own = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
            part.load(own, details.get(name, {}))
