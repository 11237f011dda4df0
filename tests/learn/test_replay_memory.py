"""Replay is on the disk: memory holds what is being written or drawn, however much was played."""

from __future__ import annotations

import subprocess
import sys
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


FEW = """
import resource, sys
import numpy as np
from metabonk.learn.replay import FLAT, Replay

arrays = {key: np.zeros((4, 2), np.float32) for key in FLAT}
for most in (1024, 64):
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
    replay = Replay(f"{sys.argv[1]}/{most}", 10**9, 2)
    for _ in range(40):
        replay.append(arrays)
    print(len(replay), flush=True)
    del replay
"""


def test_more_is_kept_than_files_are_open_as_a_rule(tmp_path: Path) -> None:
    """A process begins with the right to open few, though it may have more; where it may not, the
    remedy is said."""
    command = [sys.executable, "-c", FEW, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert said.stdout.split() == ["320"], said.stderr
    assert said.returncode != 0
    assert "may open 64 files" in said.stderr
    assert "world.replay" in said.stderr
