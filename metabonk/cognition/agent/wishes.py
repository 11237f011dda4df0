"""When an agent wants to ask: at its own place in the period, and when something is urgent.

Knows triggers, their ranks and periods; does not know requests, replies or what is seen. Times are
monotonic nanoseconds, given by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping

from metabonk.cognition.protocol.wire import QuestionKind, Trigger

NS = 1_000_000_000
SPREAD = NS // 10  # over which agents that come back together ask for what they missed
RANK: Mapping[Trigger, int] = {"period": 0, "menu": 1, "boss": 2, "health": 3}


class Wishes:
    """One wish at most: the most urgent and, of equals, the newest one.

    every: seconds between regular wishes. `phase` (0..1) is this agent's place in the period; all
    agents of a machine count periods on the same clock, so they stay apart however they started.
    A place that went by while nobody could be asked is not waited for once more.
    """

    def __init__(self, every: float) -> None:
        self.replaced = 0
        self._every = max(round(every * NS), 1)
        self._phase = 0.0
        self._next = 0
        self._rest = 0  # after the next regular wish, until there may be another one
        self._wish: tuple[Trigger, QuestionKind] | None = None

    def begin(self, phase: float, now: int) -> None:
        """Counts from the next place `phase` on. What fell due since the last one, while there was
        no server, comes up at once, each agent's at its place in `SPREAD`; a second Welcome, as one
        who said Hello twice gets it, does not put that off."""
        missed = 0 < self._next <= now or self._rest > 0
        self._phase = phase % 1.0
        self._next = self._after(now)
        if missed:
            self._next = min(self._next, now + round(self._phase * min(SPREAD, self._every)))
            self._rest = self._every // 2

    def add(self, trigger: Trigger, question: QuestionKind = "strategy") -> None:
        if self._wish is not None:
            self.replaced += 1
            if RANK[trigger] < RANK[self._wish[0]]:
                return
        self._wish = (trigger, question)

    def newest(self, now: int, question: QuestionKind = "strategy") -> Trigger | None:
        """What is wished for now; a regular wish, of kind `question`, once its time has come."""
        if self._next and now >= self._next:
            if self._wish is None:
                self._wish = ("period", question)
            self._next, self._rest = self._after(now + self._rest), 0
        return None if self._wish is None else self._wish[0]

    def take(self) -> tuple[Trigger, QuestionKind]:
        """The wish, which is then fulfilled. Raises LookupError without one."""
        if self._wish is None:
            raise LookupError("nothing is wished for")
        wish, self._wish = self._wish, None
        return wish

    @property
    def next_ns(self) -> int:
        """When the next regular wish comes up; 0 before `begin`."""
        return self._next

    def _after(self, now: int) -> int:
        offset = round(self._phase * self._every)
        return (now - offset) // self._every * self._every + self._every + offset


def is_critical(trigger: Trigger) -> bool:
    """Whether it may follow a request that is still under way."""
    return RANK[trigger] > 0
