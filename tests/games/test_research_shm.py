"""games/research_shm.py against a host: one episode is the same here and over shared memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from metabonk import games, machine

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)

from metabonk.errors import ConfigError, GameError
from metabonk.games.batch import allocate
from metabonk.games.host import Host, Pace
from metabonk.games.host_links import ResearchLink, row_of
from metabonk.games.hosted import HostedArena, make_hosted
from metabonk.games.source import Flags
from metabonk.link.research_shm import BUTTONS, ResearchGame, path_of
from metabonk.protocols import BatchGame, Captured, Visible

SIZE = (36, 64)
LEVEL = {"time": {"duration": 6.0, "boss_at": -1.0}}


@contextmanager
def hosting(folder: Path, *, instance: str = "0", seed: int = 3, locked: bool = True,
            speed: float = 1.0) -> Iterator[Host]:  # fmt: skip
    """An arena in a thread, on shared memory."""
    link = ResearchLink(path_of(instance, folder), SIZE)
    host = Host(make_hosted("arena", LEVEL, SIZE, 15.0), link, Pace(locked, speed), seed)
    over = threading.Event()
    thread = threading.Thread(target=host.run, args=(over.is_set,))
    thread.start()
    try:
        yield host
    finally:
        over.set()
        thread.join()
        link.close()
        host.game.close()


def rows(count: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    made = np.zeros((count, 1, 6), np.float32)
    made[..., :2] = rng.uniform(-1, 1, (count, 1, 2))
    made[..., 2:] = rng.random((count, 1, 4)) < 0.1
    return made


def test_an_episode_is_the_same_here_and_over_shared_memory(tmp_path: Path) -> None:
    here = HostedArena(LEVEL, SIZE, 4)
    moment = here.begin(3)
    with hosting(tmp_path) as host:
        game = games.make("research_shm", 1, research_dir=str(tmp_path))
        observation, flags = allocate(game.observation_space, 1), Flags(1)
        game.reset_into(observation, [0])
        ended = 0
        for row in rows(200):
            np.testing.assert_array_equal(observation["pixels"][0], moment.pixels)
            menu = moment.menu not in ("None", "")
            before = moment
            moment = here.step(row_of(row[0], menu))
            game.step_into(row, observation, *flags.arrays())
            assert flags.reward[0] == moment.reward
            assert flags.terminated[0] == moment.ended
            assert flags.is_reset[0] == moment.first == before.ended
            if not moment.first:
                passed = moment.seconds - before.seconds
                assert abs(observation["dt"][0, 0] - passed) < 0.0011  # milliseconds
            ended += moment.ended
        assert ended == 2
        assert game.episode_info()["lost"][0] == 0
        assert host.counts.actions == 200 - ended
        game.close()
    here.close()


def test_it_is_a_batch_game_and_a_gymnasium_environment(tmp_path: Path) -> None:
    with hosting(tmp_path):
        game = games.make("research_shm", research_dir=str(tmp_path))
        assert isinstance(game, BatchGame)
        assert isinstance(game, Visible)
        assert not isinstance(game, Captured)  # it waits for its actions: nobody else plays it
        with pytest.raises(GameError, match="snapshots"):
            game.clone_state()
        game.close()
        env = gymnasium.make("metabonk/ResearchShm-v0", research_dir=str(tmp_path), limit=50)
        first, _ = env.reset(seed=1)
        assert env.observation_space.contains(first)
        truncated = False
        for _ in range(50):
            seen, _, terminated, truncated, info = env.step(env.action_space.sample())
            assert env.observation_space.contains(seen)
            assert not terminated
        assert truncated
        assert info["length"] == 50
        env.close()


def test_gymnasium_finds_nothing_wrong(tmp_path: Path) -> None:
    with hosting(tmp_path):
        env = gymnasium.make("metabonk/ResearchShm-v0", research_dir=str(tmp_path)).unwrapped
        # Version 1 carries no seed, so no two resets are alike.
        check_env(_Unseeded(env), skip_render_check=True)
        env.close()


class _Unseeded(gymnasium.Env):
    """Shows the checker frames that are alike: what it compares is not the game's to give."""

    def __init__(self, env: gymnasium.Env) -> None:
        self.env = env
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.metadata, self.render_mode = env.metadata, env.render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        seen, info = self.env.reset(seed=seed, options=options)
        return {**seen, "pixels": np.zeros_like(seen["pixels"])}, info

    def step(self, action):
        seen, *rest = self.env.step(action)
        return {**seen, "pixels": np.zeros_like(seen["pixels"])}, *rest


