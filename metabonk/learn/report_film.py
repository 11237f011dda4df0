"""The film of an episode: plays it again as the evaluation played it and records what it shows.

Knows BatchGame, Visible and the evaluation's seeds; does not know networks or pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metabonk.data.film import best_suffix, write_film
from metabonk.errors import GameError
from metabonk.learn.evaluate import seeds
from metabonk.protocols import Array, BatchGame, Policy, Visible

LONGEST = 3 * 60.0  # seconds of game time; of a longer episode the end is left out


@dataclass(frozen=True)
class Film:
    """A film on disk. reward: sum over what it shows."""

    path: Path
    reward: float


@dataclass
class Showing:
    """Plays `game` with `policy` and shows episode `number` of environment `env`.

    game: made with as many environments as the evaluation's, so that it goes the same way where
    the game is the same. reward: sum over the frames that were shown so far.
    """

    game: BatchGame
    policy: Policy
    seed: int
    env: int
    number: int
    reward: float = field(default=0.0, init=False)

    def frames(self) -> Iterator[Array]:
        """What the environment shows, uint8 [H, W, 3], from first to last observation."""
        game, num = self.game, self.game.num_envs
        if not isinstance(game, Visible):
            raise GameError(f"{game.name} cannot show itself")
        observation = {
            key: np.zeros((num, *(sub.shape or ())), sub.dtype)
            for key, sub in game.observation_space.spaces.items()
        }
        reward = np.zeros(num, np.float32)
        terminated, truncated, is_reset = (np.zeros(num, np.bool_) for _ in range(3))
        is_first = np.ones(num, np.bool_)
        game.reset_into(observation, seeds(self.seed, num))
        state = self.policy.reset(num)
        episode = shown = 0
        self.reward = 0.0
        while True:
            if episode == self.number:
                yield game.render(self.env)
                shown += 1
                ended = terminated[self.env] or truncated[self.env]
                if shown > LONGEST * game.frame_rate or (ended and shown > 1):
                    return
            rows, state = self.policy.act(observation, state, is_first)
            game.step_into(rows, observation, reward, terminated, truncated, is_reset)
            is_first[:] = is_reset
            episode += int(is_reset[self.env])
            if episode == self.number and not is_reset[self.env]:
                self.reward += float(reward[self.env])


def film_episode(
    game: BatchGame, policy: Policy, *, seed: int, index: int, episodes: int, stem: Path
) -> Film | None:
    """Films episode `index` of `evaluate(game, policy, episodes=episodes, seed=seed)`.

    stem: the film's path without suffix. None for a game that cannot show itself. Raises
    MissingExtraError if no film can be written here.
    """
    if not isinstance(game, Visible):
        return None
    each = -(-episodes // game.num_envs)
    showing = Showing(game, policy, seed, index // each, index % each)
    path = stem.with_suffix(best_suffix())
    write_film(path, showing.frames(), game.frame_rate)
    return Film(path, showing.reward)
