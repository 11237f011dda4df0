"""Recording: what training saw and did, as episodes on disk. Knows rollouts and data.episode."""

from __future__ import annotations

from pathlib import Path

from metabonk.data.episode import EpisodeWriter, Header
from metabonk.learn.rollout import Rollout
from metabonk.learn.trainer import Trainer
from metabonk.protocols import Visible

FOLDER = "episodes"


class Recording:
    """Appends every step of a trainer's rollouts under `<run>/episodes`."""

    def __init__(self, run: Path, trainer: Trainer) -> None:
        game = trainer.game
        header = Header.of(
            game.action_layout,
            source=game.name,
            seed=trainer.seed,
            actor="policy:training",
            num_envs=game.num_envs,
            rate=game.frame_rate if isinstance(game, Visible) else 0.0,
            details={"observation": sorted(game.observation_space.spaces)},
        )
        self._writer = EpisodeWriter(run / FOLDER, header)

    def append(self, rollout: Rollout) -> None:
        """Every step of the rollout that was played anew."""
        for t in range(rollout.first, len(rollout.reward)):
            self._writer.append_step(
                {key: array[t] for key, array in rollout.observation.items()},
                rollout.action[t],
                rollout.log_prob[t],
                rollout.reward[t],
                rollout.terminated[t],
                rollout.truncated[t],
                rollout.is_first[t + 1],
            )

    def flush(self) -> int:
        """Writes what is buffered; returns the position to `cut` back to."""
        return self._writer.flush()

    def cut(self, position: int, *, restarted: bool = False) -> None:
        """Forgets what was recorded after `position`; restarted: all episodes begin anew."""
        self._writer.cut(position)
        if restarted:
            for env in range(self._writer.header.num_envs):
                self._writer.begin(env)
