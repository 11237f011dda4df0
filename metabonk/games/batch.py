"""What every batch of environments needs: arrays to write into, rows of actions, sums, seeds.

Knows numpy and Gymnasium's spaces; does not know any game.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces as gs

from metabonk.errors import ConfigError
from metabonk.protocols import Array, BoolArray, FloatArray


def allocate(space: gs.Dict, num_envs: int) -> dict[str, Array]:
    """Zeroed arrays [num_envs, ...], one per key of one environment's observation space."""
    return {
        key: np.zeros((num_envs, *(sub.shape or ())), dtype=sub.dtype)
        for key, sub in space.spaces.items()
    }


def check_seeds(seeds: Sequence[int], num_envs: int) -> None:
    """Raises ConfigError unless there is one seed per environment."""
    if len(seeds) != num_envs:
        raise ConfigError(f"seeds: {len(seeds)} given, {num_envs} environments need one each")


def episode_seed(seed: int, episode: int) -> int:
    """Seed of an environment's episode, 64 bits: a hash, so that neighbours share nothing."""
    words = np.random.SeedSequence([seed, episode]).generate_state(1, np.uint64)
    return int(words[0])


class EpisodeSums:
    """Return and length of each environment's current or just ended episode.

    returns: float64 [N], length: int64 [N]. A step with `is_reset` starts a new episode.
    """

    def __init__(self, num_envs: int) -> None:
        self.returns: npt.NDArray[np.float64] = np.zeros(num_envs, np.float64)
        self.length: npt.NDArray[np.int64] = np.zeros(num_envs, np.int64)

    def reset(self) -> None:
        self.returns[:] = 0.0
        self.length[:] = 0

    def add(self, reward: FloatArray, is_reset: BoolArray) -> None:
        """Counts one step of every environment; reward [N] of steps that reset is not counted."""
        self.returns += reward
        self.length += 1
        self.returns[is_reset] = 0.0
        self.length[is_reset] = 0

    def info(self) -> dict[str, Array]:
        return {"return": self.returns.copy(), "length": self.length.copy()}


def encode_rows(space: gs.Space[Any], actions: Any, rows: FloatArray, column: int = 0) -> int:
    """Writes actions of the batched `space` into rows float32 [N, columns]; see ActionLayout.

    Returns the first column after those of `space`.
    """
    if isinstance(space, gs.Dict | gs.Tuple):
        items = space.spaces.items() if isinstance(space, gs.Dict) else enumerate(space.spaces)
        for key, sub in items:
            column = encode_rows(sub, actions[key], rows, column)
        return column
    values = np.asarray(actions)
    if isinstance(space, gs.Discrete):
        rows[:, column] = values - int(space.start)
        return column + 1
    end = column + int(np.prod(space.shape or ()))
    flat = values.reshape(len(rows), end - column)
    rows[:, column:end] = (
        flat - np.ravel(space.start) if isinstance(space, gs.MultiDiscrete) else flat
    )
    return end
