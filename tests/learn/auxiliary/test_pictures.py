"""A game that shows nothing but pixels is dreamed of like any other: many Gymnasium games do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from beside_settings import settings
from gymnasium import spaces as gs
from tiny_games import Walk

from metabonk.learn.trainer import Trainer
from metabonk.protocols import FloatArray, Observation

SIDE = 16


class Shown(Walk):
    """The random walk as a picture: the columns up to its place are bright."""

    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs)
        self.numbers = {"observation": np.zeros((num_envs, self.width), np.float32)}
        self.observation_space = gs.Dict(pixels=gs.Box(0, 255, (SIDE, SIDE, 1), np.uint8))

    def _show(self, observation: Observation) -> None:
        columns = np.arange(SIDE) < self.state["place"][:, None] + SIDE // 2
        observation["pixels"][:] = 255 * columns[:, None, :, None]

    def reset_into(self, observation: Observation, seeds: Sequence[int]) -> None:
        super().reset_into(self.numbers, seeds)
        self._show(observation)

    def step_into(self, actions: FloatArray, observation: Observation, *flags: Any) -> None:
        super().step_into(actions, self.numbers, *flags)
        self._show(observation)


@pytest.mark.parametrize("horizon", [0, 3])
def test_pixels_alone_are_learned_judged_and_dreamed_of(horizon: int, tmp_path: Path) -> None:
    config = settings(dream=1)
    config.dream.horizon, config.dream.longest = horizon, 15
    config.world.learning_rate = 3e-3
    trainer = Trainer(Shown(6), config, directory=tmp_path, planned=5_000)
    trainer.start()
    assert trainer.dreams is not None
    for rollouts in range(1, 4):
        told = trainer.iterate()
        # Rollouts of sixteen steps, episodes of eleven: judged over what there is of them.
        assert (trainer.dreams.trust.judged, told["wm_unjudged"]) == (rollouts, 0.0)
        assert np.isfinite(told["wm_ahead"])
        assert 0.0 <= told["wm_trust"] < config.ppo.horizon
    assert told["wm_recon"] > 0.0
    assert told.get("dream_horizon") == (horizon or (trainer.dreams.horizon or None))
