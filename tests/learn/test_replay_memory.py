"""Replay is on the disk: memory holds what is being written or drawn, however much was played."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
from gymnasium import spaces as gs

from metabonk.learn.replay import Replay
from metabonk.learn.rollout import Rollout
from metabonk.spaces import ActionLayout

SPACE = gs.Dict({"pixels": gs.Box(0, 255, (64, 64, 3), np.uint8)})
LAYOUT = ActionLayout.of(gs.Discrete(3))
ENVS, STEPS, ROLLOUTS = 4, 16, 32
FRAME = 64 * 64 * 3


def test_memory_does_not_grow_with_what_was_played(tmp_path: Path) -> None:
    replay = Replay(tmp_path, 10**9, ENVS)
    rollout = Rollout.allocate(SPACE, LAYOUT, ENVS, STEPS)
    generator = np.random.default_rng(0)
    one = STEPS * ENVS * FRAME
    tracemalloc.start()
    try:
        for number in range(ROLLOUTS):
            rollout.observation["pixels"][:] = number
            replay.add(rollout)
            if replay.ready(8):
                replay.draw(4, 8, generator)
        held, most = tracemalloc.get_traced_memory()
        # The control: read into memory it would be seen.
        whole = replay.newest(0, STEPS * ROLLOUTS)
        grown = tracemalloc.get_traced_memory()[0] - held
    finally:
        tracemalloc.stop()
    disk = sum(file.stat().st_size for file in tmp_path.rglob("*.npy"))
    assert disk > ROLLOUTS * one
    assert held < 2 * one
    assert most < 4 * one
    assert grown > ROLLOUTS * one / ENVS
    np.testing.assert_array_equal(whole["observation.pixels"][::STEPS, 0, 0, 0], range(ROLLOUTS))
