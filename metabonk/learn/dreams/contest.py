"""The contest: what the dreamer's own games return beside the policy's, and who leads.

Knows rollouts in which both played; does not know networks, nor what follows from a lead. Dreams
promise what they like: only what both earned in the same run says who plays better. The dreamer
leads while the newest returns say so beyond chance, by the t-test of unequal variances (Welch
1947); else the policy does, which costs less to play.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metabonk.errors import CheckpointError
from metabonk.learn.collector import DREAMER
from metabonk.learn.rollout import Rollout
from metabonk.learn.student import quantile

KEPT = 8  # newest episodes of each: both change quickly
LEAST = 4  # of each, before anything is said


class Lead(NamedTuple):
    """The dreamer's mean return less the policy's, in units of the game's return, and the ends of
    its 95 % interval."""

    mean: float
    low: float
    high: float


class Contest:
    """policy, dreamer: the newest returns of each, oldest first."""

    def __init__(self) -> None:
        self.policy: list[float] = []
        self.dreamer: list[float] = []

    def note(self, rollout: Rollout) -> None:
        """Takes the episodes that ended in a rollout. Returns that are no numbers are left out: a
        reward that was none spoils the sum of its whole episode, which may end much later."""
        for name, kept in (("return", self.policy), (DREAMER, self.dreamer)):
            found = (float(value) for value in rollout.episodes.get(name, ()))
            kept += [value for value in found if math.isfinite(value)]
            del kept[:-KEPT]

    @property
    def lead(self) -> Lead | None:
        """None while too little was played."""
        if min(len(self.policy), len(self.dreamer)) < LEAST:
            return None
        return lead_of(self.dreamer, self.policy)

    @property
    def led(self) -> bool:
        """Whether the dreamer leads: the whole interval is above 0."""
        lead = self.lead
        return lead is not None and lead.low > 0.0

    def details(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {"policy": list(self.policy), "dreamer": list(self.dreamer)}

    def load(self, details: Mapping[str, Any]) -> None:
        """Inverse of `details`; of a checkpoint from before there were contests nothing is known.
        Raises CheckpointError for what is no list of returns."""
        found = [details.get(name, []) for name in ("policy", "dreamer")]
        for name, values in zip(("policy", "dreamer"), found, strict=True):
            known = isinstance(values, list) and len(values) <= KEPT
            if not known or not all(isinstance(v, int | float) for v in values):
                raise CheckpointError(
                    f"the checkpoint's contest says {name} = {values!r:.80}; wanted at most {KEPT} "
                    "returns: go on from the checkpoint before"
                )
        self.policy, self.dreamer = ([float(v) for v in values] for values in found)


def lead_of(ours: Sequence[float], theirs: Sequence[float]) -> Lead:
    """Of independent values, two or more of each."""
    sizes = len(ours), len(theirs)
    means = [float(np.mean(values)) for values in (ours, theirs)]
    with np.errstate(over="ignore", invalid="ignore"):
        errors = [
            float(np.var(values, ddof=1)) / size
            for values, size in zip((ours, theirs), sizes, strict=True)
        ]
    total = sum(errors)
    difference = means[0] - means[1]
    if total == 0.0:  # as where every episode returns the same
        return Lead(difference, difference, difference)
    if not math.isfinite(total):  # nothing can be told of numbers whose squares are none
        return Lead(difference, -math.inf, math.inf)
    # Welch and Satterthwaite's degrees of freedom, rounded down: the interval is not too narrow.
    freedom = total**2 / sum(e**2 / (n - 1) for e, n in zip(errors, sizes, strict=True))
    half = quantile(max(1, int(freedom + 1e-6))) * math.sqrt(total)
    return Lead(difference, difference - half, difference + half)
