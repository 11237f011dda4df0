"""A device played on the processor, for StepGraph: work is kept and runs in every replay, events
are done when the test says so. Knows torch; no graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Point:
    def __init__(self, done: bool = True) -> None:
        self.done = done
        self.waited = 0

    def query(self) -> bool:
        return self.done

    def synchronize(self) -> None:
        self.done = True
        self.waited += 1


class Played:
    """A device on the processor. slow: copies aside are done only when `settle` is called."""

    def __init__(self) -> None:
        self.slow = False
        self.captured = 0
        self.log: list[str] = []
        self.points: list[Point] = []

    def pinned(self, like: Tensor) -> Tensor:
        self.log.append("pinned")
        return torch.empty(like.shape, dtype=like.dtype)

    def resident(self, like: Tensor) -> Tensor:
        self.log.append("resident")
        return torch.empty(like.shape, dtype=like.dtype)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        self.captured += 1
        work()
        return work

    def mark(self) -> Point:
        self.points.append(Point())
        return self.points[-1]

    def aside(self, work: Callable[[], None]) -> Point:
        work()
        self.points.append(Point(done=not self.slow))
        return self.points[-1]

    def settle(self) -> None:
        for point in self.points:
            point.done = True
