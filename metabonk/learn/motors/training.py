"""A consistency motor from a run's own newest rollouts, learned when the run ends.

Knows replay, transitions and the motor's learner; does not know PPO or clocks. The rollouts are
those that the world model keeps; a run without one keeps them for this. Pilots decide many times a
second, which is what a motor of one step is for, so that only their runs have one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from metabonk.artifact import Artifact, Measured
from metabonk.config import Config
from metabonk.errors import CheckpointError
from metabonk.learn.motors import versions as motors
from metabonk.learn.motors.cpqe import CpqeLearner, Progress
from metabonk.learn.replay import Replay
from metabonk.learn.rollout import Rollout
from metabonk.learn.transitions import from_replay
from metabonk.models.motor import build
from metabonk.protocols import BatchGame

FOLDER = "motor-replay"


class MotorTraining:
    """Keeps rollouts for a motor. shared: replay that somebody else fills, None for one of its own
    under `directory`."""

    def __init__(
        self, game: BatchGame, config: Config, directory: Path, shared: Replay | None
    ) -> None:
        self.game, self.config, self.directory = game, config, directory
        self.own = shared is None
        steps = config.cpqe.most_steps
        if shared is None:
            shared = Replay(directory / FOLDER, steps, game.num_envs)
        self.replay = shared

    def begin(self) -> None:
        """A run begins: nothing was played yet, whatever one that never saved left behind."""
        if self.own:
            self.replay.clear()

    def learn(self, rollout: Rollout) -> None:
        """Keeps a rollout."""
        if self.own:
            self.replay.add(rollout)

    def skip(self) -> None:
        """A rollout was left out."""
        if self.own:
            self.replay.gap = True

    def distil(self, checkpoint: Artifact, progress: Progress | None = None) -> Artifact:
        """Learns a motor and adds it to `<run>/motors`. checkpoint: of the policy that played.
        Raises DivergedError after three updates in a row that were not finite."""
        game, config, seed = self.game, self.config.cpqe, self.config.run.seed
        data = from_replay(self.replay, game.action_layout, config.most_steps)
        motor = build(game.observation_space, game.action_layout, config, seed=seed)
        losses = CpqeLearner(motor, data, seed=seed, run=self.directory).train(progress)
        return motors.save(
            self.directory,
            motor,
            seed=seed,
            data=data.digest(),
            parents=(checkpoint.hash,),
            metrics={name: Measured(value=value) for name, value in losses.items()},
            details={
                "game": msgspec.to_builtins(self.config.game),
                "steps": len(data),
                "left_out": data.left_out,
            },
        )

    def details(self) -> dict[str, Any]:
        """What `load` needs, for a checkpoint."""
        if not self.own:
            return {"shared": True}
        replay = self.replay
        return {"rollouts": replay.count, "replay": replay.listing(), "gap": replay.gap}

    def load(self, details: Mapping[str, Any]) -> None:
        """Inverse of `details`. Raises CheckpointError where the run did not keep its rollouts."""
        if not details:
            raise CheckpointError(
                "the checkpoint kept no rollouts for a motor: go on without --set cpqe.enabled=1, "
                "or start a new run with it"
            )
        if self.own:
            self.replay.load(details["replay"], int(details["rollouts"]))
            self.replay.gap = bool(details["gap"])

    def flush(self) -> None:
        """Puts on the disk what the next checkpoint names. Raises OSError."""
        if self.own:
            self.replay.flush()

    def saved(self, step: int, kept: Collection[int]) -> None:
        """A checkpoint of `step` was written: forgets rollouts that none of the steps `kept`
        names."""
        if self.own:
            self.replay.saved(step, kept)
