"""grid64 as batches, demonstrations, replays and pictures. The rules are tested in tests/csrc."""

from __future__ import annotations

import itertools

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv

from metabonk import _core, games
from metabonk.errors import ConfigError, CorruptError
from metabonk.games import grid64
from metabonk.games.batch import allocate
from metabonk.games.grid64_env import Grid64Env, Grid64VectorEnv
from metabonk.games.native import NativeGame
from metabonk.games.registration import grid64_id
from metabonk.protocols import BatchGame, Visible

NAMES = grid64.names()


class Rows:
    """Arrays for one batch, filled with rubbish so that what is not written shows."""

    def __init__(self, game: NativeGame) -> None:
        self.observation = allocate(game.observation_space, game.num_envs)
        for array in self.observation.values():
            array[:] = 99
        self.reward = np.full(game.num_envs, -1, np.float32)
        self.flags = tuple(np.ones(game.num_envs, np.bool_) for _ in range(3))

    def step(self, game: NativeGame, actions: np.ndarray) -> None:
        game.step_into(actions, self.observation, self.reward, *self.flags)


def random_rows(rng: np.random.Generator, num: int) -> np.ndarray:
    columns = [rng.integers(0, high, num) for high in (7, 64, 64)]
    return np.stack(columns, 1).astype(np.float32)


def make(name: str, num_envs: int, **settings: object) -> NativeGame:
    game = games.make(f"grid64/{name}", num_envs, **settings)
    assert isinstance(game, NativeGame)
    return game


def test_there_are_nine_games_and_each_says_what_it_is() -> None:
    listed = grid64.games()
    assert len(listed) == 9
    assert all(text.endswith(".") and len(text) < 100 for text in listed.values())
    assert all(grid64.limits(name)[0] >= 4 for name in listed)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_a_game_that_can_be_watched(name: str) -> None:
    game = make(name, 3)
    assert isinstance(game, BatchGame)
    assert isinstance(game, Visible)
    rows = Rows(game)
    game.reset_into(rows.observation, [1, 2, 3])
    for index in range(3):
        one = {key: array[index] for key, array in rows.observation.items()}
        assert game.observation_space.contains(one)
        frame = game.render(index)
        assert frame.shape == (512, 512, 3)
        np.testing.assert_array_equal(frame, grid64.upscale(one["cells"]))
    assert len(np.unique(rows.observation["cells"])) >= 5


@pytest.mark.parametrize("name", NAMES)
def test_the_solver_wins_and_its_demonstration_replays(name: str) -> None:
    for split in ("train", "test"):
        for seed in range(20):
            demonstration = grid64.demonstrate(name, seed, split)
            steps = len(demonstration.actions)
            assert demonstration.won
            assert demonstration.reward.sum() == grid64.limits(name)[0]
            assert demonstration.observations["cells"].shape == (steps + 1, 64, 64)
            game = make(name, 1, split=split)
            rows = Rows(game)
            game.reset_into(rows.observation, [seed])
            for t, action in enumerate(demonstration.actions):
                for key, array in demonstration.observations.items():
                    np.testing.assert_array_equal(rows.observation[key][0], array[t])
                mask = demonstration.observations["action_mask"][t]
                assert mask[int(action[0])] == 1
                rows.step(game, action[None])
                assert rows.reward[0] == demonstration.reward[t]
            assert rows.flags[0][0]
            assert not rows.flags[1][0]
            assert game.episode_info()["won"][0]
            assert grid64.STATES[game.episode_info()["game_state"][0]] == "WIN"


def test_random_play_earns_far_less_than_the_solver() -> None:
    rng = np.random.default_rng(0)
    for name in NAMES:
        game = make(name, 64)
        rows = Rows(game)
        game.reset_into(rows.observation, range(64))
        returns: list[float] = []
        while len(returns) < 200:
            rows.step(game, random_rows(rng, 64))
            ended = rows.flags[0] | rows.flags[1]
            returns.extend(game.episode_info()["return"][ended].tolist())
        assert np.mean(returns) < 1.0, name  # of five levels


