"""gym/<id>: Gymnasium's environments step the same through BatchGame as on their own."""

from __future__ import annotations

import re

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces as gs
from gymnasium.vector import SyncVectorEnv

from metabonk import games
from metabonk.errors import ConfigError, GameError, MissingExtraError
from metabonk.games.batch import allocate
from metabonk.protocols import BatchGame


class Mixed(gymnasium.Env):
    """Every kind of space at once, ends after four steps; checks the actions it gets."""

    observation_space = gs.Dict(
        {
            "where": gs.Tuple((gs.Discrete(3, start=2), gs.Box(-1.0, 1.0, (2,), np.float64))),
            "cards": gs.MultiDiscrete([2, 3]),
            "flags": gs.MultiBinary(3),
            "image": gs.Box(0, 255, (4, 4, 3), np.uint8),
        }
    )
    action_space = gs.Dict(
        {
            "steer": gs.Box(-0.5, 0.5, (2,), np.float32),
            "gear": gs.Discrete(4, start=1),
            "keys": gs.MultiBinary(2),
        }
    )

    def _observe(self):
        t = self.t
        return {
            "where": (2 + t % 3, np.array([0.25 * t - 0.5, 0.5])),
            "cards": np.array([t % 2, t % 3]),
            "flags": np.array([1, 0, t % 2], np.int8),
            "image": np.full((4, 4, 3), 10 * t, np.uint8),
        }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._observe(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.t += 1
        reward = float(action["gear"] + action["steer"].sum() + 10 * action["keys"].sum())
        return self._observe(), reward, False, self.t == 4, {}


gymnasium.register("MetabonkMixedTest-v0", entry_point=Mixed)


def outputs(game):
    n = game.num_envs
    return (
        allocate(game.observation_space, n),
        np.zeros(n, np.float32),
        np.zeros(n, np.bool_),
        np.zeros(n, np.bool_),
        np.zeros(n, np.bool_),
    )


def test_equals_sync_vector_env_step_by_step():
    game = games.make("gym/Acrobot-v1", num_envs=3)
    assert isinstance(game, BatchGame)
    # A short limit makes episodes end, so that resets are compared too.
    game._envs = SyncVectorEnv([lambda: gymnasium.make("Acrobot-v1", max_episode_steps=7)] * 3)
    peer = SyncVectorEnv([lambda: gymnasium.make("Acrobot-v1", max_episode_steps=7)] * 3)
    observation, reward, terminated, truncated, is_reset = outputs(game)
    game.reset_into(observation, [5, 6, 2**63])
    expected, _ = peer.reset(seed=[5, 6, 2**63])
    np.testing.assert_array_equal(observation["observation"], expected)
    rng = np.random.default_rng(0)
    ended = np.zeros(3, bool)
    resets = 0
    for _ in range(40):
        rows = rng.integers(0, 3, (3, 1)).astype(np.float32)
        game.step_into(rows, observation, reward, terminated, truncated, is_reset)
        expected, peer_reward, peer_term, peer_trunc, _ = peer.step(rows[:, 0].astype(np.int64))
        np.testing.assert_array_equal(observation["observation"], expected)
        np.testing.assert_array_equal(reward, peer_reward.astype(np.float32))
        np.testing.assert_array_equal(terminated, peer_term)
        np.testing.assert_array_equal(truncated, peer_trunc)
        np.testing.assert_array_equal(is_reset, ended)
        ended = terminated | truncated
        resets += int(is_reset.sum())
    assert resets >= 9


def test_cartpole_uses_its_own_vector_environment_and_counts_episodes():
    game = games.make("gym/CartPole-v1", num_envs=16)
    assert type(game._envs.unwrapped).__name__ == "CartPoleVectorEnv"
    observation, reward, terminated, truncated, is_reset = outputs(game)
    game.reset_into(observation, range(16))
    first = observation["observation"].copy()
    rng = np.random.default_rng(1)
    returns, ends = np.zeros(16), 0
    for _ in range(120):
        ended = terminated | truncated
        rows = rng.integers(0, 2, (16, 1)).astype(np.float32)
        game.step_into(rows, observation, reward, terminated, truncated, is_reset)
        np.testing.assert_array_equal(is_reset, ended)
        returns = np.where(is_reset, 0.0, returns + reward)
        info = game.episode_info()
        np.testing.assert_array_equal(info["return"], returns)
        np.testing.assert_array_equal(info["length"], returns)  # one point a step
        ends += int((terminated | truncated).sum())
    assert ends > 30
    game.reset_into(observation, range(16))
    np.testing.assert_array_equal(observation["observation"], first)
    assert not game.episode_info()["length"].any()
    game.reset_into(observation, range(1, 17))
    assert (observation["observation"] != first).any()


def test_every_kind_of_space():
    game = games.make("gym/MetabonkMixedTest-v0", num_envs=2)
    shapes = {k: (s.shape, s.dtype) for k, s in game.observation_space.spaces.items()}
    assert shapes == {
        "where.0": ((3,), np.float32),
        "where.1": ((2,), np.float32),
        "cards": ((5,), np.float32),
        "flags": ((3,), np.float32),
        "image": ((4, 4, 3), np.uint8),
    }
    observation, reward, terminated, truncated, is_reset = outputs(game)
    game.reset_into(observation, [0, 1])
    names = [b.name for b in game.action_layout.branches]
    rows = np.zeros((2, game.action_layout.columns), np.float32)
    column = {b.name: b.column for b in game.action_layout.branches}
    assert set(names) == {"steer", "gear", "keys.0", "keys.1"}
    rows[:, column["steer"]] = 9.0  # clipped to 0.5
    rows[1, column["gear"]] = 2.0  # the third of 1..4
    rows[1, column["keys.1"]] = 1.0
    game.step_into(rows, observation, reward, terminated, truncated, is_reset)
    np.testing.assert_allclose(reward, [1.5, 13.5])
    np.testing.assert_array_equal(observation["where.0"], [[0, 1, 0]] * 2)
    np.testing.assert_allclose(observation["where.1"], [[-0.25, 0.5]] * 2)
    np.testing.assert_array_equal(observation["cards"], [[0, 1, 0, 1, 0]] * 2)
    np.testing.assert_array_equal(observation["flags"], [[1, 0, 1]] * 2)
    assert (observation["image"] == 10).all()


def test_only_bound_keys_are_written():
    game = games.make("gym/MetabonkMixedTest-v0", num_envs=2)
    image = np.ones((2, 4, 4, 3), np.uint8)
    game.reset_into({"image": image}, [0, 1])
    assert (image == 0).all()
    with pytest.raises(ConfigError, match="no key 'pixels'"):
        game.reset_into({"pixels": image}, [0, 1])


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (ModuleNotFoundError("No module named 'jax'"), GameError),
        (MissingExtraError("vizdoom", "games", "Doom"), MissingExtraError),  # said as it is
    ],
)
def test_what_an_environment_lacks_is_told(error, wanted):
    def lacking(**_):
        raise error

    gymnasium.register("tests/Lacking-v0", lacking)
    try:
        with pytest.raises(wanted, match=re.escape(str(error))):
            games.make("gym/tests/Lacking-v0")
    finally:
        del gymnasium.registry["tests/Lacking-v0"]


