"""Keeping time as people write it: absolute deadlines and time.sleep. Knows no more than that."""

from __future__ import annotations

import contextlib
import os
import threading
import time

import numpy as np
import numpy.typing as npt


def sleeper(hz: float, ticks: int, priority: int = 0) -> npt.NDArray[np.int64]:
    """How late each tick was, nanoseconds [ticks], on a thread that sleeps until the next one.

    priority: of SCHED_FIFO where the system grants it, 0 for ordinary scheduling.
    """
    late = np.zeros(ticks, np.int64)

    def run() -> None:
        if priority:
            with contextlib.suppress(PermissionError):
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        period = round(1e9 / hz)
        planned = time.monotonic_ns()
        for tick in range(ticks):
            planned += period
            left = planned - time.monotonic_ns()
            if left > 0:
                time.sleep(left / 1e9)
            late[tick] = time.monotonic_ns() - planned

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return late
