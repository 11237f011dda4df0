"""Replay on disk: what is drawn is what was played, across rollouts, resumptions and damage."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces as gs

from metabonk.errors import CheckpointError, ConfigError
from metabonk.learn.replay import Replay, least, most
from metabonk.learn.rollout import Rollout
from metabonk.spaces import ActionLayout

SPACE = gs.Dict({"observation": gs.Box(-1e9, 1e9, (2,), np.float32)})
LAYOUT = ActionLayout.of(gs.Discrete(9))
ENVS, HORIZON = 3, 5


class Play:
    """Rollouts in which every number says its environment and time: 1000 env + time."""

    def __init__(self) -> None:
        self.time = 0

    def rollout(self, first: int = 0) -> Rollout:
        out = Rollout.allocate(SPACE, LAYOUT, ENVS, HORIZON)
        out.first = first
        times = self.time - first + np.arange(HORIZON + 1)
        stamp = times[:, None] + 1000.0 * np.arange(ENVS)
        out.observation["observation"][:] = stamp[..., None]
        out.action[:, :, 0] = stamp[:-1]
        out.reward[:] = -stamp[:-1]
        out.terminated[:] = times[:-1, None] % 7 == 5
        out.is_first[:] = times[:, None] % 7 == 0
        self.time += HORIZON - first
        return out


def filled(path: Path, count: int, capacity: int = 10**6) -> Replay:
    replay, play = Replay(path, capacity, ENVS), Play()
    for _ in range(count):
        replay.add(play.rollout())
    return replay


@pytest.mark.parametrize("steps", [1, 4, 5, 6, 9, 10, 11, 15, 16])
def test_what_is_kept_at_most_is_known_before(tmp_path: Path, steps: int) -> None:
    """`most` and `least` say of a replay what filling it shows."""
    capacity = steps * ENVS
    kept = len(filled(tmp_path, 9, capacity)) // ENVS
    assert kept == most(capacity, ENVS, HORIZON)
    replay = filled(tmp_path / "more", 9, capacity)
    assert replay.ready(kept - 1)
    assert not replay.ready(kept)
    assert least(kept - 1) == kept


def test_sequences_run_on_across_rollouts(tmp_path: Path) -> None:
    replay = filled(tmp_path, 4)
    assert len(replay) == 4 * HORIZON * ENVS
    drawn = replay.draw(64, 12, np.random.default_rng(0))
    stamp = drawn.observation["observation"][..., 0]
    np.testing.assert_array_equal(np.diff(stamp, axis=0), 1.0)
    time = stamp % 1000
    np.testing.assert_array_equal(drawn.is_first, time % 7 == 0)
    np.testing.assert_array_equal(drawn.action[..., 0], np.where(drawn.is_first, 0, stamp - 1))
    np.testing.assert_array_equal(drawn.reward, np.where(drawn.is_first, 0, 1 - stamp))
    np.testing.assert_array_equal(drawn.terminated, (time % 7 == 6) & ~drawn.is_first)
    assert set(np.unique(stamp[0] // 1000)) == {0, 1, 2}


def test_every_moment_is_equally_likely(tmp_path: Path) -> None:
    replay = filled(tmp_path, 4)
    drawn = replay.draw(40_000, 6, np.random.default_rng(1))
    _, counts = np.unique(drawn.observation["observation"][0, :, 0], return_counts=True)
    moments = ENVS * (4 * HORIZON - 6)  # the first step has none before it
    assert len(counts) == moments
    assert abs(counts - 40_000 / moments).max() < 5 * (40_000 / moments) ** 0.5


def test_a_rollout_that_carries_its_burn_in_along_is_kept_once(tmp_path: Path) -> None:
    replay, play = Replay(tmp_path, 10**6, ENVS), Play()
    for first in (0, 2, 2):
        replay.add(play.rollout(first))
    stamp = replay.draw(50, 7, np.random.default_rng(0)).observation["observation"][..., 0]
    np.testing.assert_array_equal(np.diff(stamp, axis=0), 1.0)
    assert len(replay) == (HORIZON + 3 + 3) * ENVS


def test_too_few_steps_are_told(tmp_path: Path) -> None:
    replay = filled(tmp_path, 1)
    assert not replay.ready(5)
    with pytest.raises(ConfigError, match=r"world\.sequence: 5 steps are asked of 5"):
        replay.draw(1, 5, np.random.default_rng(0))


def test_the_oldest_go_and_the_disk_is_bounded(tmp_path: Path) -> None:
    replay = filled(tmp_path, 9, capacity=3 * HORIZON * ENVS)
    assert len(replay) == 3 * HORIZON * ENVS
    stamp = replay.draw(200, 4, np.random.default_rng(0)).observation["observation"]
    assert float((stamp % 1000).min()) >= 6 * HORIZON
    replay.prune([])
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"rollout-{i:08d}" for i in (6, 7, 8)]


def test_a_resumed_replay_draws_what_the_other_would_have(tmp_path: Path) -> None:
    replay, play = Replay(tmp_path, 4 * HORIZON * ENVS, ENVS), Play()
    for _ in range(5):
        replay.add(play.rollout())
    listing, count = replay.listing(), replay.count
    expected = replay.draw(20, 7, np.random.default_rng(3))
    replay.add(play.rollout())  # after the checkpoint, then killed
    replay.prune([listing])
    other = Replay(tmp_path, 4 * HORIZON * ENVS, ENVS)
    other.load(listing, count)
    drawn = other.draw(20, 7, np.random.default_rng(3))
    for key in ("action", "reward", "terminated", "is_first"):
        np.testing.assert_array_equal(getattr(drawn, key), getattr(expected, key))
    assert not (tmp_path / f"rollout-{count:08d}").exists()
    assert other.count == count


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_damage_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    replay = filled(tmp_path, 3)
    listing = replay.listing()
    file = tmp_path / "rollout-00000001" / "reward.npy"
    if damage == "missing":
        file.unlink()
    else:
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match=r"rollout-00000001: the replay's rollout is missing"):
        Replay(tmp_path, 10**6, ENVS).load(listing, 3)


def names(path: Path) -> list[int]:
    return sorted(int(p.name.removeprefix("rollout-")) for p in path.iterdir())


def test_what_a_kept_checkpoint_names_is_kept_however_often_one_is_saved(tmp_path: Path) -> None:
    """Checkpoints of the same step take each other's places, and are one."""
    replay, play = Replay(tmp_path, 2 * HORIZON * ENVS, ENVS), Play()
    steps: list[int] = []
    for step in range(1, 6):
        replay.add(play.rollout())
        steps = [*steps, step][-3:]
        for _ in range(step):
            replay.saved(step, steps)
    assert steps == [3, 4, 5]
    assert names(tmp_path) == [1, 2, 3, 4]  # the first of the three names 1 and 2
    replay.saved(5, [4, 5])  # one was removed by hand
    assert names(tmp_path) == [2, 3, 4]


