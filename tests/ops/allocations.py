"""What a call leaves behind and what it needs meanwhile, in bytes of Python's memory."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from array import array
from collections.abc import Callable
from typing import NamedTuple


class Allocated(NamedTuple):
    kept: int  # bytes still held after the calls
    peak: int  # bytes held beyond the start while they ran


def allocated(step: Callable[[], object], calls: int = 20, rounds: int = 15) -> Allocated:
    """The least over `rounds` of `calls` calls each.

    tracemalloc counts every thread of the process, and one that wakes meanwhile (a pool's, the test
    runner's) adds a few hundred bytes to the round it falls into, which is why rounds are short;
    what `step` itself allocates is in all of them.
    """
    seen: list[Allocated] = []
    held = array("q", [0, 0, 0])  # numbers, not objects: the measure adds nothing to what it reads
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        step()
        for _ in range(rounds):
            tracemalloc.reset_peak()
            held[0] = tracemalloc.get_traced_memory()[0]
            for _ in itertools.repeat(None, calls):
                step()
            held[1] = tracemalloc.get_traced_memory()[0]
            held[2] = tracemalloc.get_traced_memory()[1]
            seen.append(Allocated(held[1] - held[0], held[2] - held[0]))
    finally:
        tracemalloc.stop()
        gc.enable()
    return Allocated(min(one.kept for one in seen), min(one.peak for one in seen))
