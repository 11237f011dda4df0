"""Outcomes on their way to the server: each is sent until it is acknowledged.

Knows ids, when to send again and how many may wait; does not know sockets, requests or what an
outcome says. Times are monotonic nanoseconds, given by the caller.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from metabonk.cognition.agent.wishes import NS
from metabonk.cognition.protocol.wire import Outcome, RequestId

FIRST, MOST_PAUSE = NS // 2, 8 * NS  # between two times that one is sent
AT_ONCE = 8
MOST = 4096  # that wait for a server that is away: more than two hours of them


@dataclass(slots=True)
class _Waiting:
    outcome: Outcome
    due_ns: int
    pause_ns: int = FIRST


class Outbox:
    """What is not acknowledged yet, oldest first."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[RequestId, _Waiting] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, outcome: Outcome, due: int) -> bool:
        """Takes an outcome, to be sent from `due` on. False if the oldest one had to give way."""
        full = len(self._waiting) >= MOST
        if full:
            self._waiting.popitem(last=False)
        self._waiting[outcome.id] = _Waiting(outcome, due)
        return not full

    def remove(self, id: RequestId) -> bool:
        """It was acknowledged, or no repetition would change that it is refused. False if it was
        not waiting."""
        return self._waiting.pop(id, None) is not None

    def along(self) -> None:
        """A request goes: what was never sent goes with it."""
        for waiting in self._waiting.values():
            if waiting.pause_ns == FIRST:
                waiting.due_ns = 0

    def hurry(self, now: int, *, anew: bool) -> None:
        """What was said to another connection may be lost: all are due. anew: another server
        listens, which knows nothing of how often they were sent."""
        for waiting in self._waiting.values():
            if anew:
                waiting.pause_ns = FIRST
            waiting.due_ns = min(waiting.due_ns, now)

    def due(self, now: int) -> Iterator[Outcome]:
        """Those to be sent now, a few at once; each pauses twice as long as before."""
        found = 0
        for waiting in self._waiting.values():
            if found == AT_ONCE:
                return
            if now < waiting.due_ns:
                continue
            waiting.due_ns = now + waiting.pause_ns
            waiting.pause_ns = min(2 * waiting.pause_ns, MOST_PAUSE)
            found += 1
            yield waiting.outcome

    @property
    def next_ns(self) -> int | None:
        """When the next one is due; None if none waits."""
        return min((waiting.due_ns for waiting in self._waiting.values()), default=None)
