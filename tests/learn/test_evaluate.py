"""Evaluation: the same episodes for everybody, honest intervals, exact counts."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tiny_games import SeenAndActed, Walk

from metabonk.config import ModelConfig
from metabonk.errors import GameError
from metabonk.learn.assess import side_by_side
from metabonk.learn.evaluate import (
    ALIKE,
    FEW,
    Evaluation,
    bootstrap_ci95,
    compare,
    evaluate,
    interval95,
    play,
)
from metabonk.models.actor import Actor, Uniform
from metabonk.models.policy import build
from metabonk.spaces import ActionLayout


class Always:
    """Takes choice 1 whatever it sees."""

    def reset(self, num_envs: int) -> None:
        return None

    def act(self, observation, state, is_first):
        return np.ones((len(is_first), 1), np.float32), None


class Right:
    """Matches what it sees."""

    def reset(self, num_envs: int) -> int:
        return 0

    def act(self, observation, state, is_first):
        return (observation["observation"] > 0).astype(np.float32), state + 1


def test_everybody_plays_the_same_episodes() -> None:
    game = SeenAndActed(10)
    first = play(game, Always(), 30, seed=1)
    again = play(game, Always(), 30, seed=1)
    np.testing.assert_array_equal(first["return"], again["return"])
    assert len(first["return"]) == 30
    assert (first["length"] == 1).all()
    assert not np.array_equal(play(game, Always(), 30, seed=2)["return"], first["return"])
    assert (play(game, Right(), 30, seed=1)["return"] == 1).all()


def test_each_environment_gives_the_same_number_of_episodes() -> None:
    """Quick deaths must not count more often than long lives."""
    game = Walk(8)
    table = play(game, Uniform(game.action_layout), 24, seed=0)
    assert len(table["return"]) == 24
    long = play(game, Uniform(game.action_layout), 800, seed=0)
    assert long["length"].mean() == pytest.approx(10.3, abs=0.5)


def test_returns_are_sums_of_rewards() -> None:
    game = Walk(5)
    found = play(game, Always(), 5, seed=0)["return"]
    game.reset_into({"observation": np.zeros((5, 3), "f4")}, [0] * 5)
    for value, length in zip(found, play(game, Always(), 5, seed=0)["length"], strict=True):
        start = 5 - int(length)
        assert value == pytest.approx(sum(range(start + 1, 6)) * 0.1, rel=1e-5)


def test_a_better_policy_is_told_from_an_equal_one() -> None:
    game = SeenAndActed(32)
    result = evaluate(
        game,
        Right(),
        episodes=128,
        seed=0,
        baselines={"random": Uniform(game.action_layout), "scripted": Right()},
    )
    assert result.return_mean == 1.0
    assert result.against["random"].better
    assert result.against["scripted"].ci95 == (0.0, 0.0)
    assert not result.against["scripted"].better
    summary = result.summary()
    assert summary["scripted_mean"] == 1.0
    assert summary["difference_ci95"] == (0.0, 0.0)
    assert summary["episodes"] == 128


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        values = generator.normal(0.3, 1.0, 40)
        low, high = bootstrap_ci95(values)
        hits += low <= 0.3 <= high
    assert 0.90 <= hits / 300 <= 0.98
    assert bootstrap_ci95(values) == bootstrap_ci95(values)


def covered(interval, count: int, trials: int = 300) -> float:
    """How often an interval of `count` normal values holds their mean."""
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(trials):
        low, high = interval(generator.normal(0.3, 1.0, count))
        hits += low <= 0.3 <= high
    return hits / trials


@pytest.mark.parametrize("count", [2, 4])
def test_an_interval_of_few_episodes_is_not_too_sure(count: int) -> None:
    assert covered(interval95, count) >= 0.93
    assert covered(bootstrap_ci95, count) < 0.9  # the control: the bootstrap alone is


def test_many_episodes_have_the_bootstraps_interval() -> None:
    values = np.random.default_rng(3).exponential(1.0, FEW)
    assert interval95(values) == bootstrap_ci95(values)
    low, high = interval95(values[:-1]) or (0.0, 0.0)
    inner = bootstrap_ci95(values[:-1])
    assert low < inner[0] < inner[1] <= high


def test_where_nothing_can_be_told_there_is_no_interval() -> None:
    alone = compare(np.array([5.0]), np.array([1.0]))
    assert (alone.difference, alone.ci95) == (4.0, None)
    assert alone.bounds == (-np.inf, np.inf)
    assert not alone.better
    assert not alone.worse
    # All alike: nobody knows by how much others would differ.
    assert compare(np.ones(ALIKE - 1), np.zeros(ALIKE - 1)).ci95 is None
    assert compare(np.ones(ALIKE), np.zeros(ALIKE)).better
    assert compare(np.zeros(ALIKE), np.ones(ALIKE)).worse
    assert compare(np.ones(2), np.ones(2)).ci95 == (0.0, 0.0)  # no difference, and none claimed


@pytest.mark.parametrize("episodes", [1, 4])
def test_an_evaluation_of_few_episodes_survives_its_file(episodes: int) -> None:
    game = SeenAndActed(episodes)
    baselines = {"random": Uniform(game.action_layout)}
    found = evaluate(game, Right(), episodes=episodes, seed=0, baselines=baselines)
    kept = msgspec.json.decode(msgspec.json.encode(found), type=Evaluation)
    assert kept == found
    assert (found.summary()["difference_ci95"] is None) == (episodes == 1)


class Fragile(Walk):
    """A game whose process dies in the fourth step of the first episode of every second
    environment, and as the first episode of the others begins."""

    name = "fragile"
    deaths = 1

    def reset_into(self, observation, seeds) -> None:
        super().reset_into(observation, seeds)
        self.crashes = np.full(self.num_envs, 7)  # of before
        self.left = np.where(np.arange(self.num_envs) % 2, 0, self.deaths)
        self.starting = self.left == 0

    def step_into(self, actions, observation, reward, terminated, truncated, is_reset) -> None:
        super().step_into(actions, observation, reward, terminated, truncated, is_reset)
        self.crashes += self.starting & is_reset
        self.starting &= ~is_reset
        dies = (self.state["time"] == 4) & (self.left > 0) & ~terminated & ~truncated
        self.left -= dies
        self.crashes += dies
        truncated |= dies
        reward[dies] = 0.0
        self.state["ended"] |= dies

    def episode_info(self):
        return {**super().episode_info(), "crashes": self.crashes.copy()}


def test_an_episode_that_a_crash_ended_does_not_count() -> None:
    table = play(Fragile(4), Always(), 8, seed=0)
    sound = play(Walk(4), Always(), 12, seed=0)  # always right: 4 or 6 steps
    assert table["crashes"].reshape(4, 2).tolist() == [[1, 0], [0, 0], [1, 0], [0, 0]]
    assert table["length"].min() >= 4
    # In its place the next one was played; where none was lost they are the same ones.
    rows, whole = table["return"].reshape(4, 2), sound["return"].reshape(4, 3)
    np.testing.assert_array_equal(rows[0::2], whole[0::2, 1:])
    np.testing.assert_array_equal(rows[1::2], whole[1::2, :2])
    game = Fragile(4)
    found = evaluate(game, Always(), episodes=8, seed=0, baselines={"random": Always()})
    assert found.crashes == found.summary()["crashes"] == 4
    steady = evaluate(Walk(4), Always(), episodes=8, seed=0, baselines={"random": Always()})
    assert steady.crashes == 0
    assert "crashes" not in steady.summary()


class Unsure(Always):
    """Decides by no number wherever it begins an episode: as where an observation was none."""

    def act(self, observation, state, is_first):
        return np.where(is_first[:, None], np.nan, 1.0).astype(np.float32), None


class Kept(Walk):
    """Keeps what it was asked to do."""

    def step_into(self, actions, *arrays) -> None:
        self.asked = [*getattr(self, "asked", []), actions.copy()]
        super().step_into(actions, *arrays)


def test_what_is_no_number_is_not_played_and_is_counted() -> None:
    game = Kept(4)
    found = evaluate(game, Unsure(), episodes=8, seed=0, baselines={"random": Always()})
    rows = np.concatenate(game.asked)
    assert np.isfinite(rows).all()
    assert (rows == game.action_layout.neutral()).any(), "as little as can be is done instead"
    assert found.unplayed == found.summary()["unplayed"] == 8, "once in each episode that counts"
    assert "unplayed" not in found.info
    sound = evaluate(game, Always(), episodes=8, seed=0, baselines={"random": Always()})
    assert sound.unplayed == 0
    assert "unplayed" not in sound.summary()


def test_a_game_that_only_crashes_is_an_error() -> None:
    game = Fragile(2)
    game.deaths = 10**6
    with pytest.raises(GameError, match="fragile: 2 episodes broke off by a crash"):
        play(game, Always(), 2, seed=0)


def test_pairing_removes_what_the_level_gives() -> None:
    generator = np.random.default_rng(1)
    level = generator.normal(0, 100, 64)
    ours, theirs = level + 1 + generator.normal(0, 0.5, 64), level
    assert compare(ours, theirs).better
    assert not compare(ours, generator.permutation(theirs)).better


def test_an_episode_without_end_is_an_error() -> None:
    game = Walk(2)
    game.length = 10**9

    class Back:
        def reset(self, num_envs):
            return 0

        def act(self, observation, state, is_first):
            return np.full((2, 1), state % 2, np.float32), state + 1

    with pytest.raises(GameError, match="50 steps"):
        play(game, Back(), 2, seed=0, max_steps=50)


@pytest.mark.parametrize("name", ["mlp", "pilot", "mamba"])
def test_actors_are_pure_functions_of_seed_and_state(name: str) -> None:
    game = Walk(4)
    model = build(
        game.observation_space, game.action_layout, ModelConfig(name=name, hidden=8), seed=0
    )

    def actions(sampled: bool, seed: int) -> np.ndarray:
        return play(game, Actor(model, sampled=sampled, seed=seed), 16, seed=0)["return"]

    np.testing.assert_array_equal(actions(True, 1), actions(True, 1))
    assert not np.array_equal(actions(True, 1), actions(True, 2))
    np.testing.assert_array_equal(actions(False, 1), actions(False, 2))


def test_uniform_obeys_masks_bounds_and_fixed_branches() -> None:
    from gymnasium import spaces as gs

    layout = ActionLayout.of(
        gs.Dict([("gear", gs.Discrete(3)), ("aim", gs.Box(2, 4, (2,))), ("go", gs.Discrete(2))]),
        masked=("gear",),
    )
    policy = Uniform(layout, fixed={"go": 1.0})
    mask = np.tile(np.array([1, 0, 1], np.uint8), (4000, 1))
    rows, _ = policy.act({"action_mask": mask}, 0, np.ones(4000, bool))
    shares = np.bincount(rows[:, 0].astype(int), minlength=3) / 4000
    np.testing.assert_allclose(shares, [0.5, 0, 0.5], atol=0.04)
    assert rows[:, 1:3].min() >= 2
    assert rows[:, 1:3].max() <= 4
    assert rows[:, 1:3].mean() == pytest.approx(3, abs=0.05)
    assert (rows[:, 3] == 1).all()


def test_environments_divide_the_episodes_where_they_can() -> None:
    assert [side_by_side(n, 128) for n in (1, 64, 100, 256, 200)] == [1, 64, 100, 128, 100]
    assert [side_by_side(n, 4) for n in (3, 64, 62, 7)] == [3, 4, 2, 1]
