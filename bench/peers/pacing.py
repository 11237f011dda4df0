"""Keeping time as people write it: absolute deadlines and time.sleep. Knows no more than that."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt


def sleeper(hz: float, ticks: int) -> npt.NDArray[np.int64]:
    """How late each tick was, nanoseconds [ticks]: sleeps until the tick after the last."""
    period = round(1e9 / hz)
    late = np.zeros(ticks, np.int64)
    planned = time.monotonic_ns()
    for tick in range(ticks):
        planned += period
        left = planned - time.monotonic_ns()
        if left > 0:
            time.sleep(left / 1e9)
        late[tick] = time.monotonic_ns() - planned
    return late