def test_several_games_and_real_time(tmp_path: Path) -> None:
    with (
        hosting(tmp_path, instance="4", locked=False, speed=2.0) as first,
        hosting(tmp_path, instance="5", locked=False, speed=2.0),
    ):
        game = games.make("research_shm", 2, research_dir=str(tmp_path), instance="4")
        observation, flags = allocate(game.observation_space, 2), Flags(2)
        game.reset_into(observation, [0, 1])
        for row in rows(40):
            game.step_into(np.repeat(row, 2, 0), observation, *flags.arrays())
        assert game.episode_info()["lost"].tolist() == [0, 0]
        game.close()
        assert first.counts.actions > 0


def test_a_game_that_goes_away_ends_its_episode(tmp_path: Path) -> None:
    with hosting(tmp_path):
        game = games.make("research_shm", 1, research_dir=str(tmp_path), patience=20.0)
        observation, flags = allocate(game.observation_space, 1), Flags(1)
        game.reset_into(observation, [0])
        game.step_into(rows(1)[0], observation, *flags.arrays())
    before = observation["pixels"].copy()
    game.step_into(rows(1)[0], observation, *flags.arrays())
    assert flags.truncated[0]
    assert not flags.terminated[0]
    np.testing.assert_array_equal(observation["pixels"], before)
    assert game.episode_info()["lost"][0] == 1
    with hosting(tmp_path):
        game.step_into(rows(1)[0], observation, *flags.arrays())
        assert flags.is_reset[0]
        game.step_into(rows(1)[0], observation, *flags.arrays())
        assert not flags.truncated[0]
    game.close()


def test_two_games_of_one_process_share_the_memory(tmp_path: Path) -> None:
    """As training and its evaluations do: who was reset last plays."""
    with hosting(tmp_path):
        first, second = (games.make("research_shm", 1, research_dir=str(tmp_path)) for _ in "ab")
        observation, flags = allocate(first.observation_space, 1), Flags(1)
        first.reset_into(observation, [0])
        first.step_into(rows(1)[0], observation, *flags.arrays())
        shown = observation["pixels"].copy()
        second.reset_into(allocate(first.observation_space, 1), [0])
        first.step_into(rows(1)[0], observation, *flags.arrays())
        assert flags.truncated[0]
        np.testing.assert_array_equal(observation["pixels"], shown)
        second.close()
        first.step_into(rows(1)[0], observation, *flags.arrays())
        assert flags.is_reset[0]
        first.step_into(rows(1)[0], observation, *flags.arrays())
        assert not flags.truncated[0]
        assert first.episode_info()["lost"][0] == 0
        first.close()


def test_a_game_that_says_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(GameError, match="no such file: start the game first"):
        games.make("research_shm", 1, research_dir=str(tmp_path), patience=0.01)
    silent = ResearchGame(path_of(0, tmp_path), SIZE)
    game = games.make("research_shm", 1, research_dir=str(tmp_path), patience=0.2)
    with pytest.raises(GameError, match="did not begin an episode"):
        game.reset_into(allocate(game.observation_space, 1), [0])
    game.close()
    silent.close()
    with pytest.raises(ConfigError, match="instance"):
        games.make("research_shm", 2, research_dir=str(tmp_path), instance="a")


def test_a_file_has_its_rows_in_one_order(tmp_path: Path) -> None:
    """Else one of two games over it would be shown upside down."""
    shown = [ResearchGame(path_of(number, tmp_path), SIZE) for number in range(2)]
    folder = {"research_dir": str(tmp_path)}
    second = games.make("research_shm", 1, instance="1", **folder)
    open_already = "bottom_up: .*megabonk_env_1 is open in this process with True: give the same"
    for count, first in ((1, "1"), (2, "0")):
        with pytest.raises(ConfigError, match=open_already):
            games.make("research_shm", count, instance=first, bottom_up=False, **folder)
    games.make("research_shm", 2, **folder).close()  # the first file was let go
    second.close()
    games.make("research_shm", 2, bottom_up=False, **folder).close()
    for game in shown:
        game.close()


def test_buttons_play_and_in_menus_choose() -> None:
    action = np.array([0.5, 2.0, 0, 1, 0, 1], np.float32)
    playing = row_of(action, menu=False)
    assert playing[:2].tolist() == [0.5, 1.0]
    assert BUTTONS == ("jump", "slide", "interact", "fire")
    assert playing[4:9].tolist() == [0, 1, 0, 1, 0]
    assert playing[9] == 0
    chosen = row_of(action, menu=True)
    assert chosen[4:9].tolist() == [0] * 5
    assert chosen[9] == 2
    assert row_of(np.zeros(6, np.float32), menu=True)[9] == 0
