"""Any BatchGame of one as a Gymnasium environment.

Knows Gymnasium's Env and `protocols.BatchGame`; does not know which game is played. Observations
are fresh arrays at every step. An episode that ended goes on with `reset()` to the next of its
seed; `reset(seed=...)` starts the first of another.
"""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces as gs

from metabonk.errors import ConfigError
from metabonk.games.batch import allocate
from metabonk.games.env import Scalars, scalars
from metabonk.games.source import Flags
from metabonk.protocols import Array, BatchGame


class BatchEnv(gymnasium.Env[dict[str, Array], Any]):
    """One environment of a game that others made; `close` closes it. `info` holds its
    `episode_info`."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 60}  # noqa: RUF012

    def __init__(self, game: BatchGame, render_mode: str | None = None) -> None:
        if game.num_envs != 1:
            raise ConfigError(f"game: {game.num_envs} environments, this takes a game of one")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ConfigError(f"render_mode: {render_mode!r}, known is 'rgb_array'")
        self.render_mode = render_mode
        self.game = game
        self.observation_space = cast("gs.Space[dict[str, Array]]", game.observation_space)
        self.action_space = game.action_layout.space
        rate = getattr(game, "frame_rate", self.metadata["render_fps"])
        self.metadata = {**type(self).metadata, "render_fps": rate}
        self._ended = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], Scalars]:
        if options:
            raise ConfigError(f"options: none are known here, not {', '.join(options)}")
        super().reset(seed=seed)
        observation = allocate(self.game.observation_space, 1)
        if seed is None and self._ended:
            row = np.zeros((1, self.game.action_layout.columns), np.float32)
            self.game.step_into(row, observation, *Flags(1).arrays())
        else:
            start = int(self.np_random.integers(2**63)) if seed is None else seed
            self.game.reset_into(observation, [start])
        self._ended = False
        return self._only(observation), scalars(dict(self.game.episode_info()), 0)

    def step(self, action: Any) -> tuple[dict[str, Array], float, bool, bool, Scalars]:
        flags, observation = Flags(1), allocate(self.game.observation_space, 1)
        row = self.game.action_layout.encode(action)[None]
        self.game.step_into(row, observation, *flags.arrays())
        terminated, truncated = bool(flags.terminated[0]), bool(flags.truncated[0])
        self._ended = terminated or truncated
        info = scalars(dict(self.game.episode_info()), 0)
        return self._only(observation), float(flags.reward[0]), terminated, truncated, info

    def render(self) -> Array | None:
        """uint8 [H, W, 3], or None without a render mode."""
        return None if self.render_mode is None else self.game.render(0)  # type: ignore[attr-defined]

    def close(self) -> None:
        self.game.close()

    def _only(self, observation: dict[str, Array]) -> dict[str, Array]:
        return {key: array[0] for key, array in observation.items()}
