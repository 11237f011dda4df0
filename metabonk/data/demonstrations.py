"""Demonstrations: episodes of grid64 as its solvers play them, kept like those of any player.

Knows grid64's demonstrations and the episode format; does not know how a solver finds its plan.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from metabonk.data.episode import EpisodeWriter, Header
from metabonk.games import grid64
from metabonk.games.grid64 import Demonstration, Split


class Written(NamedTuple):
    """What was written: episodes, their steps, and how many were won."""

    episodes: int
    steps: int
    won: int


def write_demonstrations(
    directory: Path | str, game: str, episodes: int, *, seed: int = 0, split: Split = "train"
) -> Written:
    """Appends the episodes of seeds `seed`, `seed` + 1, ... to the store in `directory`.

    game: a name of `grid64.names()`. Action rows are action, x, y, where action -1 waits; their
    log-probability is 0, for a solver has no choice. Raises ConfigError for an unknown game.
    """
    grid64.check(game, split)
    header = Header.of(
        grid64.LAYOUT,
        source=f"grid64/{game}",
        seed=seed,
        actor="scripted",
        num_envs=1,
        rate=grid64.FRAME_RATE,
        details={"observation": sorted(grid64.SPACE.spaces), "split": split},
    )
    steps = won = 0
    with EpisodeWriter(directory, header) as writer:
        for number in range(episodes):
            played = grid64.demonstrate(game, seed + number, split)
            _append(writer, played)
            steps += len(played.actions)
            won += played.won
    return Written(episodes, steps, won)


def _append(writer: EpisodeWriter, played: Demonstration) -> None:
    """Every decision of one episode, and the row with its last observation."""
    length = len(played.actions)
    idle = np.zeros((1, played.actions.shape[1]), np.float32)
    certain = np.zeros((1, len(grid64.LAYOUT.branches)), np.float32)
    for t in range(length + 1):
        over, last = t == length, t == length - 1
        writer.append_step(
            {key: array[t : t + 1] for key, array in played.observations.items()},
            idle if over else played.actions[t : t + 1],
            certain,
            np.zeros(1, np.float32) if over else played.reward[t : t + 1],
            np.array([last and played.won]),
            np.array([last and not played.won]),
            np.array([over]),
        )
