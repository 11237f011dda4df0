"""The loop's time in suite `link`: how late ticks are, against a thread that sleeps until its time.

Durations. Both keep absolute times; ours wakes shortly before each and spins the rest, on a native
thread that never takes the GIL. Beside a load both ask for real-time priority, and get it where the
system grants it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .case import Case
from .meter import Reading
from .peers import pacing
from .versus import Contender

HZ = 60.0
TICKS = 90  # per round
SPIN = 150e-6  # seconds at most before each tick
PRIORITY = 20  # of SCHED_FIFO, beside a load
MEDIAN_MICROSECONDS = 1.0  # the goal

Late = Callable[[float, int, int], npt.NDArray[np.int64]]


def cases() -> list[Case]:
    return [
        _case(
            "ticks at 60 Hz, median lateness",
            50.0,
            load=(),
            budget=Contender("1 us", lambda: Reading(lambda: MEDIAN_MICROSECONDS)),
        ),
        _case("ticks at 60 Hz beside a busy Python thread, p90 lateness", 90.0, load=("busy",)),
    ]


def _case(
    name: str, percentile: float, load: tuple[str, ...], budget: Contender | None = None
) -> Case:
    peers = [Contender("time.sleep", lambda: _reading(pacing.sleeper, percentile, load))]
    peers += [budget] if budget is not None else []
    ours = Contender("metabonk", lambda: _reading(_paced, percentile, load))
    return Case("link", name, "us", ours, tuple(peers), better="lower")


def _reading(late: Late, percentile: float, load: tuple[str, ...]) -> Reading:
    def read() -> float:
        from metabonk.play.loads import running

        beside: Any = running(load) if load else contextlib.nullcontext()
        with beside:
            found = late(HZ, TICKS, PRIORITY if load else 0)
        # The first ticks come before caches are warm; no tick is on time to the nanosecond.
        return max(float(np.percentile(found[TICKS // 10 :], percentile)) / 1e3, 1e-3)

    return Reading(read)


def _paced(hz: float, ticks: int, priority: int) -> npt.NDArray[np.int64]:
    from metabonk._core import play

    late: Any = play.pace(hz, SPIN, ticks, play.last_cpu(), priority)
    return np.asarray(late, np.int64)