def test_idle_episodes_end_by_the_limit_and_only_clocks_and_noise_move() -> None:
    still = {"key_door", "t_maze", "noisy_tv", "push_blocks", "click_switch", "memory_match"}
    for name in NAMES:
        idle = grid64.stall(name, 4)
        assert not idle.won
        assert idle.reward.sum() == 0.0
        assert len(idle.actions) == grid64.limits(name)[1]
        moved = np.any(idle.observations["cells"][1:] != idle.observations["cells"][:-1])
        if name in still:
            assert not moved, name
    clock = grid64.stall("stall_clock", 4).observations["cells"]
    assert all(np.any(a[:, 48:] != b[:, 48:]) for a, b in itertools.pairwise(clock))


def test_splits_have_different_levels_for_the_same_seeds() -> None:
    for name in NAMES:
        first: dict[str, set[bytes]] = {"train": set(), "test": set()}
        for split, frames in first.items():
            game = make(name, 256, split=split)
            rows = Rows(game)
            game.reset_into(rows.observation, range(256))
            frames.update(cells.tobytes() for cells in rows.observation["cells"])
        assert not first["train"] & first["test"], name


def first_frames(game: NativeGame, rows: Rows, steps: int) -> set[bytes]:
    """The first frames of all episodes that random play begins."""
    rng = np.random.default_rng(0)
    found = {cells.tobytes() for cells in rows.observation["cells"]}
    for _ in range(steps):
        rows.step(game, random_rows(rng, game.num_envs))
        begun = rows.observation["cells"][rows.flags[2]]
        found |= {cells.tobytes() for cells in begun}
    return found


def test_as_many_layouts_as_are_asked_for_come_again_and_again() -> None:
    """Those of the first seeds; each has its own later levels, too."""
    game, free = make("ice_slide", 16, layouts=3), make("ice_slide", 16)
    rows, plain = Rows(game), Rows(free)
    game.reset_into(rows.observation, range(3, 19))
    free.reset_into(plain.observation, range(16))
    known = [cells.tobytes() for cells in plain.observation["cells"][:3]]
    assert [c.tobytes() for c in rows.observation["cells"]] == [known[i % 3] for i in range(16)]
    assert first_frames(game, rows, 300) == set(known)
    assert len(first_frames(free, plain, 300)) > 50
    state = game.clone_state()
    with pytest.raises(CorruptError, match="another game, split or number of layouts"):
        free.restore_state(state)
    game.restore_state(state)
    with pytest.raises(ConfigError, match="layouts: -1, give how many different episodes"):
        make("ice_slide", 1, layouts=-1)


def test_later_levels_of_a_layout_are_the_same() -> None:
    solved = []
    for seed in (1, 6):
        game = make("key_door", 1, layouts=5)
        rows = Rows(game)
        game.reset_into(rows.observation, [seed])
        frames = []
        for _ in range(2):
            for action in game.batch.solve(0):
                rows.step(game, action[None])
            frames.append(rows.observation["cells"].tobytes())
        solved.append(frames)
    assert solved[0] == solved[1]
    assert solved[0][0] != solved[0][1]


def test_clone_and_restore_go_on_equally() -> None:
    rng = np.random.default_rng(1)
    for name in NAMES:
        game = make(name, 8)
        rows = Rows(game)
        game.reset_into(rows.observation, range(8))
        for _ in range(23):
            rows.step(game, random_rows(rng, 8))
        state = game.clone_state()
        shown = {key: array.copy() for key, array in rows.observation.items()}
        actions = [random_rows(rng, 8) for _ in range(40)]
        ends = []
        for _ in range(2):
            for action in actions:
                rows.step(game, action)
            ends.append((game.hashes().tolist(), rows.observation["cells"].tobytes()))
            game.restore_state(state)
            game.observe_into(rows.observation)
            for key, array in shown.items():
                np.testing.assert_array_equal(rows.observation[key], array)
        assert ends[0] == ends[1]
        with pytest.raises(CorruptError, match="checksum"):
            game.restore_state(state[:-1] + bytes([state[-1] ^ 1]))
        with pytest.raises(CorruptError, match="number of environments"):
            make(name, 7).restore_state(state)


