"""What `train --record` keeps is what was seen, done and how probable it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_games import Walk

from metabonk.config import Config
from metabonk.data.episode import EpisodeStore
from metabonk.data.index import read_header
from metabonk.games import make
from metabonk.learn.record import FOLDER, Recording
from metabonk.learn.rollout import Rollout
from metabonk.learn.trainer import Trainer
from metabonk.protocols import Array

QUICK = {"time": {"duration": 4.0}, "offers": {"xp_rate": 20.0}, "enemies": {"at_start": 40}}


class Timed(Walk):
    """A game that has a speed and can be seen."""

    frame_rate = picture_rate = 12.5

    def render(self, index: int) -> Array:
        return np.zeros((4, 4, 3), np.uint8)

    def pictures(self, index: int, row: Array) -> list[Array]:
        return [self.render(index)]


@pytest.mark.parametrize(("game", "rate"), [(Timed, 12.5), (Walk, 0.0)])
def test_a_recording_has_the_rate_of_its_game(
    game: type[Walk], rate: float, tmp_path: Path
) -> None:
    Recording(tmp_path, Trainer(game(2), Config()))
    assert read_header(tmp_path / FOLDER).rate == rate


def test_the_arena_is_recorded_with_its_offers_and_the_log_probability_of_each_branch(
    tmp_path: Path,
) -> None:
    config = Config()
    config.ppo.horizon = 128
    game = make("arena", 2, level=QUICK)
    trainer = Trainer(game, config)
    recording = Recording(tmp_path, trainer)
    rollouts: list[Rollout] = []

    def watch(rollout: Rollout) -> None:
        recording.append(rollout)
        rollouts.append(rollout)

    trainer.iterate(watch)
    recording.flush()
    branches = len(game.action_layout.branches)
    (rollout,) = rollouts
    store = EpisodeStore(tmp_path / FOLDER)
    at = dict.fromkeys(range(2), rollout.first)
    offered = ended = 0
    for env, number in sorted(store.entries(complete=False)):
        episode = store.read(env, number)
        assert episode.log_prob.shape == (len(episode), branches)
        steps = slice(at[env], at[env] + len(episode))
        np.testing.assert_array_equal(episode.log_prob, rollout.log_prob[steps, env])
        np.testing.assert_array_equal(episode.action, rollout.action[steps, env])
        offers = episode.observation["offers"][: len(episode)]
        np.testing.assert_array_equal(offers, rollout.observation["offers"][steps, env])
        offered += int(episode.observation["offers_mask"].any(-1).sum())
        ended += episode.complete
        at[env] += len(episode) + episode.complete  # the step that only resets is nobody's
    assert offered, "nothing was ever offered"
    assert ended, "no episode followed another"
    assert len(np.unique(rollout.log_prob[rollout.first :].sum(-1))) > 100
