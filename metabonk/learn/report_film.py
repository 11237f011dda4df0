"""The film of an episode: plays it again as the evaluation played it and records what it shows.

Knows BatchGame, Visible and the evaluation's seeds; does not know networks or pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from metabonk.data.film import best_suffix, write_film
from metabonk.errors import GameError
from metabonk.learn.evaluate import seeds
from metabonk.protocols import Array, BatchGame, Policy, Visible

LONGEST = 3 * 60.0  # seconds of game time; a longer episode is shown from its beginning


def film_episode(
    game: BatchGame, policy: Policy, *, seed: int, index: int, episodes: int, stem: Path
) -> Path | None:
    """Films episode `index` of `evaluate(game, policy, episodes=episodes, seed=seed)`.

    game: made with as many environments as the evaluation's, so that it goes the same way. stem:
    the film's path without suffix. Returns the path, or None for a game that cannot show itself.
    Raises MissingExtraError if no film format can be written here.
    """
    if not isinstance(game, Visible):
        return None
    each = -(-episodes // game.num_envs)
    path = stem.with_suffix(best_suffix())
    write_film(path, _frames(game, policy, seed, index // each, index % each), game.frame_rate)
    return path


def _frames(game: BatchGame, policy: Policy, seed: int, env: int, number: int) -> Iterator[Array]:
    """What environment `env` shows during its episode `number`, from first to last observation."""
    assert isinstance(game, Visible)
    num = game.num_envs
    observation = {
        key: np.zeros((num, *(sub.shape or ())), sub.dtype)
        for key, sub in game.observation_space.spaces.items()
    }
    reward = np.zeros(num, np.float32)
    terminated, truncated, is_reset = (np.zeros(num, np.bool_) for _ in range(3))
    is_first = np.ones(num, np.bool_)
    game.reset_into(observation, seeds(seed, num))
    state = policy.reset(num)
    episode = shown = 0
    while episode <= number:
        if episode == number:
            yield game.render(env)
            shown += 1
            if shown > LONGEST * game.frame_rate or terminated[env] or truncated[env]:
                return
        rows, state = policy.act(observation, state, is_first)
        game.step_into(rows, observation, reward, terminated, truncated, is_reset)
        is_first[:] = is_reset
        episode += int(is_reset[env])
    raise GameError(f"{game.name}: episode {number} of environment {env} was not reached")
