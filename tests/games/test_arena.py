"""The arena behind BatchGame: what policies see is the game's state, written where they read it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from metabonk import _core, games, observations
from metabonk.errors import ConfigError, CorruptError, SpecError
from metabonk.games.arena import ArenaEnv, make, source_of
from metabonk.games.batch import allocate
from metabonk.games.level import Enemies, Level, Time
from metabonk.protocols import BatchGame, Visible
from metabonk.records import FieldGroup

# Many enemies at once, short, with menus: everything that an observation holds comes up.
BUSY = Level(
    time=Time(duration=20.0),
    enemies=Enemies(at_start=150, damage=0.2),
    start_weapons=("sword", "aura"),
    start_weapon_level=6,
)


class Buffers:
    def __init__(self, game, rows=None):
        n = rows or game.num_envs
        self.observation = allocate(game.observation_space, n)
        self.reward = np.zeros(n, np.float32)
        self.flags = tuple(np.zeros(n, np.bool_) for _ in range(3))

    def step(self, game, rows):
        game.step_into(rows, self.observation, self.reward, *self.flags)

    def all(self):
        return [*self.observation.values(), self.reward, *self.flags]


def random_rows(rng, num):
    rows = np.zeros((num, 12), np.float32)
    rows[:, :4] = rng.uniform(-1, 1, (num, 4))
    rows[:, 4:9] = rng.random((num, 5)) < 0.3
    rows[:, 9] = rng.integers(0, 6, num)
    rows[:, 10:] = rng.uniform(-1, 1, (num, 2))
    return rows


def test_protocols_and_spaces():
    game = games.make("arena", num_envs=2, pixels=(36, 64))
    assert isinstance(game, BatchGame)
    assert isinstance(game, Visible)
    layout = {
        key: (space.shape, space.dtype.name) for key, space in game.observation_space.spaces.items()
    }
    assert layout == _core.arena.layout(36, 64)
    assert game.frame_rate == 15.0
    assert games.make("arena", frame_skip=2).frame_rate == 30.0
    assert "pixels" not in games.make("arena").observation_space.spaces
    assert game.action_layout.columns == 12


def test_observations_are_a_function_of_the_game_state():
    game = games.make("arena", num_envs=4, level=BUSY)
    buffers = Buffers(game)
    game.reset_into(buffers.observation, range(4))
    rng = np.random.default_rng(0)
    menus = offers = 0
    for _ in range(120):
        for i in range(4):
            state = game.game_state(i)
            assert state.fields == FieldGroup.EVERYTHING
            menus += state.menu == "LevelUp"
            offers += bool(state.offers)
            for key, array in observations.observe(state).items():
                np.testing.assert_array_equal(buffers.observation[key][i], array, err_msg=key)
        buffers.step(game, random_rows(rng, 4))
        for key, space in game.observation_space.spaces.items():
            assert space.contains(buffers.observation[key][0]), key
    assert menus > 10
    assert offers > 10


def test_the_core_writes_into_the_rows_it_is_given():
    """A rollout's slot is what the policy reads: same memory, no copy between."""
    game = games.make("arena", num_envs=3, pixels=(36, 64))
    rollout = {
        key: np.zeros((5, 3, *space.shape), space.dtype)
        for key, space in game.observation_space.spaces.items()
    }
    slots = [{key: array[t] for key, array in rollout.items()} for t in range(5)]
    buffers = Buffers(game)
    game.reset_into(slots[0], [1, 2, 3])
    rng = np.random.default_rng(1)
    for t in range(1, 5):
        game.step_into(random_rows(rng, 3), slots[t], buffers.reward, *buffers.flags)
    for t in range(5):
        assert rollout["pixels"][t].std() > 5
        assert rollout["state"][t].any()
        whole = rollout["state"]
        bound = slots[t]["state"].__array_interface__["data"][0]
        assert bound == whole.__array_interface__["data"][0] + t * whole[0].nbytes
    assert (rollout["state"][1] != rollout["state"][4]).any()


def test_snapshots_continue_bit_for_bit_in_another_batch():
    game = games.make("arena", num_envs=3, level=BUSY, threads=2)
    buffers = Buffers(game)
    game.reset_into(buffers.observation, [7, 8, 9])
    rng = np.random.default_rng(5)
    actions = [random_rows(rng, 3) for _ in range(200)]
    for rows in actions[:60]:
        buffers.step(game, rows)
    state = game.clone_state()
    now = [a.copy() for a in buffers.observation.values()]
    for rows in actions[60:]:
        buffers.step(game, rows)
    expected, hashes = [a.copy() for a in buffers.all()], game.hashes()
    other = games.make("arena", num_envs=3, level=BUSY, threads=1)
    again = Buffers(other)
    other.restore_state(state)
    other.observe_into(again.observation)
    for array, want in zip(again.observation.values(), now, strict=True):
        np.testing.assert_array_equal(array, want)
    for rows in actions[60:]:
        again.step(other, rows)
    for array, want in zip(again.all(), expected, strict=True):
        np.testing.assert_array_equal(array, want)
    np.testing.assert_array_equal(other.hashes(), hashes)
    with pytest.raises(CorruptError):
        other.restore_state(state[:-1])


