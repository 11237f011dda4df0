"""The scripted player of grid64: each game's own solver, asked level by level.

Knows the native solver of a batch; does not know the rules. Unlike other policies it is made for
one game and acts on that game alone, because a solver plans from the whole state: what a frame
hides has been seen before by whoever remembers, and observations of one moment do not hold it.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from metabonk import _core
from metabonk.errors import ConfigError
from metabonk.games.native import NativeGame
from metabonk.protocols import BoolArray, FloatArray, Observation

IDLE = -1.0  # an action id that does nothing
Plans = list[FloatArray]


class SolverPolicy:
    """Plays `game` as its solver does: protocols.Policy, with plans [T, 3] for state.

    game: of metabonk.games.grid64. Where no plan is left to find, it waits for the step limit.
    """

    def __init__(self, game: NativeGame) -> None:
        if not game.name.startswith("grid64/"):
            raise ConfigError(f"game: {game.name} has no solver, give one of grid64")
        self._game = game
        self._batch = cast("_core.grid64.Batch", game.batch)

    def reset(self, num_envs: int) -> Plans:
        """Raises ConfigError unless there are as many environments as the game has."""
        if num_envs != self._game.num_envs:
            raise ConfigError(
                f"num_envs: {num_envs}, but the game that is to be solved has {self._game.num_envs}"
            )
        return [np.zeros((0, 3), np.float32) for _ in range(num_envs)]

    def act(
        self, observation: Observation, state: Plans, is_first: BoolArray
    ) -> tuple[FloatArray, Plans]:
        rows = np.zeros((len(state), 3), np.float32)
        rest: Plans = []
        for index, (plan, first) in enumerate(zip(state, is_first, strict=True)):
            if first or not len(plan):
                plan = self._plan(index)
            rows[index] = plan[0]
            rest.append(plan[1:])
        return rows, rest

    def _plan(self, index: int) -> FloatArray:
        """What finishes the level from here [T >= 1, 3]."""
        found = cast("FloatArray | None", self._batch.solve(index))
        if found is None or not len(found):
            return np.array([[IDLE, 0.0, 0.0]], np.float32)
        return found