def test_send_and_recv_hand_back_whoever_is_ready() -> None:
    batch = _core.grid64.Batch("conveyor", "train", 6, 2, batch_size=2)
    whole = make("conveyor", 6)
    rows = Rows(whole)
    whole.reset_into(rows.observation, range(6))
    cells = np.zeros((2, 64, 64), np.uint8)
    flags = [np.zeros(2, np.bool_) for _ in range(3)]
    buffers = batch.bind({"cells": cells}, np.zeros(2, np.float32), *flags)
    first = Rows(whole)
    everyone = batch.bind(first.observation, first.reward, *first.flags)
    batch.reset(np.arange(6, dtype=np.uint64), everyone)
    np.testing.assert_array_equal(first.observation["cells"], rows.observation["cells"])
    with pytest.raises(ValueError, match="buffers: must be bound"):
        batch.step(np.zeros((6, 3), np.float32), buffers)
    actions = random_rows(np.random.default_rng(2), 6)
    batch.send(actions, np.arange(6, dtype=np.int32))
    with pytest.raises(ValueError, match="in flight"):
        batch.hashes()
    with pytest.raises(ValueError, match="in flight"):
        batch.write(everyone)
    rows.step(whole, actions)
    seen = set()
    for _ in range(3):
        for row, env in enumerate(batch.recv(buffers)):
            seen.add(int(env))
            np.testing.assert_array_equal(cells[row], rows.observation["cells"][env])
    assert seen == set(range(6))
    np.testing.assert_array_equal(batch.hashes(), whole.hashes())
    with pytest.raises(ValueError, match="in flight"):
        batch.recv(buffers)


@pytest.mark.parametrize(
    ("key", "array", "message"),
    [
        ("cells", np.zeros((2, 64, 64), np.int8), "cells: must have dtype uint8"),
        ("cells", np.zeros((2, 64, 65), np.uint8), r"cells: must have shape \(2, 64, 64\)"),
        ("cells", np.zeros((2, 64, 128), np.uint8)[:, :, ::2], "cells: must be C-contiguous"),
        ("levels_completed", np.zeros((2, 1), np.int64), "levels_completed: must have dtype int32"),
        ("pixels", np.zeros(2), "no array 'pixels'"),
        ("cells", [[0]], "cells: must be a numpy array"),
    ],
)
def test_arrays_that_cannot_be_written_are_named(key: str, array: object, message: str) -> None:
    batch = _core.grid64.Batch("t_maze", "train", 2)
    flags = [np.zeros(2, np.bool_) for _ in range(3)]
    with pytest.raises((TypeError, ValueError, KeyError), match=message):
        batch.bind({key: array}, np.zeros(2, np.float32), *flags)
    frozen = np.zeros((2, 64, 64), np.uint8)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="cells: must be writeable"):
        batch.bind({"cells": frozen}, np.zeros(2, np.float32), *flags)


def test_nothing_is_converted_behind_the_callers_back() -> None:
    batch = _core.grid64.Batch("t_maze", "train", 2)
    flags = [np.zeros(2, np.bool_) for _ in range(3)]
    buffers = batch.bind({}, np.zeros(2, np.float32), *flags)
    for wrong in (np.zeros((2, 3)), np.zeros((2, 3), np.int32), np.zeros((3, 2), np.float32).T):
        with pytest.raises(TypeError):
            batch.step(wrong, buffers)
    with pytest.raises(ValueError, match=r"actions: must have shape \(2, 3\)"):
        batch.step(np.zeros((2, 4), np.float32), buffers)
    with pytest.raises(TypeError):
        batch.reset(np.zeros(2, np.int64), buffers)
    other = _core.grid64.Batch("t_maze", "train", 3)
    with pytest.raises(ValueError, match="buffers"):
        other.step(np.zeros((3, 3), np.float32), buffers)


