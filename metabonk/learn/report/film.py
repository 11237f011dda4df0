"""The film of an episode: plays it again as the evaluation played it and records what it shows.

Knows BatchGame, Visible and the evaluation's seeds; does not know networks or pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metabonk.data.film import best_suffix, write_film
from metabonk.errors import GameError
from metabonk.learn.evaluate import seeds
from metabonk.protocols import (
    Array,
    BatchGame,
    BoolArray,
    FloatArray,
    Observation,
    Policy,
    Visible,
)

LONGEST = 3 * 60.0  # seconds of game time; of a longer episode the end is left out


class Remembering:
    """A policy that keeps what it did. rows: of every step since `reset`, float32 [N, columns]."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.rows: list[FloatArray] = []

    def reset(self, num_envs: int) -> Any:
        self.rows = []
        return self._policy.reset(num_envs)

    def act(
        self, observation: Observation, state: Any, is_first: BoolArray
    ) -> tuple[FloatArray, Any]:
        rows, state = self._policy.act(observation, state, is_first)
        self.rows.append(rows.copy())
        return rows, state

    def of(self, env: int) -> FloatArray:
        """What was done in one environment, float32 [T, columns]."""
        return np.stack([rows[env] for rows in self.rows])


class Playback:
    """Does again what was done. rows: float32 [T, columns], for one environment."""

    def __init__(self, rows: FloatArray) -> None:
        self._rows = rows

    def reset(self, num_envs: int) -> int:
        return 0

    def act(
        self, observation: Observation, state: int, is_first: BoolArray
    ) -> tuple[FloatArray, int]:
        if state >= len(self._rows):
            raise GameError(f"the recorded actions end at step {state}, the episode does not")
        return self._rows[state : state + 1], state + 1


@dataclass(frozen=True)
class Film:
    """A film on disk. reward: sum over what it shows."""

    path: Path
    reward: float


@dataclass
class Showing:
    """Plays `game` with `policy` and shows episode `number` of environment `env`.

    seeds: of the game's environments. reward and actions: of what was shown so far.
    """

    game: BatchGame
    policy: Policy
    seeds: Sequence[int]
    env: int
    number: int
    reward: float = field(default=0.0, init=False)
    actions: list[FloatArray] = field(default_factory=list, init=False)

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
        game.reset_into(observation, self.seeds)
        state = self.policy.reset(num)
        episode = shown = 0
        self.reward, self.actions = 0.0, []
        while True:
            ended = terminated[self.env] or truncated[self.env]
            if episode == self.number and ended and shown:
                yield game.render(self.env)
                return
            rows, state = self.policy.act(observation, state, is_first)
            if episode == self.number and not ended:
                for picture in game.pictures(self.env, rows[self.env]):
                    yield picture
                    shown += 1
                if shown > LONGEST * game.picture_rate:
                    return
            game.step_into(rows, observation, reward, terminated, truncated, is_reset)
            is_first[:] = is_reset
            episode += int(is_reset[self.env])
            if episode == self.number and not is_reset[self.env]:
                self.reward += float(reward[self.env])
                self.actions.append(rows[self.env].copy())


def film_episode(
    game: BatchGame,
    policy: Policy,
    *,
    seed: int,
    envs: int,
    index: int,
    episodes: int,
    stem: Path,
) -> Film | None:
    """Films episode `index` of an evaluation of `episodes` episodes in `envs` environments.

    game: made with as many environments, and `policy` acts as it did then; or with one, and
    `policy` plays back what was done in the environment of that episode. stem: the film's path
    without suffix. None for a game that cannot show itself. Raises MissingExtraError if no film
    can be written here.
    """
    if not isinstance(game, Visible):
        return None
    each = -(-episodes // envs)
    env, number = index // each, index % each
    played = seeds(seed, envs)
    if game.num_envs == 1:
        played, env = played[env : env + 1], 0
    showing = Showing(game, policy, played, env, number)
    path = stem.with_suffix(best_suffix())
    write_film(path, showing.frames(), game.picture_rate)
    return Film(path, showing.reward)
