"""Minibatches of a rollout. Knows rollouts; does not know losses or networks.

A minibatch is a random set of steps for feed-forward networks and a random set of sequences, each
with the recurrent state it started from, for recurrent ones. Either comes in pieces that fit the
cache and whose gradients add up to the minibatch's: on a CPU the activations of a whole minibatch
cost more in memory traffic than in arithmetic. Steps that only reset an environment are left out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metabonk.errors import ConfigError
from metabonk.learn.rollout import Rollout
from metabonk.protocols import BoolArray, FloatArray

PIECE = 4096  # samples whose activations are in flight at once
SHARED = 1024  # samples that are worth the work of several threads
Index = npt.NDArray[np.int64]


@dataclass
class Targets:
    """What each step is pulled to; all [T, N], value as the acting policy saw it. teacher
    [T, N, teachers * outputs]: parameters of the distributions that the policy is to come close to,
    side by side, or None."""

    advantage: FloatArray
    returns: FloatArray
    log_prob: FloatArray
    value: FloatArray
    valid: BoolArray
    teacher: FloatArray | None = None

    def rows(self) -> dict[str, Tensor]:
        """Flattened to [T * N, ...]."""
        named = ("advantage", "returns", "log_prob", "value")
        rows = {key: torch.from_numpy(getattr(self, key)).reshape(-1) for key in named}
        if self.teacher is not None:
            rows["teacher"] = torch.from_numpy(self.teacher).flatten(0, 1)
        return rows


@dataclass
class Piece:
    """Part of a minibatch: B samples, or M sequences of L steps with B = L * M.

    observation: by key [B, ...], or [L, M, ...] for sequences. mask uint8 [B, choices] or None.
    action [B, columns]; teacher [B, teachers * outputs] or None; the rest [B], weight 0 for steps
    that are not learned from. For sequences: state [M, R] before the first step (or before the
    warm-up), is_first bool [L, M], and in `warm_up` the observations and `is_first` of the steps
    that come before.
    """

    observation: dict[str, Tensor]
    mask: Tensor | None
    action: Tensor
    log_prob: Tensor
    advantage: Tensor
    returns: Tensor
    value: Tensor
    weight: Tensor
    is_first: Tensor
    state: Tensor | None = None
    warm_up: tuple[dict[str, Tensor], Tensor] | None = None
    teacher: Tensor | None = None


@dataclass
class Minibatch:
    """count: how many samples it learns from, over all pieces; 0 where all steps only reset.

    pieces: made when called, so that no more are in memory than are being worked on.
    """

    count: int
    pieces: list[Callable[[], Piece]]


def samples(
    rollout: Rollout,
    targets: Targets,
    minibatches: int,
    shuffle: np.random.Generator,
    threads: int = 1,
) -> Iterator[Minibatch]:
    """One pass over all steps in random order, cut for `threads`; a minibatch without steps has no
    pieces."""
    start, stop = rollout.burn_in, rollout.burn_in + rollout.horizon
    tensors = rollout.tensors()
    seen = {key: tensors[f"observation.{key}"][start:stop] for key in rollout.observation}
    rows = {key: t.flatten(0, 1) for key, t in seen.items()}
    action = tensors["action"][start:stop].flatten(0, 1)
    others = targets.rows()
    ones = torch.ones(PIECE)

    def piece(chosen: Index) -> Piece:
        # In the order of memory: what is read at random misses every cache.
        index = torch.from_numpy(np.sort(chosen))
        observation = {key: t.index_select(0, index) for key, t in rows.items()}
        return Piece(
            observation,
            observation.get("action_mask"),
            action.index_select(0, index),
            weight=ones[: len(chosen)],
            is_first=ones[:0],
            **_picked(others, index),
        )

    order = np.flatnonzero(targets.valid)
    shuffle.shuffle(order)
    for chosen in np.array_split(order, minibatches):
        yield Minibatch(len(chosen), _split(chosen, len(chosen), piece, threads))


def spread(rollout: Rollout, count: int) -> dict[str, Tensor]:
    """About `count` observations [B, ...] of a rollout's own steps, evenly spread."""
    start, total = rollout.burn_in, rollout.horizon * rollout.num_envs
    index = torch.arange(0, total, max(1, total // count))
    return {
        key: torch.from_numpy(array[start:-1]).flatten(0, 1).index_select(0, index)
        for key, array in rollout.observation.items()
    }


def sequences(
    rollout: Rollout,
    targets: Targets,
    minibatches: int,
    length: int,
    shuffle: np.random.Generator,
    threads: int = 1,
) -> Iterator[Minibatch]:
    """One pass over all sequences of `length` steps in random order, cut for `threads`.

    Every step belongs to one sequence. Raises ConfigError unless `length` divides the horizon.
    """
    if rollout.horizon % length:
        raise ConfigError(
            f"ppo.sequence = {length}: must divide ppo.horizon = {rollout.horizon}, "
            "so that every step belongs to one sequence"
        )
    envs, burn_in = rollout.num_envs, rollout.burn_in
    tensors = rollout.tensors()
    flat = {key: t.flatten(0, 1) for key, t in tensors.items()}
    others = {**targets.rows(), "weight": torch.from_numpy(targets.valid).float().reshape(-1)}
    ahead = np.arange(length)[:, None] * envs
    before = np.arange(burn_in)[:, None] * envs

    def observed(index: Tensor) -> dict[str, Tensor]:
        return {k: _pick(flat[f"observation.{k}"], index) for k in rollout.observation}

    def piece(starts: Index) -> Piece:
        # `starts` index step and environment among the steps learned from; slots of the rollout
        # are `burn_in` further on, so that a start is also the slot where its warm-up begins.
        steps = torch.from_numpy(ahead + starts)
        slots = steps + burn_in * envs
        warm_up = None
        if burn_in:
            earlier = torch.from_numpy(before + starts)
            warm_up = observed(earlier), _pick(flat["is_first"], earlier)
        observation = observed(slots)
        mask = observation.get("action_mask")
        return Piece(
            observation,
            None if mask is None else mask.flatten(0, 1),
            flat["action"].index_select(0, slots.reshape(-1)),
            is_first=_pick(flat["is_first"], slots),
            state=flat["state"].index_select(0, torch.from_numpy(starts)),
            warm_up=warm_up,
            **_picked(others, steps.reshape(-1)),
        )

    per_env = np.arange(0, rollout.horizon, length)[:, None] * envs
    order = (per_env + np.arange(envs)).reshape(-1)
    shuffle.shuffle(order)
    valid = targets.valid.reshape(-1)
    for chosen in np.array_split(order, minibatches):
        count = int(valid[ahead + chosen].sum())
        size = len(chosen) * (length + burn_in) if count else 0
        yield Minibatch(count, _split(chosen, size, piece, threads))


def _split(
    chosen: Index, size: int, piece: Callable[[Index], Piece], threads: int
) -> list[Callable[[], Piece]]:
    """Pieces of what was chosen, `size` samples, enough of them to keep `threads` busy."""
    pieces = -(-size // PIECE)
    if size >= SHARED:
        pieces = max(pieces, threads)
    return [
        functools.partial(piece, part)
        for part in (np.array_split(chosen, pieces) if pieces else [])
    ]


def _picked(rows: dict[str, Tensor], index: Tensor) -> dict[str, Any]:
    return {key: t.index_select(0, index) for key, t in rows.items()}


def _pick(rows: Tensor, index: Tensor) -> Tensor:
    """Rows [R, ...] at index [L, M] -> [L, M, ...]."""
    return rows.index_select(0, index.reshape(-1)).view(*index.shape, *rows.shape[1:])
