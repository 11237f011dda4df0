"""Replays from Python: recorded from a batch, small, verified, and refused where damaged."""

from __future__ import annotations

import pathlib
import signal
import time
from typing import Any

import numpy as np
import pytest

from metabonk import _core
from metabonk.errors import CorruptError
from metabonk.games import level as levels
from metabonk.games import replay, scripted
from metabonk.games.level import Level
from metabonk.games.replay import Recorder, Replay


class Arena:
    """A batch with arrays of its own."""

    def __init__(self, level: Level, num_envs: int) -> None:
        self.batch = _core.arena.Batch(level.pack(), num_envs, 2)
        self.observation = {
            name: np.zeros((num_envs, *shape), dtype)
            for name, (shape, dtype) in _core.arena.layout().items()
            if name != "pixels"
        }
        self.reward = np.zeros(num_envs, np.float32)
        self.terminated, self.truncated, self.is_reset = np.zeros((3, num_envs), np.bool_)
        outcome = (self.reward, self.terminated, self.truncated, self.is_reset)
        self.buffers = self.batch.bind(self.observation, *outcome)

    def reset(self, seeds: Any) -> None:
        self.batch.reset(np.asarray(seeds, np.uint64), self.buffers)

    def step(self, actions: Any) -> None:
        self.batch.step(np.ascontiguousarray(actions, np.float32), self.buffers)


def record(level: Level, num_envs: int, decisions: int, policy: Any) -> list[tuple[int, Replay]]:
    arena = Arena(level, num_envs)
    recorder = Recorder(arena.batch, level)
    arena.reset(range(100, 100 + num_envs))
    recorder.reset()
    state = policy.reset(num_envs)
    first = np.ones(num_envs, np.bool_)
    out = []
    for _ in range(decisions):
        actions, state = policy.act(arena.observation, state, first)
        arena.step(actions)
        outcome = (arena.terminated, arena.truncated, arena.is_reset)
        out += recorder.step(actions, *outcome)
        first = arena.is_reset.copy()
    return [*out, *((i, recorder.cut(i)) for i in range(num_envs))]


SHORT = levels.parse({"time": {"duration": 20.0}, "enemies": {"at_start": 20}})


@pytest.fixture(scope="module")
def episodes() -> list[tuple[int, Replay]]:
    return record(SHORT, 3, 700, scripted.ScriptedPolicy())


def test_every_episode_of_a_batch_verifies(episodes: list[tuple[int, Replay]]) -> None:
    assert len(episodes) > 2 * 3  # each environment began anew at least once
    for index, episode in episodes:
        episode.verify()
        assert 0 <= index < 3
    assert len({episode.run_seed for _, episode in episodes}) == len(episodes)


def test_a_replay_is_small(episodes: list[tuple[int, Replay]]) -> None:
    longest = max((episode for _, episode in episodes), key=lambda e: len(e.actions))
    assert len(longest.actions) >= 250
    assert len(longest.to_bytes()) < 5 * len(longest.actions) + 200


def test_a_replay_steps_any_batch_to_the_same_world(episodes: list[tuple[int, Replay]]) -> None:
    _, episode = episodes[4]
    loaded = Replay.from_bytes(episode.to_bytes())
    arena = Arena(loaded.level, 2)
    arena.reset([5, loaded.run_seed])
    for row in loaded.actions:
        arena.step(np.stack([np.zeros_like(row), row]))
    assert int(arena.batch.hashes()[1]) == loaded.final_hash


def test_file_round_trip(tmp_path: pathlib.Path, episodes: list[tuple[int, Replay]]) -> None:
    path = tmp_path / f"run{replay.SUFFIX}"
    episode = episodes[0][1]
    size = episode.save(path)
    assert path.stat().st_size == size
    assert list(tmp_path.iterdir()) == [path]
    loaded = replay.load(path)
    assert loaded.level == SHORT
    assert (loaded.run_seed, loaded.final_hash) == (episode.run_seed, episode.final_hash)
    assert loaded.actions.shape == episode.actions.shape
    np.testing.assert_allclose(loaded.actions[:, :4], episode.actions[:, :4], atol=0.006)
    assert loaded.to_bytes() == episode.to_bytes()
    loaded.verify()


def test_another_action_is_noticed(episodes: list[tuple[int, Replay]]) -> None:
    episode = episodes[0][1]
    actions = episode.actions.copy()
    actions[5:40, :2] = -np.sign(actions[5:40, :2] + 0.1)
    forged = Replay(episode.level, episode.run_seed, actions, episode.final_hash)
    with pytest.raises(CorruptError, match="final_hash"):
        forged.verify()


def test_another_level_is_noticed(episodes: list[tuple[int, Replay]]) -> None:
    episode = episodes[0][1]
    harder = levels.parse({"enemies": {"at_start": 21}, "time": {"duration": 20.0}})
    with pytest.raises(CorruptError, match="final_hash"):
        Replay(harder, episode.run_seed, episode.actions, episode.final_hash).verify()


def test_damaged_files_are_refused(tmp_path: pathlib.Path, episodes: Any) -> None:
    data = bytearray(episodes[0][1].to_bytes())
    path = tmp_path / "bad.replay"
    for damage in (data[:30], data[:-1], data + b"x", b"PK" + data[2:]):
        path.write_bytes(damage)
        with pytest.raises(CorruptError, match=r"bad\.replay"):
            replay.load(path)
    data[len(data) // 2] ^= 1
    with pytest.raises(CorruptError, match="hash"):
        Replay.from_bytes(bytes(data))


def test_an_empty_episode_is_the_first_world() -> None:
    arena = Arena(SHORT, 1)
    arena.reset([9])
    recorder = Recorder(arena.batch, SHORT)
    recorder.reset()
    episode = recorder.cut(0)
    assert episode.actions.shape == (0, 12)
    episode.verify()


def test_a_long_rest_takes_bytes_in_proportion() -> None:
    """A file cannot claim more decisions than its bytes say."""
    rest = Replay(SHORT, 9, np.zeros((100_000, 12), np.float32), 0)
    data = rest.to_bytes()
    assert len(data) >= 100_000 // 4096 * 2
    assert len(Replay.from_bytes(data).actions) == 100_000
    with pytest.raises(ValueError, match="must be at most 1048576 decisions"):
        Replay(SHORT, 9, np.zeros((2**20 + 1, 12), np.float32), 0).to_bytes()


def test_verifying_can_be_interrupted() -> None:
    busy = levels.load("arena_200")
    long = Replay(busy, 9, np.zeros((200_000, 12), np.float32), 0)  # takes seconds

    class Enough(Exception):
        pass

    def enough(*_: Any) -> None:
        raise Enough

    before = signal.signal(signal.SIGALRM, enough)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    start = time.monotonic()
    try:
        with pytest.raises(Enough):
            long.verify()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - start < 2.0


def test_dropped_frames_do_not_matter_to_a_replay() -> None:
    level = levels.load("dropped_frames")
    for _, episode in record(level, 2, 60, scripted.RandomPolicy(3)):
        episode.verify()