def test_nothing_goes_before_all_kept_checkpoints_are_known(tmp_path: Path) -> None:
    replay, play = Replay(tmp_path, HORIZON * ENVS, ENVS), Play()
    for _ in range(2):
        replay.add(play.rollout())
    replay.saved(2, [1, 2])  # what 1 names was written before a resumption
    assert names(tmp_path) == [0, 1]
    replay.saved(2, [2])
    assert names(tmp_path) == [1]


def test_what_was_half_written_is_deleted(tmp_path: Path) -> None:
    """As a killed process or a copy of its folder leaves it."""
    replay = filled(tmp_path, 2)
    listing, count = replay.listing(), replay.count
    half = tmp_path / "rollout-00000002.part"
    for open_it in (
        lambda: Replay(tmp_path, 10**6, ENVS),
        lambda: replay.load(listing, count),
    ):
        half.mkdir()
        (half / "action.npy").write_bytes(b"\x93NUMPY")
        open_it()
        assert names(tmp_path) == [0, 1]


def test_a_replay_that_is_cleared_begins_anew(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    replay, play = Replay(tmp_path, 10**6, ENVS), Play()
    replay.clear()
    assert (len(replay), names(tmp_path)) == (0, [])
    replay.add(play.rollout())
    replay.clear()
    replay.add(play.rollout())
    assert (replay.count, names(tmp_path)) == (1, [0])


def test_what_is_named_is_flushed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    fsync = os.fsync

    def watched(fd: int) -> None:
        flushed.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", watched)
    replay, play = filled(tmp_path / "r", 2), Play()
    assert not flushed  # a rollout is not waited for
    replay.flush()
    wanted = {str(path) for path in (tmp_path / "r").rglob("*")} | {str(tmp_path / "r")}
    assert wanted <= set(flushed)
    assert len(flushed) == len(set(flushed))
    flushed.clear()
    replay.flush()
    assert not flushed
    replay.add(play.rollout())
    replay.flush()
    assert all("rollout-00000002" in path for path in flushed[:-2])
    assert len(flushed) == 5 + 1 + 2  # its arrays, its folder, and the two that it lies in
