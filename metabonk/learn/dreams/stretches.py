"""Stretches: sequences without a reset in them, by which a world model is judged.

Knows rollouts and replay; does not know models. No action explains what comes after a reset, so
that a stretch may begin with one and hold no other. Where no episode lasts as long as dreams may,
stretches are as long as there are any: the model is then judged over fewer steps, never by none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from metabonk.learn.dreams.world import Batch
from metabonk.learn.replay import Replay
from metabonk.learn.rollout import Rollout
from metabonk.protocols import Array, BoolArray

CONTEXT = 8  # steps that are watched before a judged dream
LEAST = 2  # steps: one to watch and one to dream
JUDGED = 256  # stretches at most

Indices = npt.NDArray[np.int64]


class Stretches(NamedTuple):
    """batch: sequences [length, B, ...]. context: of their steps, those to be watched; the others
    are to be dreamed."""

    batch: Batch
    context: int


def of_rollout(rollout: Rollout, ahead: int) -> Stretches | None:
    """Of a rollout, to dream `ahead` steps of or as many as there are; as many as lie side by side.
    None if no two steps follow one another."""
    first, stop = rollout.first, len(rollout.reward)
    found = _whole(rollout.is_first[first:stop], ahead, side_by_side=True)
    if found is None:
        return None
    length, starts, envs = found
    times = first + starts + np.arange(length)[:, None]

    def take(array: Array, shift: int = 0) -> torch.Tensor:
        return torch.from_numpy(array[times - shift, envs])

    is_first = take(rollout.is_first)
    came = ~is_first
    batch = Batch(
        {key: take(value) for key, value in rollout.observation.items()},
        take(rollout.action, 1) * came[..., None],
        take(rollout.reward, 1) * came,
        take(rollout.terminated, 1) & came,
        is_first,
    )
    return Stretches(batch, _context(length, ahead))


def of_replay(replay: Replay, ahead: int) -> Stretches | None:
    """Of a replay's first environment, to dream `ahead` steps of or as many as there are. None if
    no two steps follow one another."""
    if not len(replay):
        return None
    found = _whole(replay.firsts()[:, None], ahead, side_by_side=False)
    if found is None:
        return None
    length, starts, envs = found
    return Stretches(Batch.of(replay.at(starts, envs, length)), _context(length, ahead))


def _context(length: int, ahead: int) -> int:
    """Half of a stretch that is shorter than it should be, if that is less than CONTEXT."""
    return max(length - ahead, min(CONTEXT, length // 2))


def _whole(
    is_first: BoolArray, ahead: int, *, side_by_side: bool
) -> tuple[int, Indices, Indices] | None:
    """Length, first steps [B] and environments [B] of the longest stretches that there are among
    steps [S, N], up to CONTEXT + `ahead`: spread evenly over all that could be, JUDGED at most, and
    side_by_side: no more than could lie beside each other. The first step is nobody's: the action
    that led to it is not there."""
    steps, num = is_first.shape
    resets = np.concatenate([np.zeros((1, num), np.int64), np.cumsum(is_first, 0)])
    for length in range(min(CONTEXT + ahead, steps - 1), LEAST - 1, -1):
        starts = np.arange(1, steps - length + 1)
        envs, at = np.nonzero((resets[starts + length] == resets[starts + 1]).T)
        if len(at):
            most = min(JUDGED, num * ((steps - 1) // length)) if side_by_side else JUDGED
            chosen = spread(len(at), most)
            return length, starts[at[chosen]], envs[chosen]
    return None


def spread(count: int, most: int) -> Indices:
    """At most `most` of the indices below `count`, evenly spread."""
    few = min(count, most)
    return np.arange(few, dtype=np.int64) * count // max(1, few)
