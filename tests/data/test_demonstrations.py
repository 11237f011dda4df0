"""data/demonstrations.py: what solvers do is read back as episodes, and plays the same again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metabonk.data.demonstrations import write_demonstrations
from metabonk.data.episode import EpisodeStore
from metabonk.errors import ConfigError
from metabonk.games import grid64, make
from metabonk.games.batch import allocate
from metabonk.games.source import Flags


def test_episodes_are_what_the_solver_did(tmp_path: Path) -> None:
    written = write_demonstrations(tmp_path, "t_maze", 3, seed=40, split="test")
    episodes = list(EpisodeStore(tmp_path))
    assert (written.episodes, written.won) == (3, 3)
    assert written.steps == sum(map(len, episodes))
    for seed, episode in zip(range(40, 43), episodes, strict=True):
        played = grid64.demonstrate("t_maze", seed, "test")
        assert episode.complete
        assert (episode.header.source, episode.header.actor) == ("grid64/t_maze", "scripted")
        assert episode.header.details["split"] == "test"
        np.testing.assert_array_equal(episode.action, played.actions)
        np.testing.assert_array_equal(episode.reward, played.reward)
        for key, array in played.observations.items():
            np.testing.assert_array_equal(episode.observation[key], array)
        assert episode.terminated.tolist() == [False] * (len(episode) - 1) + [True]
        assert not episode.truncated.any()


def test_the_actions_win_the_game_itself(tmp_path: Path) -> None:
    write_demonstrations(tmp_path, "key_door", 1, seed=7)
    (episode,) = EpisodeStore(tmp_path)
    game = make("grid64/key_door", 1)
    observation, flags = allocate(game.observation_space, 1), Flags(1)
    game.reset_into(observation, [7])
    for row in episode.action:
        game.step_into(row[None], observation, *flags.arrays())
    assert flags.terminated[0]
    assert game.episode_info()["won"][0]


def test_more_are_appended(tmp_path: Path) -> None:
    write_demonstrations(tmp_path, "ice_slide", 2, seed=0)
    write_demonstrations(tmp_path, "ice_slide", 1, seed=2)
    assert len(EpisodeStore(tmp_path).entries()) == 3


def test_an_unknown_game_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no game grid64/maze"):
        write_demonstrations(tmp_path / "none", "maze", 1)
    assert not (tmp_path / "none").exists()
