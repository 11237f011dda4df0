"""What native batches have in common, as Python meets them: snapshots, resets, single callers."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metabonk import _core
from metabonk.errors import ConfigError, CorruptError
from metabonk.games import make
from metabonk.games.batch import allocate
from metabonk.games.level import Level
from metabonk.games.native import NativeGame
from metabonk.games.source import Flags

BATCHES: dict[str, Callable[[int, int], Any]] = {
    "arena": lambda num, threads: _core.arena.Batch(Level().pack(), num, threads),
    "grid64": lambda num, threads: _core.grid64.Batch("conveyor", "train", num, threads),
}
either = pytest.mark.parametrize("kind", BATCHES)


class Rows:
    """A batch with arrays of its own."""

    def __init__(self, kind: str, num: int, threads: int = 1) -> None:
        self.batch = BATCHES[kind](num, threads)
        layout = getattr(_core, kind).layout()
        self.observation = {
            key: np.zeros((num, *shape), dtype)
            for key, (shape, dtype) in layout.items()
            if key != "pixels"
        }
        self.flags = Flags(num)
        self.buffers = self.batch.bind(self.observation, *self.flags.arrays())
        self.actions = np.zeros((num, 12 if kind == "arena" else 3), np.float32)
        self.actions[:, 0] = 1.0

    def reset(self) -> None:
        self.batch.reset(np.arange(self.batch.num_envs, dtype=np.uint64), self.buffers)

    def step(self) -> None:
        self.batch.step(self.actions, self.buffers)


def arena(**level: object) -> NativeGame:
    game = make("arena", 2, threads=1, level=level)
    assert isinstance(game, NativeGame)
    return game


def test_a_state_of_another_level_is_refused() -> None:
    mild, hard = arena(tier=1), arena(tier=2)
    hard.reset_into(allocate(hard.observation_space, 2), [1, 2])
    before = hard.clone_state()
    with pytest.raises(CorruptError, match="another level"):
        hard.restore_state(mild.clone_state())
    assert hard.clone_state() == before
    with pytest.raises(ValueError, match="another level"):
        hard.batch.restore_one(0, mild.batch.clone_one(0))
    with pytest.raises(ValueError, match="another number of environments"):
        hard.batch.restore_one(0, before)
    arena(tier=2).restore_state(before)


def test_every_environment_needs_a_seed() -> None:
    game = arena()
    with pytest.raises(ConfigError, match="seeds: 1 given, 2 environments need one each"):
        game.reset_into(allocate(game.observation_space, 2), [1])


def test_few_sets_of_arrays_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    game = arena()
    actions = np.zeros((2, 12), np.float32)
    lasting = allocate(game.observation_space, 2), Flags(2)
    seen: list[weakref.ref[Any]] = []
    game.reset_into(lasting[0], [1, 2])
    for _ in range(60):
        observation, flags = allocate(game.observation_space, 2), Flags(2)
        game.step_into(actions, observation, *flags.arrays())
        game.step_into(actions, lasting[0], *lasting[1].arrays())
        seen += map(weakref.ref, (*observation.values(), *flags.arrays()))
    del observation, flags
    gc.collect()
    each = len(lasting[0]) + 4
    assert sum(array() is not None for array in seen) <= 8 * each
    with monkeypatch.context() as patch:  # what is used all the time is not checked again
        patch.setattr(game, "batch", Unbindable(game.batch))
        game.step_into(actions, lasting[0], *lasting[1].arrays())
    game.close()
    gc.collect()
    assert not any(array() is not None for array in seen)


class Unbindable:
    """A batch that cannot bind anything new."""

    def __init__(self, batch: Any) -> None:
        self.step = batch.step


@either
def test_a_reset_marks_the_first_observations(kind: str) -> None:
    rows = Rows(kind, 3)
    for array in rows.flags.arrays():
        array[:] = 1
    rows.reset()
    assert rows.flags.is_reset.all()
    assert not rows.flags.reward.any()
    assert not (rows.flags.terminated | rows.flags.truncated).any()
    rows.step()
    assert not rows.flags.is_reset.any()


@either
def test_a_reset_forgets_what_is_in_flight(kind: str) -> None:
    rows, calm = Rows(kind, 4, 2), Rows(kind, 4)
    calm.reset()
    for flying in (4, 2):
        rows.batch.send(rows.actions[:flying], np.arange(flying, dtype=np.int32))
        with pytest.raises(ValueError, match="batch: environments are in flight: recv them first"):
            rows.step()
        rows.reset()
        np.testing.assert_array_equal(rows.batch.hashes(), calm.batch.hashes())
        for key, array in rows.observation.items():
            np.testing.assert_array_equal(array, calm.observation[key])
        with pytest.raises(ValueError, match="send"):
            rows.batch.recv(rows.buffers)


@either
def test_writing_again_leaves_reward_and_flags(kind: str) -> None:
    rows = Rows(kind, 2)
    rows.reset()
    rows.step()
    seen = {key: array.copy() for key, array in rows.observation.items()}
    for array in (*rows.observation.values(), *rows.flags.arrays()):
        array[:] = 1
    rows.batch.write(rows.buffers)
    for key, array in rows.observation.items():
        np.testing.assert_array_equal(array, seen[key])
    for array in rows.flags.arrays():
        assert (array == 1).all()


@either
@pytest.mark.parametrize("call", ["step", "reset", "hashes", "clone_state", "restore_state"])
def test_a_second_caller_is_refused_and_does_no_harm(kind: str, call: str) -> None:
    num = 8192 if kind == "grid64" else 512
    rows, other = Rows(kind, num), Rows(kind, num)
    rows.reset()
    state = rows.batch.clone_state()
    calls = {"step": rows.step, "reset": rows.reset, "restore_state": None}
    second = calls.get(call) or getattr(rows.batch, call)
    if call == "restore_state":

        def second() -> None:
            rows.batch.restore_state(state)

    stop = threading.Event()
    steps = 0

    def stepping() -> None:
        nonlocal steps
        while not stop.is_set():
            try:
                rows.step()
            except RuntimeError:
                continue  # the other one is in
            steps += 1

    thread = threading.Thread(target=stepping)
    thread.start()
    refused = 0
    try:
        end = time.monotonic() + 20.0
        while not refused and time.monotonic() < end:
            try:
                second()
            except RuntimeError as error:
                assert "batch: is in another thread's call" in str(error)  # noqa: PT017
                refused += 1
    finally:
        stop.set()
        thread.join()
    assert refused
    rows.reset()
    other.reset()
    np.testing.assert_array_equal(rows.batch.hashes(), other.batch.hashes())
    assert steps > 0
