"""Ours against peers, round by round. Knows meters and numpy; no suite and no gate.

Every round measures every peer and then ours, so that whatever the machine does meanwhile it does
to all of them; the ratio is taken within a round and its median over the rounds. The interval is
the bootstrap's (Efron 1979), 95 % of resampled medians.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from metabonk.errors import MetabonkError, MissingExtraError

from .meter import Clock, Meter

RESAMPLES = 4000
Better = Literal["higher", "lower"]


class AbsentError(MetabonkError):
    """A contender that this machine cannot have; the message says why and what would help."""


@dataclass(frozen=True)
class Contender:
    """A name and how to open it.

    `open` raises MissingExtraError if it is not installed, AbsentError if it cannot be had here.
    """

    name: str
    open: Callable[[], Meter]


@dataclass(frozen=True)
class Ratio:
    """How many times better ours is than a peer, above 1 for better; low, high: 95 % interval."""

    median: float
    low: float
    high: float


@dataclass
class Contest:
    """Open contenders and what their rounds measured.

    values: by contender's name, one per round. skipped: why a contender cannot take part, by name.
    ends: of `clock`, from when on no round begins, whoever drives them: both halves do nothing.
    """

    ours: str
    peers: list[str]
    better: Better
    meters: dict[str, Meter]
    values: dict[str, list[float]]
    skipped: dict[str, str] = field(default_factory=dict)
    ends: float = math.inf
    clock: Clock = time.monotonic
    late: bool = False  # whether the round that is on began too late

    @classmethod
    def open(
        cls,
        ours: Contender,
        peers: Sequence[Contender],
        better: Better = "higher",
        ends: float = math.inf,
        clock: Clock = time.monotonic,
    ) -> Contest:
        """Opens, warms up and calibrates everybody; one that is not installed is skipped."""
        names = [ours.name, *(p.name for p in peers)]
        if len(set(names)) != len(names):
            raise ValueError(f"contenders must have different names: {names}")
        contest = cls(ours.name, names[1:], better, {}, {}, ends=ends, clock=clock)
        try:
            contest._enter(ours)
            for peer in peers if contest.runs else ():
                contest._enter(peer)
            for meter in contest.meters.values():
                meter.prepare()
        except BaseException:
            contest.close()
            raise
        contest.values = {name: [] for name in contest.meters}
        return contest

    def _enter(self, contender: Contender) -> None:
        try:
            self.meters[contender.name] = contender.open()
        except (MissingExtraError, AbsentError) as error:
            self.skipped[contender.name] = str(error)

    @property
    def runs(self) -> bool:
        """Whether there is anything to measure: ours is here."""
        return self.ours in self.meters

    def peers_round(self) -> None:
        """The first half of a round, which decides whether there still is one."""
        self.late = self.clock() >= self.ends
        for name in self.peers:
            self._measure(name)

    def our_round(self) -> None:
        """The second half of a round: of one that began in time, however long that took."""
        self._measure(self.ours)

    def close(self) -> None:
        for meter in self.meters.values():
            meter.close()

    def value(self, name: str) -> float | None:
        """Median over the rounds; None for a contender that was skipped."""
        values = self.values.get(name)
        return float(np.median(values)) if values else None

    def ratio(self, peer: str) -> Ratio | None:
        """Ours against one peer; None if either was skipped."""
        ours, theirs = self.values.get(self.ours), self.values.get(peer)
        if not ours or not theirs:
            return None
        return ratio(ours, theirs, self.better)

    def _measure(self, name: str) -> None:
        meter = self.meters.get(name)
        if meter is not None and not self.late:
            self.values[name].append(meter.measure())


def ratio(ours: Sequence[float], theirs: Sequence[float], better: Better) -> Ratio:
    """Median of the rounds' ratios with its bootstrap interval; the same rounds, the same answer.

    ours, theirs: one positive value per round, in the order of the rounds.
    """
    mine, other = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if mine.shape != other.shape or not mine.size or not (mine > 0).all() or not (other > 0).all():
        raise ValueError(f"rounds must be pairs of positive values: {ours} against {theirs}")
    each = mine / other if better == "higher" else other / mine
    chosen = np.random.default_rng(0).integers(0, len(each), (RESAMPLES, len(each)))
    low, high = np.percentile(np.median(each[chosen], axis=1), [2.5, 97.5])
    return Ratio(float(np.median(each)), float(low), float(high))
