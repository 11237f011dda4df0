"""play/rollouts.py: whoever plays is recorded as he played, and the game is none the wiser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metabonk import games
from metabonk.data.episode import EpisodeStore
from metabonk.errors import ConfigError
from metabonk.games.batch import allocate
from metabonk.games.level import parse
from metabonk.games.scripted import RandomPolicy
from metabonk.play.rollouts import RolloutGame

LEVEL = parse({"time": {"duration": 3.0}})


def play(game: Any, steps: int) -> tuple[np.ndarray[Any, Any], ...]:
    """Rows [steps, N, 12], rewards [steps, N] of random play, and which steps only reset."""
    policy, num = RandomPolicy(1, game.action_layout), game.num_envs
    observation = allocate(game.observation_space, num)
    reward = np.zeros(num, np.float32)
    flags = [np.zeros(num, np.bool_) for _ in range(3)]
    game.reset_into(observation, list(range(num)))
    state, first = policy.reset(num), np.ones(num, np.bool_)
    rows, rewards, resets = [], [], []
    for _ in range(steps):
        given, state = policy.act(observation, state, first)
        game.step_into(given, observation, reward, *flags)
        first = flags[2].copy()
        rows.append(given.copy())
        rewards.append(reward.copy())
        resets.append(first)
    return np.stack(rows), np.stack(rewards), np.stack(resets)


def test_what_is_played_is_recorded_and_plays_as_before(tmp_path: Path) -> None:
    plain = games.make("arena", 2, level=LEVEL)
    rows, rewards, resets = play(plain, 120)
    plain.close()
    kept = RolloutGame(games.make("arena", 2, level=LEVEL), tmp_path, seed=0, actor="policy:test")
    again, same, _ = play(kept, 120)
    assert np.array_equal(rows, again)
    assert np.array_equal(rewards, same)
    kept.close()
    assert sum(counts.dropped for counts in kept.counts) == 0
    for env in (0, 1):
        store = EpisodeStore(tmp_path / f"{env:03d}" / "episodes")
        assert store.header.actor == "policy:test"
        episodes = [store.read(*entry) for entry in store.entries(complete=False)]
        played = ~resets[:, env]
        assert played.sum() < 120, "no episode ended: less is tested than is meant"
        actions = np.concatenate([episode.action for episode in episodes])
        assert np.array_equal(actions, rows[played, env])
        got = np.concatenate([episode.reward for episode in episodes])
        assert np.array_equal(got, rewards[played, env])
        assert [episode.complete for episode in episodes] == [True] * (len(episodes) - 1) + [False]


def test_what_the_game_offers_besides_is_still_there(tmp_path: Path) -> None:
    kept = RolloutGame(games.make("arena", 1, level=LEVEL), tmp_path, seed=0, actor="scripted")
    play(kept, 3)
    assert kept.render(0).ndim == 3
    assert kept.game_state(0).max_health > 0.0
    assert kept.frame_rate == 15.0
    with pytest.raises(AttributeError):
        kept.nothing_of_the_kind  # noqa: B018 - it must raise
    with pytest.raises(ConfigError, match="somebody records there"):
        RolloutGame(games.make("arena", 1), tmp_path, seed=0, actor="scripted")
    kept.close()
