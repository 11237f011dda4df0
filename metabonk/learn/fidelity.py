"""Fidelity: what a compiled policy loses against what it was made from.

Knows games, evaluations and compiled policies; does not know how either is made. Both take the
likeliest action: how often they choose alike is counted along the original's own games, what that
costs in return is measured on games of each, in pairs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from metabonk.learn.evaluate import Comparison, Doubles, compare, play
from metabonk.play.compiled import CompiledPolicy
from metabonk.play.compiler.tracing import IS_FIRST, NORMAL, UNIFORM, Deciding
from metabonk.protocols import Array, BatchGame, BoolArray, FloatArray, Observation
from metabonk.spaces import ActionLayout

FIDELITY_STREAM = 18
ALIKE = 0.05  # a continuous column may differ by this part of its range and still count as the same


class Fidelity(msgspec.Struct, frozen=True, kw_only=True):
    """agreement: share of decisions in which every branch of the action was the same; branches: of
    each branch alone. decisions: how many were compared. difference: of returns, the compiled
    policy's less the original's. bytes: of the tensors. precision: of the layers."""

    precision: str
    agreement: float
    branches: dict[str, float]
    decisions: int
    difference: Comparison
    bytes: int


class Remembered(NamedTuple):
    """carried: the decision's state [N, S]. step: decisions so far."""

    carried: Tensor
    step: int


class Agreement:
    """Of how many decisions every branch was the same, and each branch alone."""

    def __init__(self, layout: ActionLayout) -> None:
        self._tolerance = _tolerances(layout)
        self._same: dict[str, int] = dict.fromkeys(self._tolerance, 0)
        self._alike = self.decisions = 0

    def count(self, apart: FloatArray) -> None:
        """apart: by how much the rows [B, columns] of two differ."""
        every = np.ones(len(apart), np.bool_)
        for name, (columns, tolerance) in self._tolerance.items():
            same = (apart[:, columns] <= tolerance).all(1)
            self._same[name] += int(same.sum())
            every &= same
        self._alike += int(every.sum())
        self.decisions += len(apart)

    def measured(self, compiled: CompiledPolicy, own: Doubles, exact: Doubles) -> Fidelity:
        """own, exact: returns of the compiled policy's episodes and of the original's."""
        return Fidelity(
            precision=compiled.terms.precision,
            agreement=self._alike / self.decisions,
            branches={name: count / self.decisions for name, count in self._same.items()},
            decisions=self.decisions,
            difference=compare(own, exact),
            bytes=sum(array.nbytes for array in compiled.program.tensors.values()),
        )


class Beside:
    """What was trained as a Policy, run by torch; it shows every observation to what was compiled
    of it too, with the same random numbers where any are drawn, and counts."""

    def __init__(self, decision: Deciding, compiled: CompiledPolicy, seed: int) -> None:
        self._decision, self._compiled, self._seed = decision, compiled, seed
        self.agreement = Agreement(decision.head.layout)
        self._given = {
            name: np.zeros(sizes, dtype) for name, (dtype, sizes) in compiled.inputs.items()
        }
        rows = (compiled.terms.batch, compiled.terms.columns)
        self._bound = compiled.bind(self._given, np.zeros(rows, np.float32))

    def reset(self, num_envs: int) -> Remembered:
        return Remembered(torch.zeros(num_envs, self._decision.state_size), 0)

    @torch.no_grad()
    def act(
        self, observation: Observation, state: Remembered, is_first: BoolArray
    ) -> tuple[FloatArray, Remembered]:
        num = len(is_first)
        philox = np.random.Philox(key=[self._seed, FIDELITY_STREAM], counter=[0, 0, 0, state.step])
        generator = np.random.Generator(philox)
        own: dict[str, Array] = {
            IS_FIRST: np.array(is_first),
            UNIFORM: generator.random((num, self._decision.uniforms), np.float32),
            NORMAL: generator.standard_normal((num, self._decision.normals), np.float32),
        }
        seen = {key: torch.as_tensor(value) for key, value in observation.items()}
        numbers = [torch.from_numpy(own[name]) for name in (IS_FIRST, UNIFORM, NORMAL)]
        out = self._decision(seen, state.carried, *numbers)
        rows: FloatArray = out[0].numpy()
        for name, array in self._given.items():
            np.copyto(array, own[name] if name in own else observation[name])
        self.agreement.count(np.abs(rows - self._bound.step()))
        return rows, Remembered(out[3], state.step + 1)


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
    decision: Deciding, compiled: CompiledPolicy, game: BatchGame, *, episodes: int, seed: int
) -> Fidelity:
    """Plays `episodes` episodes with each. `compiled` was made of `decision`, has the game's number
    of rows and takes the likeliest action."""
    beside = Beside(decision, compiled, seed)
    exact = play(game, beside, episodes, seed)["return"]
    own = play(game, Alone(compiled), episodes, seed)["return"]
    return beside.agreement.measured(compiled, own, exact)


def _tolerances(layout: ActionLayout) -> dict[str, tuple[slice, Any]]:
    """By branch: its columns, and by how much they may differ."""
    found: dict[str, tuple[slice, Any]] = {}
    for branch in layout.branches:
        columns = slice(branch.column, branch.column + branch.width)
        tolerance: Any = 0.0
        if branch.kind == "continuous":
            width = np.array(branch.high) - np.array(branch.low)
            tolerance = ALIKE * np.where(np.isfinite(width), width, 1.0)
        found[branch.name] = columns, tolerance
    return found
