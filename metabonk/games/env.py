"""A native game as one Gymnasium environment.

Knows Gymnasium's Env and a native batch of one. Observations are fresh arrays at every step. An
episode that ended goes on with `reset()` to the next of its seed, as vector environments do; a
`reset(seed=...)` starts the first of another.
"""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces as gs

from metabonk.errors import ConfigError
from metabonk.games.batch import allocate
from metabonk.games.source import Flags, Source
from metabonk.protocols import Array

Scalars = dict[str, float | int | bool]


def scalars(info: dict[str, Array], index: int) -> Scalars:
    """One environment's entries of `episode_info` as Python numbers."""
    return {key: values[index].item() for key, values in info.items()}


class NativeEnv(gymnasium.Env[dict[str, Array], Any]):
    """One environment of a native game. `info` holds its `episode_info`."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012

    def __init__(self, source: Source, render_mode: str | None = None) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ConfigError(f"render_mode: {render_mode!r}, known is 'rgb_array'")
        self.render_mode = render_mode
        self._play(source)

    def _play(self, source: Source) -> None:
        """Plays this game from the next reset on."""
        self.source = source
        self.observation_space = cast("gs.Space[dict[str, Array]]", source.observation_space)
        self.action_space = source.action_layout.space
        self.metadata = {**type(self).metadata, "render_fps": source.frame_rate}
        self.batch = source.one(0)
        self._row = np.zeros((1, source.action_layout.columns), np.float32)
        self._ended = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], Scalars]:
        super().reset(seed=seed)
        flags, observation, buffers = self._bound()
        if seed is None and self._ended:
            self._row[:] = 0.0
            self.batch.step(self._row, buffers)  # starts the next episode of the same seed
            assert flags.is_reset[0]
        else:
            start = self.np_random.integers(2**63) if seed is None else seed
            self.batch.reset(np.array([start], np.uint64), buffers)
        self._ended = False
        return _only(observation), scalars(self.batch.episode_info(), 0)

    def step(self, action: Any) -> tuple[dict[str, Array], float, bool, bool, Scalars]:
        self._row[0] = self.source.action_layout.encode(action)
        flags, observation, buffers = self._bound()
        self.batch.step(self._row, buffers)
        terminated, truncated = bool(flags.terminated[0]), bool(flags.truncated[0])
        self._ended = terminated or truncated
        info = scalars(self.batch.episode_info(), 0)
        return _only(observation), float(flags.reward[0]), terminated, truncated, info

    def render(self) -> Array | None:
        """uint8 [H, W, 3], or None without a render mode."""
        return None if self.render_mode is None else self.batch.render(0, *self.source.picture)

    def _bound(self) -> tuple[Flags, dict[str, Array], Any]:
        flags = Flags(1)
        observation = allocate(self.source.observation_space, 1)
        return flags, observation, self.batch.bind(observation, *flags.arrays())


def _only(observation: dict[str, Array]) -> dict[str, Array]:
    return {key: array[0] for key, array in observation.items()}