def test_any_floats_are_safe_actions() -> None:
    rng = np.random.default_rng(3)
    bad = np.array([np.nan, np.inf, -np.inf, -1, 7, 1e30, -1e30, 6.5], np.float32)
    for name in NAMES:
        game = make(name, 32)
        rows = Rows(game)
        game.reset_into(rows.observation, range(32))
        for _ in range(100):
            rows.step(game, rng.choice(bad, (32, 3)).astype(np.float32))
            assert rows.observation["cells"].max() < 16


def test_replays_verify_and_damage_is_found() -> None:
    demonstration = grid64.demonstrate("ice_slide", 11, "test")
    replay = grid64.write_replay(demonstration)
    assert len(replay) < 200
    played = grid64.read_replay(replay)
    assert (played["game"], played["seed"], played["split"]) == ("ice_slide", 11, "test")
    assert played["game_state"] == "WIN"
    np.testing.assert_array_equal(played["actions"], demonstration.actions)
    for damaged in (replay[:-1], replay[:-3], b"", replay[:-3] + bytes([9, 0, 0])):
        with pytest.raises(CorruptError, match="replay"):
            grid64.read_replay(damaged)


def test_wrong_names_are_answered_with_the_right_ones() -> None:
    with pytest.raises(ConfigError, match="no game grid64/keydoor, known are key_door"):
        games.make("grid64/keydoor")
    with pytest.raises(ConfigError, match="split: 'valid'"):
        games.make("grid64/key_door", split="valid")
    with pytest.raises(ConfigError, match="threads"):
        games.make("grid64/key_door", threads=-1)
    with pytest.raises(ConfigError, match="scale"):
        games.make("grid64/key_door", scale=0)
    with pytest.raises(ConfigError, match="batch_size: 2, give 1 to 1"):
        games.make("grid64/key_door", batch_size=2)
    assert games.make("grid64/key_door", num_envs=3, batch_size=2).batch.batch_size == 2
    with pytest.raises(ValueError, match="split"):
        _core.grid64.Batch("key_door", "valid", 1)
    with pytest.raises(ValueError, match="num_envs"):
        _core.grid64.Batch("key_door", "train", 0)


def test_the_palette_has_sixteen_distinct_colours() -> None:
    assert grid64.PALETTE.shape == (16, 3)
    assert len(grid64.COLORS) == len({tuple(rgb) for rgb in grid64.PALETTE.tolist()}) == 16
    distances = np.abs(grid64.PALETTE[:, None].astype(int) - grid64.PALETTE[None]).sum(-1)
    assert distances[~np.eye(16, dtype=bool)].min() > 60


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("name", NAMES)
def test_the_environment_passes_gymnasiums_checks(name: str) -> None:
    env = gymnasium.make(grid64_id(name), render_mode="rgb_array").unwrapped
    check_env(env)
    first, _ = env.reset(seed=1)
    kept = first["cells"].copy()
    env.step(env.action_space.sample())
    np.testing.assert_array_equal(first["cells"], kept)  # arrays are fresh


def test_the_vector_environment_equals_single_ones() -> None:
    rng = np.random.default_rng(4)
    for name in ("t_maze", "click_switch", "conveyor"):
        vector = Grid64VectorEnv(5, name)
        single = SyncVectorEnv([lambda name=name: Grid64Env(name) for _ in range(5)])
        a, _ = vector.reset(seed=9)
        b, _ = single.reset(seed=9)
        for _ in range(130):  # past the step limits
            for key in a:
                np.testing.assert_array_equal(a[key], b[key])
            columns = zip(("action", "x", "y"), (7, 64, 64), strict=True)
            actions = {key: rng.integers(0, high, 5) for key, high in columns}
            a, *outcome_a, _ = vector.step(actions)
            b, *outcome_b, _ = single.step(actions)
            for x, y in zip(outcome_a, outcome_b, strict=True):
                np.testing.assert_array_equal(x, y)


def test_every_game_is_registered() -> None:
    for name in NAMES:
        env = gymnasium.make(grid64_id(name))
        observation, _ = env.reset(seed=0)
        assert env.observation_space.contains(observation)
        env.close()