def test_errors_name_the_remedy():
    with pytest.raises(ConfigError, match="CartPole"):
        games.make("gym/CartPoel-v1")
    game = games.make("gym/CartPole-v1", num_envs=2)
    with pytest.raises(ConfigError, match="2 environments"):
        game.reset_into({}, [1])
    with pytest.raises(GameError, match="no snapshots"):
        game.clone_state()


class Breezy(gymnasium.Env):
    """What it shows first and in every step is drawn; it ends when a policy says so."""

    observation_space = gs.Box(-9.0, 9.0, (1,), np.float64)
    action_space = gs.Discrete(2)

    def _drawn(self):
        return self.np_random.standard_normal(1).clip(-9, 9)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._drawn(), {}

    def step(self, action):
        return self._drawn(), 1.0, bool(action), False, {}


gymnasium.register("MetabonkBreezyTest-v0", entry_point=Breezy)


def beginnings(game, lengths, episodes=4):
    """The first observation of each episode [episodes, N, ...]; environment i ends those that it
    can end, here and in CartPole, after about `lengths[i]` steps."""
    observation, reward, terminated, truncated, is_reset = outputs(game)
    seen = observation["observation"]
    game.reset_into(observation, range(3, 3 + game.num_envs))
    found = [[row.copy()] for row in seen]
    clock = np.zeros(game.num_envs, int)
    while min(map(len, found)) < episodes:
        clock += 1
        rows = (clock >= lengths).astype(np.float32)[:, None]  # ends Breezy; pushes to one side
        game.step_into(rows, observation, reward, terminated, truncated, is_reset)
        for i in np.flatnonzero(is_reset):
            clock[i] = 0
            found[i].append(seen[i].copy())
    game.close()
    return np.stack([rows[:episodes] for rows in found], 1)


@pytest.mark.parametrize("name", ["gym/CartPole-v1", "gym/MetabonkBreezyTest-v0"])
def test_seeded_episodes_are_the_same_for_whoever_plays(name):
    quick, slow, mixed = np.array([1, 1, 1]), np.array([9, 9, 9]), np.array([1, 5, 30])
    first = beginnings(games.make(name, 3, seeded=True), quick)
    for lengths in (slow, mixed):
        np.testing.assert_array_equal(beginnings(games.make(name, 3, seeded=True), lengths), first)
    assert len(np.unique(first)) == first.size  # all are different ones
    # The control: what was drawn before decides what comes next.
    unseeded = beginnings(games.make(name, 3), quick)
    other = beginnings(games.make(name, 3), mixed)
    np.testing.assert_array_equal(unseeded[0], other[0])
    assert (unseeded[1:] != other[1:]).any()


def test_visible_games_show_what_they_play() -> None:
    pytest.importorskip("pygame")
    game = games.make("gym/CartPole-v1", 2, visible=True)
    observation = allocate(game.observation_space, 2)
    game.reset_into(observation, [1, 2])
    first = [game.render(i).copy() for i in range(2)]
    assert first[0].dtype == np.uint8
    assert first[0].shape[2] == 3
    assert game.frame_rate == 50
    rest = (np.zeros(2, np.float32), *(np.zeros(2, np.bool_) for _ in range(3)))
    for _ in range(5):
        game.step_into(np.ones((2, 1), np.float32), observation, *rest)
    assert (game.render(0) != first[0]).any()
    game.close()
    hidden = games.make("gym/CartPole-v1", 1)
    with pytest.raises(GameError, match="visible=True"):
        hidden.render(0)
