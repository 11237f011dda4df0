"""The native vector environments equal SyncVectorEnv over the single ones, step by step."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import metabonk  # noqa: F401  registers the ids
from metabonk.errors import ConfigError
from metabonk.games.arena import ArenaEnv, ArenaVectorEnv
from metabonk.games.grid64_env import Grid64Env, Grid64VectorEnv

# Four seconds with many enemies: episodes end by death and by time within a few dozen decisions.
SHORT = {
    "time": {"duration": 4.0, "skip_min": 2, "skip_max": 6},
    "enemies": {"at_start": 120, "damage": 20.0},
    "menus": True,
}

CASES = {
    "arena": (
        lambda: ArenaEnv(level=SHORT, pixels=(36, 64)),
        lambda n, **kw: ArenaVectorEnv(n, level=SHORT, pixels=(36, 64), **kw),
    ),
    "grid64": (
        lambda: Grid64Env("t_maze"),
        lambda n, **kw: Grid64VectorEnv(n, game="t_maze", **kw),
    ),
}


def same(a, b, path=""):
    """Equal in structure, dtype and value; object arrays element by element."""
    assert type(a) is type(b) or isinstance(a, np.ndarray), path
    if isinstance(a, dict):
        assert set(a) == set(b), (path, set(a) ^ set(b))
        for key in a:
            same(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, tuple) or (isinstance(a, np.ndarray) and a.dtype == object):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{path}[{i}]")
    elif isinstance(a, np.ndarray):
        assert a.dtype == np.asarray(b).dtype, (path, a.dtype, b.dtype)
        np.testing.assert_array_equal(a, b, err_msg=path)
    else:
        assert a == b, path


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("case", CASES)
def test_equals_sync_vector_env(case, mode):
    single, vector = CASES[case]
    peer = SyncVectorEnv([single] * 3, autoreset_mode=mode)
    ours = vector(3, threads=2, autoreset_mode=mode)
    assert ours.metadata["autoreset_mode"] is mode
    assert ours.observation_space == peer.observation_space
    assert ours.action_space == peer.action_space
    same(ours.reset(seed=11), peer.reset(seed=11))
    ours.action_space.seed(0)
    ended, died, ran_out = 0, 0, 0
    for step in range(700):
        actions = ours.action_space.sample()
        got, want = ours.step(actions), peer.step(actions)
        same(got, want, f"step {step}")
        ended += int((got[2] | got[3]).sum())
        died += int(got[2].sum())
        ran_out += int(got[3].sum())
        if mode is AutoresetMode.SAME_STEP and (got[2] | got[3]).any():
            assert got[4]["_final_obs"].tolist() == (got[2] | got[3]).tolist()
    assert ended >= 3
    if case == "arena":  # both ways to end were compared
        assert died
        assert ran_out
    ours.close()
    peer.close()


@pytest.mark.parametrize("case", CASES)
def test_other_orders_of_seeds(case):
    single, vector = CASES[case]
    peer = SyncVectorEnv([single] * 2)
    ours = vector(2)
    same(ours.reset(seed=[9, 2**40]), peer.reset(seed=[9, 2**40]))
    first, _ = ours.reset(seed=[9, 9])
    for array in first.values():
        np.testing.assert_array_equal(array[0], array[1])
    a, _ = ours.reset()
    b, _ = ours.reset()
    assert any((a[key] != b[key]).any() for key in a)


@pytest.mark.parametrize("case", CASES)
def test_copies_by_default(case):
    _, vector = CASES[case]
    ours = vector(2)
    first, _ = ours.reset(seed=0)
    second = ours.step(ours.action_space.sample())
    third = ours.step(ours.action_space.sample())
    for key in first:
        assert not np.shares_memory(first[key], second[0][key])
        assert not np.shares_memory(second[0][key], third[0][key])
    assert not np.shares_memory(second[2], third[2])
    frugal = vector(2, copy=False)
    kept, _ = frugal.reset(seed=0)
    frugal.action_space.seed(1)
    again = frugal.step(frugal.action_space.sample())[0]
    for key in kept:
        assert kept[key] is again[key]


@pytest.mark.parametrize(
    "env_id", ["metabonk/Arena-v0", "metabonk/Grid64-KeyDoor-v0", "metabonk/Grid64-NoisyTv-v0"]
)
def test_check_env(env_id):
    kwargs = {"pixels": (36, 64), "picture": (90, 160)} if "Arena" in env_id else {"scale": 2}
    env = gymnasium.make(env_id, render_mode="rgb_array", **kwargs)
    check_env(env.unwrapped, skip_render_check=False)
    env.reset(seed=3)
    frame = env.render()
    assert frame.shape == ((90, 160, 3) if "Arena" in env_id else (128, 128, 3))
    assert frame.dtype == np.uint8
    assert frame.std() > 5  # something is to be seen


@pytest.mark.parametrize("case", CASES)
def test_single_environments_return_fresh_arrays(case):
    env = CASES[case][0]()
    first, _ = env.reset(seed=0)
    copy = {key: array.copy() for key, array in first.items()}
    for _ in range(5):
        observation = env.step(env.action_space.sample())[0]
        assert env.observation_space.contains(observation)
    for key, array in first.items():
        np.testing.assert_array_equal(array, copy[key])


def test_a_single_environment_goes_on_to_the_next_episode_of_its_seed():
    env = ArenaEnv(level=SHORT)
    env.reset(seed=5)
    starts = []
    for _ in range(2):
        ended = False
        while not ended:
            _, _, terminated, truncated, info = env.step(env.action_space.sample())
            ended = terminated or truncated
        assert info["length"] > 1
        observation, info = env.reset()
        assert info["length"] == 0
        starts.append(observation["state"])
    again = ArenaEnv(level=SHORT)
    again.reset(seed=5)
    again.action_space.seed(3)
    ended = False
    while not ended:
        _, _, terminated, truncated, _ = again.step(again.action_space.sample())
        ended = terminated or truncated
    np.testing.assert_array_equal(again.reset()[0]["state"], starts[0])
    assert (starts[0] != starts[1]).any()


def test_make_vec_passes_settings():
    envs = gymnasium.make_vec(
        "metabonk/Grid64-IceSlide-v0",
        num_envs=2,
        autoreset_mode="SameStep",
        render_mode="rgb_array",
    )
    assert envs.unwrapped.autoreset_mode is AutoresetMode.SAME_STEP
    assert envs.unwrapped.source.name == "grid64/ice_slide"
    envs.reset(seed=0)
    assert len(envs.render()) == 2


def test_errors_name_the_remedy():
    with pytest.raises(ConfigError, match="autoreset_mode"):
        ArenaVectorEnv(2, autoreset_mode=AutoresetMode.DISABLED)
    with pytest.raises(ConfigError, match="render_mode"):
        ArenaEnv(render_mode="human")
    with pytest.raises(ConfigError, match="num_envs"):
        ArenaVectorEnv(0)
    with pytest.raises(ConfigError, match="key_door"):
        Grid64Env("key_dor")
    with pytest.raises(ConfigError, match="split"):
        Grid64Env("key_door", split="validation")
    envs = ArenaVectorEnv(2)
    with pytest.raises(ConfigError, match="3 given for 2"):
        envs.reset(seed=[1, 2, 3])
    with pytest.raises(ConfigError, match="options"):
        envs.reset(options={"level": "hard"})