def test_sending_and_receiving_equals_stepping():
    whole = games.make("arena", num_envs=6, level=BUSY)
    part = games.make("arena", num_envs=6, level=BUSY, threads=2, batch_size=2)
    all_rows, first, pair = Buffers(whole), Buffers(part), Buffers(part, rows=2)
    whole.reset_into(all_rows.observation, range(6))
    part.reset_into(first.observation, range(6))
    for got, want in zip(first.all(), all_rows.all(), strict=True):
        np.testing.assert_array_equal(got, want)
    rng = np.random.default_rng(3)
    for _ in range(20):
        rows = random_rows(rng, 6)
        part.send(rows, np.arange(6, dtype=np.int32))
        all_rows.step(whole, rows)
        seen = []
        for _ in range(3):
            ids = part.recv(pair.observation, pair.reward, *pair.flags)
            for row, env in enumerate(ids.tolist()):
                for got, want in zip(pair.all(), all_rows.all(), strict=True):
                    np.testing.assert_array_equal(got[row], want[env])
            seen.extend(ids.tolist())
        assert sorted(seen) == list(range(6))
    np.testing.assert_array_equal(part.hashes(), whole.hashes())


def test_levels_by_name_path_data_and_environment(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"tier": 2}))
    for level, tier in (("hard", None), (str(file), 2), ({"tier": 3}, 3), (Level(tier=2), 2)):
        game = games.make("arena", level=level)
        if tier:
            game.reset_into({}, [0])
            assert game.game_state(0).tier == tier
    game = games.make("arena", num_envs=3, level=[Level(tier=t) for t in (1, 2, 3)])
    game.reset_into({}, [0, 1, 2])
    assert [game.game_state(i).tier for i in range(3)] == [1, 2, 3]
    with pytest.raises(ConfigError, match="3 given for 2"):
        games.make("arena", num_envs=2, level=[Level()] * 3)
    with pytest.raises(SpecError, match=r"\$\.tier"):
        games.make("arena", level={"tier": 9})


def test_an_environment_changes_its_level():
    env = ArenaEnv()
    _, info = env.reset(seed=0)
    assert info["level"] == 1
    env.reset(seed=0, options={"level": {"tier": 3}})
    assert env.source.name == "arena"
    observation, *_ = env.step(env.action_space.sample())
    assert observation["state"][observations.STATE_FEATURES.index("tier")] == 1.0
    with pytest.raises(ConfigError, match="known is 'level'"):
        env.reset(options={"lvl": 1})


def test_pictures_and_walkability():
    game = games.make("arena", num_envs=2)
    game.reset_into({}, [4, 5])
    frame = game.render(1)
    assert frame.shape == (360, 640, 3)
    assert frame.std() > 10
    cells = game.walkability(1)
    assert cells.shape == (128, 128)
    assert set(np.unique(cells)) == {0, 1}
    x, y, _ = game.game_state(1).position
    assert cells[int(y), int(x)] == 1


def test_errors_name_the_remedy():
    game = games.make("arena", num_envs=2)
    with pytest.raises(ConfigError, match="2 environments"):
        game.reset_into({}, [0])
    with pytest.raises(KeyError, match="pixel"):
        game.reset_into({"pixel": np.zeros(2)}, [0, 1])
    with pytest.raises(TypeError, match="state: must have dtype float32"):
        game.reset_into({"state": np.zeros((2, 64))}, [0, 1])
    with pytest.raises(ConfigError, match="threads"):
        games.make("arena", threads=-1)
    for size in ((-1, 5), (0, 5), (5000, 5)):
        with pytest.raises(ConfigError, match="pixels"):
            games.make("arena", pixels=size)
    assert source_of().distinct is False


def test_pictures_between_decisions_are_what_finer_decisions_show() -> None:
    coarse = make("", 1, frame_skip=16)
    fine = make("", 1, frame_skip=4)
    assert coarse.picture_rate == fine.picture_rate == fine.frame_rate == 15.0
    assert coarse.frame_rate == 3.75
    row = np.zeros(12, np.float32)
    row[:2] = 0.6, -0.8
    row[10:] = -1.0
    for game in (coarse, fine):
        game.reset_into(allocate(game.observation_space, 1), [7])
    before = coarse.hashes()
    shown = coarse.pictures(0, row)
    assert len(shown) == 4
    assert (coarse.hashes() == before).all()
    outcome = (np.zeros(1, np.float32), *(np.zeros(1, np.bool_) for _ in range(3)))
    for picture in shown:
        (expected,) = fine.pictures(0, row)
        assert np.array_equal(picture, expected)
        fine.step_into(row[None], allocate(fine.observation_space, 1), *outcome)
    assert not np.array_equal(shown[0], shown[-1])
    varied = make("", 1, level={"time": {"skip_min": 3, "skip_max": 6}})
    assert varied.picture_rate == varied.frame_rate
    assert len(varied.pictures(0, row)) == 1
