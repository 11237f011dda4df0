"""Expected free energy in a small world whose rules are known: beliefs, policies, plans.

Knows numpy and nothing else of ours; what learned networks make of it is efe.py. It is the
definition that those approximate, and equals pymdp (Heins et al. 2022).

With q(s) what is believed and q(o) = sum_s p(o|s) q(s) what is then expected to be seen, a step of
a policy costs (Friston et al. 2015; Da Costa et al. 2020)

    G = KL(q(o) || P~(o)) + E_q(s) H(p(o|s))              risk + ambiguity
      = -E_q(o) ln P~(o) - [H(q(o)) - E_q(s) H(p(o|s))]   -utility - information gain

Both lines are equal. Who takes ambiguity for a constant keeps -H(q(o)) in the risk, and seeks what
is merely unpredictable; who leaves it out altogether seeks nothing that is not preferred.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Style = Literal["expected", "constant", "utility"]
TOLERANCE = 1e-9  # of sums of probabilities, and between costs that count as equal


class Cost(NamedTuple):
    """Of a step or a policy, in nats."""

    risk: float
    ambiguity: float
    utility: float
    gain: float

    def energy(self, style: Style = "expected") -> float:
        """G. style: `constant` takes ambiguity for one, `utility` knows neither ambiguity nor the
        entropy of what is seen."""
        if style == "utility":
            return -self.utility
        return self.risk + (self.ambiguity if style == "expected" else 0.0)

    def plus(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))


FREE = Cost(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Rules:
    """A world of S states, U actions and some modalities in which it is seen, all float64.

    likelihood: of each modality p(o|s) [O, S]. transition: p(s'|s, u) [S, S, U]. preference: of
    each modality ln P~(o) [O], up to a constant. prior: p(s) at the beginning [S]. Raises
    ValueError naming what is no distribution or does not fit. Arrays are copied and never change:
    what is preferred stays so whatever is learned.
    """

    likelihood: tuple[Doubles, ...]
    transition: Doubles
    preference: tuple[Doubles, ...]
    prior: Doubles

    def __post_init__(self) -> None:
        states = len(self.prior)
        shapes: list[tuple[str, Doubles, tuple[int, ...]]] = [
            ("transition", self.transition, (states, states, self.transition.shape[-1]))
        ]
        if len(self.likelihood) != len(self.preference) or not self.likelihood:
            raise ValueError(
                f"preference: {len(self.preference)} modalities, likelihood has "
                f"{len(self.likelihood)}; give each its own"
            )
        for m, (seen, liked) in enumerate(zip(self.likelihood, self.preference, strict=True)):
            shapes.append((f"likelihood[{m}]", seen, (len(liked), states)))
            if not np.isfinite(liked).all():
                raise ValueError(f"preference[{m}]: {liked}; wanted finite logarithms")
        for name, array, shape in shapes:
            if array.shape != shape:
                raise ValueError(f"{name}: shape {array.shape}; wanted {shape}")
        for name, array in [("prior", self.prior), *((n, a) for n, a, _ in shapes)]:
            if not (array >= 0.0).all() or not np.allclose(array.sum(0), 1.0, atol=TOLERANCE):
                raise ValueError(f"{name}: its columns are no distributions: they must sum to 1")
        for name in ("likelihood", "preference"):
            object.__setattr__(self, name, tuple(_fixed(a) for a in getattr(self, name)))
        for name in ("transition", "prior"):
            object.__setattr__(self, name, _fixed(getattr(self, name)))

    @property
    def actions(self) -> int:
        return int(self.transition.shape[2])

    @property
    def sizes(self) -> tuple[int, ...]:
        """Outcomes of each modality."""
        return tuple(len(liked) for liked in self.preference)

    def joint(self) -> tuple[Doubles, Doubles]:
        """What is seen in all modalities at once: p(o|s) [O, S] and ln P~(o) [O]; modalities are
        independent given the state, and the last one counts fastest."""
        likelihood, preference = np.ones((1, len(self.prior))), np.zeros(1)
        for seen, liked in zip(self.likelihood, self.preference, strict=True):
            likelihood = (likelihood[:, None] * seen[None]).reshape(-1, len(self.prior))
            liked = liked - np.logaddexp.reduce(liked)
            preference = (preference[:, None] + liked).reshape(-1)
        return likelihood, preference


class Planner:
    """Beliefs and costs under `rules`; a pure function of what it is asked."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.likelihood, self.preference = rules.joint()
        self._ambiguity = _entropy(self.likelihood)

    def predict(self, belief: Doubles, action: int) -> Doubles:
        """What is believed [S] after an action, before anything is seen."""
        moved: Doubles = self.rules.transition[:, :, action] @ belief
        return moved

    def update(self, belief: Doubles, seen: Sequence[int]) -> Doubles:
        """What is believed [S] after an outcome of each modality was seen (Bayes). Raises
        ValueError for one that was held impossible."""
        weight = belief.copy()
        for m, (table, outcome) in enumerate(zip(self.rules.likelihood, seen, strict=True)):
            if not 0 <= outcome < len(table):
                raise ValueError(f"seen[{m}]: {outcome}; wanted 0 to {len(table) - 1}")
            weight = weight * table[outcome]
        total = float(weight.sum())
        if total <= 0.0:
            raise ValueError(f"seen: {tuple(seen)} cannot be seen in any state that is believed in")
        return np.asarray(weight / total)

    def cost(self, belief: Doubles) -> Cost:
        """Of being where `belief` [S] says, once."""
        outcome = self.likelihood @ belief
        entropy = float(_entropy(outcome[:, None])[0])
        utility = float(outcome @ self.preference)
        ambiguity = float(self._ambiguity @ belief)
        return Cost(-entropy - utility, ambiguity, utility, entropy - ambiguity)

    def policy(self, belief: Doubles, actions: Sequence[int]) -> Cost:
        """Of actions that are done one after another, whatever is seen meanwhile."""
        total = FREE
        for action in actions:
            belief = self.predict(belief, action)
            total = total.plus(self.cost(belief))
        return total

    def policies(
        self, belief: Doubles, depth: int, style: Style = "expected"
    ) -> tuple[list[tuple[int, ...]], Doubles]:
        """Every sequence of `depth` actions, and its G."""
        found = list(itertools.product(range(self.rules.actions), repeat=depth))
        return found, np.array([self.policy(belief, one).energy(style) for one in found])

    def plan(self, belief: Doubles, depth: int, style: Style = "expected") -> Doubles:
        """G of every first action [U] if all later ones may depend on what is seen until then
        (sophisticated inference, Friston et al. 2021)."""
        costs = []
        for action in range(self.rules.actions):
            there = self.predict(belief, action)
            energy = self.cost(there).energy(style)
            if depth > 1:
                for probability, after in self._outcomes(there):
                    energy += probability * float(self.plan(after, depth - 1, style).min())
            costs.append(energy)
        return np.array(costs)

    def _outcomes(self, belief: Doubles) -> Iterator[tuple[float, Doubles]]:
        """What may be seen and is then believed, with its probability."""
        for row in self.likelihood:
            weight = row * belief
            total = float(weight.sum())
            if total > TOLERANCE:
                yield total, weight / total


def precise(energies: Doubles, precision: float) -> Doubles:
    """Probability of each policy: softmax of -precision G."""
    logits = -precision * (energies - energies.min())
    weight = np.exp(logits)
    return np.asarray(weight / weight.sum())


def lowest(energies: Doubles, generator: np.random.Generator) -> int:
    """The policy with the least G; one of those that have it, at random."""
    return int(generator.choice(np.flatnonzero(energies <= energies.min() + TOLERANCE)))


def _entropy(probabilities: Doubles) -> Doubles:
    """In nats, of every column of [O, S]."""
    safe = np.where(probabilities > 0.0, probabilities, 1.0)
    return np.asarray(-(probabilities * np.log(safe)).sum(0))


def _fixed(array: Doubles) -> Doubles:
    copy = np.array(array, np.float64)
    copy.flags.writeable = False
    return copy
