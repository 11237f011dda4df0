"""The contest: what the dreamer's own games return beside the policy's, and who leads.

Knows rollouts in which both played; does not know networks, nor what follows from a lead. Dreams
promise what they like: only what both earned in the same run says who plays better. The dreamer
leads while the newest returns say so beyond chance, by the t-test of unequal variances (Welch
1947); else the policy does, which costs less to play.

Where episodes are long nobody's return is known for long: least that of a policy that gets nowhere,
and where good play keeps a game alive those that ended are the bad ones. What returns leave open is
decided by the same test of what every game brought in the newest rollout beyond what the policy's
critic expected there, for the policy itself about nothing. Returns that speak clearly correct what
the critic is wrong about.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metabonk.errors import CheckpointError
from metabonk.learn.collector import DREAMER
from metabonk.learn.rollout import Rollout
from metabonk.learn.student import quantile
from metabonk.protocols import FloatArray

KEPT = 8  # newest episodes of each: both change quickly
LEAST = 4  # episodes of each, or games, before anything is said
GAMES = 1 << 20  # of each at most, in a checkpoint that can be
BEYOND = ("policy_beyond", "dreamer_beyond")


class Lead(NamedTuple):
    """The dreamer's mean return less the policy's, in units of the game's return, and the ends of
    its 95 % interval."""

    mean: float
    low: float
    high: float


class Contest:
    """policy, dreamer: the newest returns of each, oldest first. beyond: of the policy's and of the
    dreamer's games, what each brought in the newest rollout beyond what was expected; nothing where
    only one played."""

    def __init__(self) -> None:
        self.policy: list[float] = []
        self.dreamer: list[float] = []
        self.beyond: tuple[list[float], list[float]] = ([], [])

    def note(self, rollout: Rollout, beyond: FloatArray) -> None:
        """Takes the episodes that ended in a rollout, and what its games [N] brought beyond what
        was expected (PPO.beyond). What is no number is left out: a reward that was none spoils the
        sum of its whole episode, which may end much later."""
        for name, kept in (("return", self.policy), (DREAMER, self.dreamer)):
            kept += _finite(rollout.episodes.get(name, ()))
            del kept[:-KEPT]
        both, stop = rollout.others > 0, rollout.own.stop
        self.beyond = (_finite(beyond[:stop]), _finite(beyond[stop:])) if both else ([], [])

    @property
    def lead(self) -> Lead | None:
        """By returns if these speak clearly, else by the newest rollout if that does; None while
        too little was played."""
        pairs = ((self.policy, self.dreamer), self.beyond)
        known = [
            lead_of(dreamer, policy)
            for policy, dreamer in pairs
            if min(len(policy), len(dreamer)) >= LEAST
        ]
        clear = (lead for lead in known if lead.low > 0.0 or lead.high < 0.0)
        return next(clear, known[0] if known else None)

    @property
    def led(self) -> bool:
        """Whether the dreamer leads: the whole interval is above 0."""
        lead = self.lead
        return lead is not None and lead.low > 0.0

    def details(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        names = ("policy", "dreamer", *BEYOND)
        lists = (self.policy, self.dreamer, *self.beyond)
        return {name: list(values) for name, values in zip(names, lists, strict=True)}

    def load(self, details: Mapping[str, Any]) -> None:
        """Inverse of `details`; of a checkpoint from before something was kept it is not known.
        Raises CheckpointError for what is no list of numbers."""
        policy, dreamer = (_numbers(details, name, KEPT) for name in ("policy", "dreamer"))
        ours, theirs = (_numbers(details, name, GAMES) for name in BEYOND)
        self.policy, self.dreamer, self.beyond = policy, dreamer, (ours, theirs)


def _finite(values: Iterable[float]) -> list[float]:
    return [float(value) for value in values if math.isfinite(value)]


def _numbers(details: Mapping[str, Any], name: str, most: int) -> list[float]:
    """One of its lists. Raises CheckpointError."""
    values = details.get(name, [])
    known = isinstance(values, list) and len(values) <= most
    if not known or not all(isinstance(value, int | float) for value in values):
        raise CheckpointError(
            f"the checkpoint's contest says {name} = {values!r:.80}; wanted at most {most} "
            "numbers: go on from the checkpoint before"
        )
    return [float(value) for value in values]


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
