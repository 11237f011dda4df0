"""Policies that act: a network behind the Policy protocol, and the uniform policy beside it.

Knows networks and layouts. Does not know games: what is trained and what is served get the same
observations, and a policy is a pure function of them, its state and its seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metabonk.models.policy import ActorCritic
from metabonk.protocols import Array, BoolArray, FloatArray, Observation
from metabonk.spaces import ActionLayout, Branch

ACT_STREAM = 3
UNIFORM_STREAM = 4


class ActorState(NamedTuple):
    """hidden: the network's recurrent state [N, R]. step: decisions taken so far."""

    hidden: Tensor
    step: int


class Actor:
    """A network as a Policy. sampled: act as in training, else take the likeliest action."""

    def __init__(self, model: ActorCritic, *, sampled: bool = True, seed: int = 0) -> None:
        self.model = model
        self.sampled = sampled
        self.seed = seed

    def reset(self, num_envs: int) -> ActorState:
        """The state before the first observation."""
        return ActorState(self.model.initial_state(num_envs), 0)

    def act(
        self, observation: Observation, state: ActorState, is_first: BoolArray
    ) -> tuple[FloatArray, ActorState]:
        """Action rows float32 [N, columns] and the next state."""
        head, num = self.model.head, len(is_first)
        with torch.inference_mode():
            seen = {key: torch.from_numpy(array) for key, array in observation.items()}
            out = self.model.step(seen, state.hidden, torch.from_numpy(is_first))
            mask = seen.get("action_mask")
            if self.sampled:
                generator = _generator(self.seed, ACT_STREAM, state.step)
                rows = torch.empty(num, head.layout.columns)
                uniform = generator.random((num, head.categorical), np.float32)
                normal = generator.standard_normal((num, head.continuous), np.float32)
                head.sample(
                    out.parameters,
                    mask,
                    torch.from_numpy(uniform),
                    torch.from_numpy(normal),
                    rows,
                    torch.empty(num, len(head.layout.branches)),
                )
            else:
                rows = head.mode(out.parameters, mask)
        return rows.numpy(), ActorState(out.state, state.step + 1)


class Uniform:
    """Every allowed choice equally likely, every bounded column uniform: the baseline.

    Unbounded columns are standard normal. fixed: values of branches it leaves alone, as a trained
    policy with the same setting does.
    """

    def __init__(
        self, layout: ActionLayout, *, seed: int = 0, fixed: Mapping[str, float] | None = None
    ) -> None:
        self.layout = layout
        self.seed = seed
        self.fixed = dict(fixed or {})

    def reset(self, num_envs: int) -> int:
        """The number of decisions taken, which is all the state there is."""
        return 0

    def act(
        self, observation: Observation, state: int, is_first: BoolArray
    ) -> tuple[FloatArray, int]:
        """Action rows float32 [N, columns] and the next state."""
        generator = _generator(self.seed, UNIFORM_STREAM, state)
        rows = np.zeros((len(is_first), self.layout.columns), np.float32)
        mask = observation.get("action_mask")
        for branch in self.layout.branches:
            columns = rows[:, branch.column : branch.column + branch.width]
            drawn = _draw(branch, mask, generator, columns.shape)
            columns[:] = self.fixed.get(branch.name, drawn)
        return rows, state + 1


def _draw(
    branch: Branch,
    mask: Array | None,
    generator: np.random.Generator,
    shape: tuple[int, ...],
) -> FloatArray:
    if branch.kind == "continuous":
        low, high = np.array(branch.low), np.array(branch.high)
        free = ~(np.isfinite(low) & np.isfinite(high))
        uniform = generator.uniform(np.where(free, 0.0, low), np.where(free, 0.0, high), shape)
        drawn = np.where(free, generator.standard_normal(shape), uniform)
        return np.asarray(drawn, np.float32)
    weight = np.ones((shape[0], branch.size), np.float32)
    if mask is not None and branch.mask is not None:
        weight = mask[:, slice(*branch.mask)].astype(np.float32)
    chosen = (generator.random(weight.shape, np.float32) + weight).argmax(1)
    return np.asarray(chosen[:, None], np.float32)


def _generator(seed: int, stream: int, step: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, 0, step]))
