"""Seconds that a piece of work takes on the device, by events round replays of a graph.

Warm: over and over on one set of inputs. Cold: in turn on so many sets that each has left the
second cache when it comes again. Work that waits for the device itself is timed by the clock of the
host, cold behind something that fills the cache. Knows torch; no kernel.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

WARM_UPS = 3
REPLAYS = 11
ENOUGH = 2e-3  # seconds that one replay should last
MOST_RUNS = 4096
WALL_RUNS = 201
WALL_SECONDS = 0.5  # after which work that waits is timed no more often than WALL_LEAST
WALL_LEAST = 5


@dataclass(frozen=True)
class Time:
    """Seconds per run: the median, and how far replays (or runs by the host's clock) lie apart."""

    seconds: float
    low: float
    high: float


def measure(works: Sequence[Callable[[], object]]) -> Time:
    """Captures the works in turn, as often as it takes, and times replays of that graph.

    Each must be work that a CUDA graph can hold. Raises what they raise.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            for work in works:
                work()
    stream.synchronize()
    runs = max(len(works), 8)
    time = _replay(works, runs, 3)
    wanted = int(min(MOST_RUNS, max(runs, ENOUGH / max(time.seconds, 1e-7))))
    wanted = -(-wanted // len(works)) * len(works)
    return _replay(works, wanted, REPLAYS) if wanted != runs else _replay(works, runs, REPLAYS)


def _replay(works: Sequence[Callable[[], object]], runs: int, replays: int) -> Time:
    graph = torch.cuda.CUDAGraph()
    kept = []
    with torch.cuda.graph(graph):
        for i in range(runs):
            kept.append(works[i % len(works)]())
            if len(kept) > 1:
                kept.pop(0)  # results may be overwritten; the memory goes round
    graph.replay()
    torch.cuda.synchronize()
    each = []
    for _ in range(replays):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        each.append(begin.elapsed_time(end) / 1e3 / runs)
    return Time(statistics.median(each), min(each), max(each))


def wall(work: Callable[[], object], before: Callable[[], object] | None = None) -> Time:
    """Of work that waits for the device before it returns, by the clock of the host, one run after
    the other. before: done ahead of every run and not timed; must wait as well."""
    for _ in range(WARM_UPS):
        work()
    each: list[float] = []
    begun = time.perf_counter()
    while len(each) < WALL_LEAST or (
        len(each) < WALL_RUNS and time.perf_counter() - begun < WALL_SECONDS
    ):
        if before is not None:
            before()
        start = time.perf_counter()
        work()
        each.append(time.perf_counter() - start)
    return Time(statistics.median(each), min(each), max(each))


def flush(device: torch.device, cache: int) -> Callable[[], None]:
    """Fills a second cache of `cache` bytes with something else, and waits."""
    other = torch.empty(max(1, 2 * cache), dtype=torch.uint8, device=device)

    def fill() -> None:
        other.zero_()
        torch.cuda.synchronize(device)

    return fill


def sets_for_cold(bytes_each: int, cache: int, most: int = 192) -> int:
    """How many sets of inputs it takes until one has left a cache of `cache` bytes."""
    return max(2, min(most, -(-2 * cache // max(1, bytes_each))))
