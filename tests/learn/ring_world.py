"""A ring of four places for tests of world models, and a world model that learned it."""

from __future__ import annotations

import copy
import dataclasses
import functools

import msgspec
import numpy as np
from gymnasium import spaces as gs

from metabonk.config import WorldConfig
from metabonk.learn.dreams.world import WorldLearner
from metabonk.learn.replay import Sequences
from metabonk.models.world import WorldModel, build
from metabonk.spaces import ActionLayout

SPACE = gs.Dict({"observation": gs.Box(-9, 9, (4,), np.float32)})
LAYOUT = ActionLayout.of(gs.Discrete(3))
SMALL = WorldConfig(
    deter=48, groups=6, classes=6, hidden=48, learning_rate=3e-3, burn_in=3, free_nats=0.1
)
SIDE = 4  # places on a ring, seen one-hot


def walk(length: int, num: int, seed: int) -> Sequences:
    """A ring of four places: action 0 stays, 1 and 2 go left and right; reward 1 on place 0."""
    generator = np.random.default_rng(seed)
    action = generator.integers(0, 3, (length, num))
    move = np.array([0, -1, 1])[action]
    move[0] = 0
    place = (generator.integers(0, SIDE, num) + np.cumsum(move, 0)) % SIDE
    is_first = np.zeros((length, num), np.bool_)
    is_first[0] = True
    reward = np.where(is_first, 0.0, place == 0).astype(np.float32)
    return Sequences(
        {"observation": np.eye(SIDE, dtype=np.float32)[place]},
        action[..., None].astype(np.float32),
        reward,
        np.zeros((length, num), np.bool_),
        is_first,
    )


def trained(updates: int, shuffled: bool = False, reward: float = 1.0) -> WorldLearner:
    config = msgspec.structs.replace(SMALL, reward=reward)
    learner = WorldLearner(build(SPACE, LAYOUT, config, seed=0), config, seed=0)
    for update in range(updates):
        sequences = walk(16, 16, seed=update)
        if shuffled:
            mixed = np.random.default_rng(update).permuted(sequences.action, axis=1)
            sequences = dataclasses.replace(sequences, action=mixed)
        learner.update(sequences)
    return learner


def world_of(shuffled: bool = False) -> WorldModel:
    """One of one's own that learned for 250 updates; it is learned once, however many ask."""
    return copy.deepcopy(_learned(shuffled))


@functools.cache
def _learned(shuffled: bool) -> WorldModel:
    return trained(250, shuffled).model
