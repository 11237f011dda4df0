"""What a swarm's agents see: a stretch of the arena as frames and packed states, made once.

Knows the arena and the scripted player; agents map the files and play them as if they were a game,
so that sixteen of them cost no sixteen games.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FRAMES, STATES = "frames.npy", "states.npy"
MOMENTS = 96
RATE = 15.0  # moments per second of play


class Clip(NamedTuple):
    """frames: uint8 [T, 360, 640, 3], top row first. states: uint8 [T, 16376], packed records."""

    frames: npt.NDArray[np.uint8]
    states: npt.NDArray[np.uint8]


def record(folder: Path, moments: int = MOMENTS, seed: int = 0) -> Clip:
    """Plays the arena by script and keeps every decision's picture and state.

    Raises BackendError where the native core is not built.
    """
    from metabonk import machine
    from metabonk.errors import BackendError

    if not machine.core_built():
        raise BackendError("the native core is not built: in a checkout run ./scripts/build")
    from metabonk.games import arena
    from metabonk.games.batch import allocate
    from metabonk.games.scripted import ScriptedPolicy
    from metabonk.games.source import Flags

    game = arena.make("", 1, threads=1)
    try:
        observation, flags = allocate(game.observation_space, 1), Flags(1)
        game.reset_into(observation, [seed])
        policy = ScriptedPolicy()
        memory = policy.reset(1)
        frames, states = [], []
        for _ in range(moments):
            row, memory = policy.act(observation, memory, flags.is_reset)
            game.step_into(row, observation, *flags.arrays())
            frames.append(game.render(0))
            states.append(np.frombuffer(game.game_state(0).pack(), np.uint8))
    finally:
        game.close()
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / FRAMES, np.stack(frames))
    np.save(folder / STATES, np.stack(states))
    return load(folder)


def load(folder: Path) -> Clip:
    """A recorded clip, mapped and not read. Raises OSError, ValueError for files that are none."""
    frames = np.load(folder / FRAMES, mmap_mode="r", allow_pickle=False)
    states = np.load(folder / STATES, mmap_mode="r", allow_pickle=False)
    return Clip(frames, states)
