"""Rollouts of whoever plays: a game that also keeps, through the recorder, what is done in it.

Knows BatchGame, streams and recorders; does not know who acts or what the rows are for. Where
`metabonk record` plays to record, this records what is played anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metabonk.data.episode import OBSERVATION
from metabonk.data.record import Plan, header_of, hold, open_recorders
from metabonk.data.recorder import Counts
from metabonk.data.sampling import NANOSECONDS, Stream
from metabonk.protocols import (
    Array,
    BatchGame,
    BoolArray,
    Captured,
    FloatArray,
    Observation,
    Visible,
)
from metabonk.spaces import ActionLayout

FOLDER = "rollouts"  # of a run


class RolloutGame:
    """`game`, every decision of which goes to recorders in `directory`, one per environment.

    A row per decision: what was seen, what was done, what came of it. Closing it brings every row
    to the disk. Raises ConfigError if somebody records there now, CorruptError if the directory
    records something else; `step_into` raises OSError where the disk is full.
    """

    def __init__(self, game: BatchGame, directory: Path | str, *, seed: int, actor: str) -> None:
        self.game = game
        self.name, self.num_envs = game.name, game.num_envs
        self.observation_space = game.observation_space
        self.action_layout: ActionLayout = game.action_layout
        self.snapshots = False  # what was recorded cannot be taken back
        header = header_of(game, Plan(), seed=seed, actor=actor)
        live = isinstance(game, Captured)
        self._recorders = open_recorders(
            Path(directory), header, game.num_envs, formats=("episodes",), live=live, full="auto"
        )
        self._streams = [Stream(0.0, game.action_layout, live=live) for _ in self._recorders]
        rate = game.frame_rate if isinstance(game, Visible) else 0.0
        self._period = round(NANOSECONDS / rate) if rate else NANOSECONDS
        self._steps = 0
        self._first = np.ones(game.num_envs, np.bool_)
        self._ended = np.zeros(game.num_envs, np.bool_)

    def __getattr__(self, name: str) -> Any:
        """What else the game offers: pictures, states."""
        return getattr(self.game, name)

    @property
    def counts(self) -> Sequence[Counts]:
        """What became of the rows, by environment."""
        return [recorder.counts for recorder in self._recorders]

    def reset_into(self, observation: Observation, seeds: Sequence[int]) -> None:
        self._finish()
        self.game.reset_into(observation, seeds)
        self._first[:], self._ended[:] = True, False

    def step_into(
        self,
        actions: FloatArray,
        observation: Observation,
        reward: FloatArray,
        terminated: BoolArray,
        truncated: BoolArray,
        is_reset: BoolArray,
    ) -> None:
        self._see(observation, actions)
        self.game.step_into(actions, observation, reward, terminated, truncated, is_reset)
        for env, stream in enumerate(self._streams):
            if not self._ended[env]:
                ends = bool(terminated[env]), bool(truncated[env])
                stream.add(actions[env], float(reward[env]), *ends)
        hold(self._streams, self._recorders)
        self._ended[:] = terminated | truncated
        self._first[:] = is_reset
        self._steps += 1

    def _see(self, observation: Observation, actions: FloatArray) -> None:
        """Opens the rows of this decision; those before are complete now."""
        game = self.game
        now = game.capture_ns() if isinstance(game, Captured) else None
        for env, (stream, recorder) in enumerate(zip(self._streams, self._recorders, strict=True)):
            capture = self._steps * self._period if now is None else int(now[env])
            first, last = bool(self._first[env]), bool(self._ended[env])
            if not stream.due(capture, first=first, last=last):
                continue
            seen = {f"{OBSERVATION}{k}": np.array(v[env]) for k, v in observation.items()}
            row = stream.open(seen, actions[env], capture, first=first, last=last)
            if row is not None:
                recorder.append(row)

    def _finish(self) -> None:
        for stream, recorder in zip(self._streams, self._recorders, strict=True):
            row = stream.finish()
            if row is not None:
                recorder.append(row)

    def clone_state(self) -> bytes:
        return self.game.clone_state()

    def restore_state(self, state: bytes) -> None:
        self.game.restore_state(state)

    def episode_info(self) -> Mapping[str, Array]:
        return self.game.episode_info()

    def close(self) -> None:
        """Brings every row to the disk, then closes the game. Raises OSError if that failed."""
        try:
            self._finish()
            for recorder in self._recorders:
                recorder.close()
            self._recorders, self._streams = [], []
        finally:
            self.game.close()
