"""Who plays Doom in tests: a game with its buffers."""

from __future__ import annotations

import numpy as np

from metabonk.games.batch import allocate


class Player:
    """A game with its buffers; collects what comes out."""

    def __init__(self, game, seeds):
        n = game.num_envs
        self.game = game
        self.observation = allocate(game.observation_space, n)
        self.reward = np.zeros(n, np.float32)
        self.terminated, self.truncated, self.is_reset = (np.zeros(n, np.bool_) for _ in range(3))
        if seeds is not None:
            game.reset_into(self.observation, seeds)

    def step(self, rows):
        self.game.step_into(
            rows, self.observation, self.reward, self.terminated, self.truncated, self.is_reset
        )
        parts = (self.reward, self.terminated, self.truncated, self.is_reset)
        return [a.copy() for a in (*self.observation.values(), *parts)]


def random_rows(game, rng):
    sizes = [b.size for b in game.action_layout.branches]
    return rng.integers(0, sizes, (game.num_envs, len(sizes))).astype(np.float32)


def assert_same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)
