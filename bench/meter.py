"""Meters: what one round of a contender measures. Knows clocks and callables; no suite, no gate.

A meter is made open (its game exists, its threads wait), is prepared once, is measured once per
round and is closed. Its value is a rate or a duration; which of the two is better is the case's.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

Clock = Callable[[], float]

ROUND_SECONDS = 0.2  # long against a scheduler's time slice, short against drifting clocks
WARM_SECONDS = 0.3


class Meter(Protocol):
    """One contender that is ready to run."""

    def prepare(self) -> None:
        """Warms up and finds out how much work fills a round."""

    def measure(self) -> float:
        """One round; its value."""

    def close(self) -> None:
        """Gives back what it holds; safe to call twice."""


M = TypeVar("M", bound=Meter)


class Timed:
    """Times `run` in an inner loop that fills about `seconds` per round.

    work: what one call gets done; the value of a round is work per second, or with `work` None
    seconds per call. close: called when the contest is over.
    """

    def __init__(
        self,
        run: Callable[[], object],
        work: float | None = None,
        *,
        close: Callable[[], Any] | None = None,
        seconds: float = ROUND_SECONDS,
        warm: float = WARM_SECONDS,
        clock: Clock = time.perf_counter,
    ) -> None:
        self.run = run
        self.work = work
        self.loops = 1
        self._close = close
        self._seconds = seconds
        self._warm = warm
        self._clock = clock

    def prepare(self) -> None:
        began = self._clock()
        calls = 0
        while not calls or self._clock() - began < self._warm:
            self.run()
            calls += 1
        # Twice as many calls until a round is long enough; scaling up from one fast call would
        # trust the clock's resolution.
        while (elapsed := self._loop()) < 0.5 * self._seconds:
            self.loops *= 2
        self.loops = max(1, round(self.loops * self._seconds / elapsed))

    def measure(self) -> float:
        gc.collect()  # what earlier contenders left behind is not this one's to clean up
        elapsed = self._loop()
        return elapsed / self.loops if self.work is None else self.work * self.loops / elapsed

    def close(self) -> None:
        close, self._close = self._close, None
        if close is not None:
            close()

    def _loop(self) -> float:
        run = self.run
        began = self._clock()
        for _ in range(self.loops):
            run()
        return self._clock() - began


class Reading:
    """A value that something else measured, as a child process does about itself."""

    def __init__(self, read: Callable[[], float], warm: int = 1) -> None:
        self._read = read
        self._warm = warm

    def prepare(self) -> None:
        for _ in range(self._warm):
            self._read()

    def measure(self) -> float:
        return self._read()

    def close(self) -> None:
        """Holds nothing."""


class Plus:
    """Another meter's value and `allowance` more: what may be lost to a peer, in its unit."""

    def __init__(self, meter: Meter, allowance: float) -> None:
        self._meter = meter
        self._allowance = allowance

    def prepare(self) -> None:
        self._meter.prepare()

    def measure(self) -> float:
        return self._meter.measure() + self._allowance

    def close(self) -> None:
        self._meter.close()


class SpeedUp:
    """How many times the rate of `one` is that of `many`, both measured in every round."""

    def __init__(self, one: Meter, many: Meter) -> None:
        self._one = one
        self._many = many

    def prepare(self) -> None:
        self._one.prepare()
        self._many.prepare()

    def measure(self) -> float:
        one = self._one.measure()
        return self._many.measure() / one

    def close(self) -> None:
        self._one.close()
        self._many.close()


def fastest(meters: Sequence[M]) -> M:
    """The one of several settings of a contender with the highest rate; the others are closed.

    A peer is measured at its best; which setting that is depends on the machine.
    """
    values = []
    for meter in meters:
        meter.prepare()
        values.append(max(meter.measure() for _ in range(2)))
    best = meters[values.index(max(values))]
    for meter in meters:
        if meter is not best:
            meter.close()
    return best
