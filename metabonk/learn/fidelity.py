"""Fidelity: what a compiled policy loses against the network it was made from.

Knows games, evaluations and compiled policies; does not know how either is made. Both take the
likeliest action: how often they choose alike is counted along the network's own games, what that
costs in return is measured on games of each, in pairs.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from metabonk.learn.evaluate import Comparison, compare, play
from metabonk.models.actor import Actor, ActorState
from metabonk.models.policy import ActorCritic
from metabonk.play.compiled import CompiledPolicy
from metabonk.protocols import BatchGame, BoolArray, FloatArray, Observation

ALIKE = 0.05  # a continuous column may differ by this part of its range and still count as the same


class Fidelity(msgspec.Struct, frozen=True, kw_only=True):
    """agreement: share of decisions in which every branch of the action was the same; branches: of
    each branch alone. decisions: how many were compared. difference: of returns, the compiled
    policy's less the network's. bytes: of the tensors. precision: of the layers."""

    precision: str
    agreement: float
    branches: dict[str, float]
    decisions: int
    difference: Comparison
    bytes: int


class Beside:
    """The network's Policy, which shows every observation to a compiled one too and counts."""

    def __init__(self, model: ActorCritic, compiled: CompiledPolicy) -> None:
        self._actor = Actor(model, sampled=False)
        self._compiled = compiled
        self._tolerance = _tolerances(model)
        self.same: dict[str, int] = dict.fromkeys(self._tolerance, 0)
        self.alike = self.decisions = 0

    def reset(self, num_envs: int) -> ActorState:
        self._compiled.reset()
        return self._actor.reset(num_envs)

    def act(
        self, observation: Observation, state: ActorState, is_first: BoolArray
    ) -> tuple[FloatArray, ActorState]:
        rows, state = self._actor.act(observation, state, is_first)
        self._compiled.reset(is_first)
        close = np.abs(rows - self._compiled.step(observation))
        every = np.ones(len(rows), np.bool_)
        for name, (columns, tolerance) in self._tolerance.items():
            same = (close[:, columns] <= tolerance).all(1)
            self.same[name] += int(same.sum())
            every &= same
        self.alike += int(every.sum())
        self.decisions += len(rows)
        return rows, state


class Alone:
    """A compiled policy as a Policy; it carries its recurrent state itself."""

    def __init__(self, compiled: CompiledPolicy) -> None:
        self._compiled = compiled

    def reset(self, num_envs: int) -> int:
        self._compiled.reset()
        return 0

    def act(
        self, observation: Observation, state: int, is_first: BoolArray
    ) -> tuple[FloatArray, int]:
        self._compiled.reset(is_first)
        return self._compiled.step(observation).copy(), state + 1


def measure(
    model: ActorCritic, compiled: CompiledPolicy, game: BatchGame, *, episodes: int, seed: int
) -> Fidelity:
    """Plays `episodes` episodes with each. `compiled` has the game's number of rows and takes the
    likeliest action."""
    beside = Beside(model, compiled)
    exact = play(game, beside, episodes, seed)["return"]
    own = play(game, Alone(compiled), episodes, seed)["return"]
    return Fidelity(
        precision=compiled.terms.precision,
        agreement=beside.alike / beside.decisions,
        branches={name: count / beside.decisions for name, count in beside.same.items()},
        decisions=beside.decisions,
        difference=compare(own, exact),
        bytes=sum(array.nbytes for array in compiled.program.tensors.values()),
    )


def _tolerances(model: ActorCritic) -> dict[str, tuple[slice, Any]]:
    """By branch: its columns, and by how much they may differ."""
    found: dict[str, tuple[slice, Any]] = {}
    for branch in model.head.layout.branches:
        columns = slice(branch.column, branch.column + branch.width)
        tolerance: Any = 0.0
        if branch.kind == "continuous":
            width = np.array(branch.high) - np.array(branch.low)
            tolerance = ALIKE * np.where(np.isfinite(width), width, 1.0)
        found[branch.name] = columns, tolerance
    return found
