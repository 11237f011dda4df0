"""games/grid64_solver.py: the solvers as a policy, episode after episode, and as a baseline."""

from __future__ import annotations

import numpy as np
import pytest

from metabonk import games
from metabonk.config import Config
from metabonk.errors import ConfigError
from metabonk.games import grid64
from metabonk.games.grid64_solver import SolverPolicy
from metabonk.games.native import NativeGame
from metabonk.learn import assess
from metabonk.learn.evaluate import play, seeds
from metabonk.models.actor import Uniform
from metabonk.protocols import Policy


def make(name: str, num_envs: int) -> NativeGame:
    game = games.make(name, num_envs)
    assert isinstance(game, NativeGame)
    return game


@pytest.mark.parametrize("name", grid64.names())
def test_every_game_is_solved_as_in_its_demonstration(name: str) -> None:
    game = make(f"grid64/{name}", 2)
    policy = SolverPolicy(game)
    assert isinstance(policy, Policy)
    table = play(game, policy, episodes=4, seed=3)
    random = play(game, Uniform(game.action_layout, seed=0), episodes=4, seed=3)
    assert table["return"].mean() > random["return"].mean()
    assert (table["return"] == grid64.limits(name)[0]).all()
    for env, seed in enumerate(seeds(3, 2)):  # the first episode of each environment
        shown = grid64.demonstrate(name, seed)
        assert table["length"][2 * env] == len(shown.actions)


def test_it_plans_anew_from_wherever_it_is() -> None:
    """Others' moves and new episodes leave no plan that does not fit any more."""
    game = make("grid64/key_door", 3)
    policy = SolverPolicy(game)
    observation = {
        key: np.zeros((3, *sub.shape), sub.dtype)
        for key, sub in game.observation_space.spaces.items()
    }
    game.reset_into(observation, [1, 2, 3])
    first = np.ones(3, np.bool_)
    rows, state = policy.act(observation, policy.reset(3), first)
    again, rest = policy.act(observation, state, np.array([True, False, True]))
    assert (again[[0, 2]] == rows[[0, 2]]).all()
    assert len(rest[1]) == len(state[1]) - 1
    assert len(rest[0]) == len(state[0])


def test_it_is_the_scripted_baseline_of_grid64() -> None:
    game = make("grid64/t_maze", 2)
    found = assess.baselines(game, Config(), seed=0)
    assert isinstance(found["scripted"], SolverPolicy)


def test_other_games_and_numbers_are_refused() -> None:
    with pytest.raises(ConfigError, match="arena has no solver"):
        SolverPolicy(make("arena", 1))
    with pytest.raises(ConfigError, match="num_envs: 3, but the game"):
        SolverPolicy(make("grid64/t_maze", 2)).reset(3)
