"""grid64: puzzle and navigation games on 64x64 cells of 16 colours, in the manner of ARC-AGI-3.

Knows the native batch, its demonstrations and replays; the rules, generators and solvers are in
csrc/games/grid64, one file per game, and the Gymnasium environments in grid64_env.py.

An episode is a few levels of rising difficulty from a seed. Actions: 0 RESET (the level anew),
1-4 up, down, left, right, 5 interact, 6 click at (x, y). Observations: `cells` uint8 [64, 64]
palette indices; `action_mask` uint8 [7], 1 where the action can do something now (ARC-AGI-3's
available_actions); `levels_completed` int32 [1]. An action that is masked, unknown or not a
number is safe and does nothing for a step; fractions are cut off.
Reward: 1 for each level finished, nothing else. Winning and losing terminate; a level that takes
more than its step limit truncates. Levels of the splits `train` and `test` are disjoint: the
layout of a level decides its split, and no frame of one split occurs in the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from gymnasium import spaces as gs

from metabonk import _core
from metabonk.config import cap_cpu
from metabonk.errors import ConfigError, CorruptError
from metabonk.games.native import NativeGame
from metabonk.games.source import threads_of
from metabonk.protocols import Array, FloatArray
from metabonk.spaces import ActionLayout

Split = Literal["train", "test"]

RESET, UP, DOWN, LEFT, RIGHT, INTERACT, CLICK = range(7)
STATES = ("NOT_FINISHED", "WIN", "GAME_OVER")  # of episode_info()["game_state"]
SIDE = 64
FRAME_RATE = 8.0  # steps a second at which people can follow
COLORS = (
    *("white", "light grey", "grey", "dark grey", "charcoal", "black", "magenta", "pink"),
    *("red", "blue", "sky", "yellow", "orange", "maroon", "green", "purple"),
)
PALETTE: npt.NDArray[np.uint8] = np.asarray(_core.grid64.palette())  # RGB [16, 3] of COLORS

SPACE = gs.Dict(
    {
        "cells": gs.Box(0, 15, (SIDE, SIDE), np.uint8),
        "action_mask": gs.Box(0, 1, (7,), np.uint8),
        "levels_completed": gs.Box(0, 255, (1,), np.int32),
    }
)
# `x` and `y` are read by a click only.
LAYOUT = ActionLayout.of(
    gs.Dict({"action": gs.Discrete(7), "x": gs.Discrete(SIDE), "y": gs.Discrete(SIDE)}),
    masked=("action",),
)


def make(
    rest: str,
    num_envs: int,
    threads: int = 0,
    split: Split = "train",
    scale: int = 8,
    batch_size: int = 0,
    layouts: int = 0,
) -> NativeGame:
    """`num_envs` episodes of the game `rest`, a name of `names()`.

    threads: 0 for as many as the machine runs at once. split: which levels.
    scale: pixels per cell of `render`, 1 to 64. batch_size: below `num_envs` for `send` and `recv`.
    layouts: how many different episodes there are, 0 for no bound (as num_levels of Procgen, Cobbe
    et al. 2020): a world that can be learned by heart.
    """
    check(rest, split, layouts)
    if not 1 <= scale <= 64:
        raise ConfigError(f"scale: {scale} pixels per cell, give 1 to 64")
    if not 0 <= batch_size <= num_envs:
        raise ConfigError(f"batch_size: {batch_size}, give 1 to {num_envs}, or 0 for all")
    cap_cpu()
    threads = threads_of(threads, num_envs)
    batch = _core.grid64.Batch(rest, split, num_envs, threads, batch_size, layouts=layouts)
    picture = (SIDE * scale, SIDE * scale)
    return NativeGame(f"grid64/{rest}", batch, num_envs, SPACE, LAYOUT, picture, FRAME_RATE)


def check(game: str, split: str, layouts: int = 0) -> None:
    """Raises ConfigError if there is no such game or split, or a number of layouts is none."""
    if game not in games():
        raise ConfigError(f"game: no game grid64/{game}, known are {', '.join(names())}")
    if split not in ("train", "test"):
        raise ConfigError(f"split: {split!r} is neither 'train' nor 'test'")
    if not 0 <= layouts < 1 << 63:
        raise ConfigError(f"layouts: {layouts}, give how many different episodes, or 0 for any")


def names() -> list[str]:
    """The games, as `games()` lists them."""
    return list(games())


def games() -> dict[str, str]:
    """Name -> one line of description."""
    return dict(_core.grid64.games())


def limits(game: str) -> tuple[int, int]:
    """Levels per episode, and steps per level after which an episode is truncated."""
    check(game, "train")
    levels, steps = _core.grid64.limits(game)
    return levels, steps


def upscale(cells: npt.NDArray[np.uint8], scale: int = 8) -> npt.NDArray[np.uint8]:
    """Palette indices [..., 64, 64] as pictures uint8 [..., 64 * scale, 64 * scale, 3]."""
    picture = PALETTE[cells].repeat(scale, axis=-3).repeat(scale, axis=-2)
    return np.asarray(picture, np.uint8)


@dataclass(frozen=True)
class Demonstration:
    """One episode: T actions and the T + 1 observations around them.

    actions: float32 [T, 3], rows of action, x, y; action -1 does nothing. observations: as in
    SPACE, each [T + 1, ...]. reward: float32 [T]. won: every level was finished; otherwise the
    episode was truncated.
    """

    game: str
    seed: int
    split: Split
    actions: FloatArray
    observations: Mapping[str, Array]
    reward: FloatArray
    won: bool


def demonstrate(game: str, seed: int, split: Split = "train") -> Demonstration:
    """The episode as the game's solver plays it.

    The solver uses no more than the frames have shown by then: it looks at the cue of the T-maze
    and turns cards over before it matches them.
    """
    return _record(game, seed, split, solve=True)


def stall(game: str, seed: int, split: Split = "train") -> Demonstration:
    """An episode in which nothing is done until the step limit: only clock and belts move."""
    return _record(game, seed, split, solve=False)


def _record(game: str, seed: int, split: Split, solve: bool) -> Demonstration:
    check(game, split)
    actions, cells, mask, levels = _core.grid64.demonstrate(game, seed % 2**64, split, solve)
    return Demonstration(
        game=game,
        seed=seed,
        split=split,
        actions=actions,
        observations={"cells": cells, "action_mask": mask, "levels_completed": levels},
        reward=np.diff(levels[:, 0]).astype(np.float32),
        won=bool(levels[-1, 0] == limits(game)[0]),
    )


def write_replay(demonstration: Demonstration) -> bytes:
    """Game, seed, split, actions and the hash that playing them gives; three bytes an action."""
    d = demonstration
    return _core.grid64.write_replay(d.game, d.seed % 2**64, d.split, d.actions)


def read_replay(replay: bytes) -> dict[str, Any]:
    """Plays a replay and returns game, seed, split, actions [T, 3], hash, levels_completed and
    game_state. Raises CorruptError if it is damaged or does not end at its hash."""
    try:
        return dict(_core.grid64.read_replay(replay))
    except ValueError as error:
        raise CorruptError(str(error)) from error
