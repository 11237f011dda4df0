"""Dreamers on the ring for tests: made, shown states, and tried on the real ring."""

from __future__ import annotations

import numpy as np
import torch
from ring_world import LAYOUT, SIDE

from metabonk.config import DreamConfig, ModelConfig
from metabonk.learn.replay import Sequences
from metabonk.models.dreamer import Dreamer
from metabonk.models.rssm import Latent
from metabonk.models.world import WorldModel

HORIZON = 6
SMALL = DreamConfig(hidden=32, learning_rate=2e-3, gamma=0.9)


def dreamer_of(world: WorldModel, seed: int = 0) -> Dreamer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Dreamer(world.rssm.features, LAYOUT, SMALL.hidden, ModelConfig())


@torch.no_grad()
def seen_states(world: WorldModel, sequences: Sequences) -> Latent:
    seen = {key: torch.from_numpy(v) for key, v in sequences.observation.items()}
    length, num = sequences.is_first.shape
    noise = world.rssm.noise(length, num, generator=torch.Generator().manual_seed(0))
    states = world.sequence(
        world.init(num),
        torch.from_numpy(sequences.action),
        seen,
        torch.from_numpy(sequences.is_first),
        noise,
    )
    return Latent(states.deter.flatten(0, 1), states.stoch.flatten(0, 1))


@torch.no_grad()
def earned(world: WorldModel, dreamer: Dreamer, steps: int = 12, num: int = 64) -> float:
    """Mean reward per step on the real ring, which the dreamer only ever dreamed of."""
    generator = torch.Generator().manual_seed(5)
    place = np.random.default_rng(5).integers(0, SIDE, num)
    state, first, total = world.init(num), torch.ones(num, dtype=torch.bool), 0.0
    row = torch.zeros(num, 1)
    for _ in range(steps):
        seen = {"observation": torch.eye(SIDE)[torch.from_numpy(place)]}
        noise = world.rssm.noise(num, generator=generator)
        state = world.observe(state, row, seen, first, noise)
        row = dreamer.head.mode(dreamer.parameters_of(state.features), None)
        place = (place + np.array([0, -1, 1])[row[:, 0].long().numpy()]) % SIDE
        total += float((place == 0).mean())
        first = torch.zeros(num, dtype=torch.bool)
    return total / steps
