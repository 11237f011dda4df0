"""What learns beside the policy, from the same rollouts: the world model.

Knows replay, learners and how much each is to learn from a rollout; does not know PPO, files of a
run or clocks. Everything that a resumed run needs is in `state` and `details`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from metabonk.config import WorldConfig
from metabonk.errors import CheckpointError, ConfigError
from metabonk.learn import replay
from metabonk.learn.checkpoint import load_weights, weights_of
from metabonk.learn.dreams.versions import SIZES
from metabonk.learn.dreams.world import WorldLearner
from metabonk.learn.replay import Replay, Sequences
from metabonk.learn.rollout import Rollout
from metabonk.models.rssm import Latent
from metabonk.models.world import build
from metabonk.protocols import Array, BatchGame

DRAW_STREAM = 9
FOLDER = "replay"
COUNTED = "_skipped"  # metrics of such names are counts of the whole run


def sizes(config: msgspec.Struct, names: Sequence[str]) -> dict[str, int]:
    """Settings without which weights do not fit, for a checkpoint."""
    return {name: getattr(config, name) for name in names}


def check_sizes(section: str, was: Mapping[str, int], config: msgspec.Struct) -> None:
    """Raises CheckpointError for the first of `sizes` that is another one now. section: the
    configuration's, that they are from."""
    for name, value in was.items():
        if getattr(config, name) != value:
            raise CheckpointError(
                f"the checkpoint has {section}.{name} = {value}, not {getattr(config, name)}: "
                f"go on with --set {section}.{name}={value}, or start a new run"
            )


def _check_replay(config: WorldConfig, envs: int, horizon: int) -> None:
    """Raises ConfigError where replay forgets too soon to ever hold a sequence."""
    most, least = replay.most(config.replay, envs, horizon), replay.least(config.sequence)
    if most < least:
        raise ConfigError(
            f"world.replay = {config.replay}: of {envs} games in rollouts of ppo.horizon = "
            f"{horizon} that keeps {most} steps each, and world.sequence = {config.sequence} needs "
            f"{least}, so that nothing would ever be learned: set world.replay={least * envs} or "
            "more"
        )


class WorldTraining:
    """A world model that learns from every rollout, `ratio` replayed steps per step played.

    horizon: steps of a rollout. Raises ConfigError if of those as many as replay keeps are no
    sequence.
    """

    def __init__(
        self, game: BatchGame, config: WorldConfig, directory: Path, seed: int, *, horizon: int
    ) -> None:
        _check_replay(config, game.num_envs, horizon)
        self.config = config
        self.seed = seed
        self.replay = Replay(directory / FOLDER, config.replay, game.num_envs)
        model = build(game.observation_space, game.action_layout, config, seed=seed)
        self.learner = WorldLearner(model, config, seed=seed, run=directory)
        self._owed = 0.0  # steps that were played and not yet learned from
        self.begun = 0  # updates that the model had when the run began

    def begin(self) -> None:
        """A run begins: nothing was played yet, whatever one that never saved left behind; what the
        model knows already it did not learn here."""
        self.replay.clear()
        self.begun = self.learner.updates

    def learn(
        self,
        rollout: Rollout,
        after: Callable[[Latent, Sequences], dict[str, float]] | None = None,
    ) -> dict[str, float]:
        """Keeps the rollout and updates the model; returns the mean of its updates' metrics, of
        counts that run on the last, none while there is not a whole sequence to learn from.

        after: what learns from the states [L * B, ...] that each update went through and from the
        sequences that were drawn for it, and its metrics.
        """
        config = self.config
        self.replay.add(rollout)
        self._owed += config.ratio * rollout.num_envs * (len(rollout.reward) - rollout.first)
        if not self.replay.ready(config.sequence):
            return {}
        seen: dict[str, list[float]] = {}
        while self._owed >= config.batch * config.sequence:
            self._owed -= config.batch * config.sequence
            generator = np.random.Generator(
                np.random.Philox(
                    key=[self.seed, DRAW_STREAM], counter=[0, 0, 0, self.learner.updates]
                )
            )
            drawn = self.replay.draw(config.batch, config.sequence, generator)
            metrics, states = self.learner.update(drawn)
            if after is not None:
                metrics |= after(states, drawn)
            for key, value in metrics.items():
                seen.setdefault(key, []).append(value)
        return {
            key: values[-1] if key.endswith(COUNTED) else float(np.mean(values))
            for key, values in seen.items()
        }

    @property
    def waits(self) -> str:
        """What a model that never learned waits for, in words."""
        config, played = self.config, len(self.replay) // self.replay.num_envs
        if not self.replay.ready(config.sequence):
            return (
                f"{played} steps of each game were played and world.sequence = {config.sequence} "
                f"needs {replay.least(config.sequence)}; train longer, or shorten it"
            )
        return (
            f"{len(self.replay)} steps were played and an update takes world.batch * "
            f"world.sequence / world.ratio = {config.batch * config.sequence / config.ratio:g}; "
            "train longer, or lower it"
        )

    def state(self) -> dict[str, Array]:
        """Arrays by dotted name: weights and moments."""
        weights = {f"weights.{k}": v for k, v in weights_of(self.learner.model).items()}
        return weights | {f"optimizer.{k}": v for k, v in self.learner.optimizer.state().items()}

    def details(self) -> dict[str, Any]:
        """Counters, and the rollouts that are kept."""
        return {
            "updates": self.learner.updates,
            "begun": self.begun,
            "sizes": sizes(self.config, SIZES),
            **self.learner.faults.details(),
            "gap": self.replay.gap,
            "owed": self._owed,
            "rollouts": self.replay.count,
            "replay": self.replay.listing(),
        }

    def flush(self) -> None:
        """Puts on the disk what the next checkpoint names. Raises OSError."""
        self.replay.flush()

    def saved(self, step: int, kept: Collection[int]) -> None:
        """A checkpoint of `step` was written: forgets rollouts that none of the steps `kept`
        names."""
        self.replay.saved(step, kept)

    def load(self, state: Mapping[str, Array], details: Mapping[str, Any]) -> None:
        """Inverse of `state` and `details`. Raises CheckpointError naming what does not fit."""
        if not details:
            raise CheckpointError(
                "the checkpoint has no world model: go on without --set world.enabled=1, "
                "or start a new run with it"
            )
        check_sizes("world", details.get("sizes", {}), self.config)
        parts: dict[str, dict[str, Array]] = {"weights": {}, "optimizer": {}}
        for key, array in state.items():
            part, name = key.split(".", 1)
            parts[part][name] = array
        load_weights(self.learner.model, parts["weights"])
        self.learner.optimizer.load(parts["optimizer"])
        self.learner.updates = int(details["updates"])
        self.begun = int(details.get("begun", 0))
        self.learner.faults.load(details)
        self._owed = float(details["owed"])
        self.replay.load(details["replay"], int(details["rollouts"]))
        self.replay.gap = bool(details.get("gap", False))
