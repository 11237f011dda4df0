"""What came of every request: the seconds after what it was about, measured until they are over.

Knows sights, tallies and decisions; does not know how outcomes are sent, or to whom.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from metabonk.cognition.agent.decision import Decision
from metabonk.cognition.agent.tally import Sight, Tally, Window
from metabonk.cognition.protocol.wire import Outcome, RequestId

_NS = 1_000_000_000


class Outcomes:
    """One agent's. seconds: that an outcome tells of, from its request's capture on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = round(seconds * _NS)
        self._tally = Tally()
        self._windows: OrderedDict[int, Window] = OrderedDict()

    @property
    def record(self) -> Any:
        """The fields of the newest sight."""
        return self._tally.record

    def update(self, sight: Sight) -> tuple[Any, bool]:
        """Counts a sight in; returns its fields, and whether the run before it is over. Raises
        ValueError for a state that cannot be read."""
        since = self._tally.totals
        record = self._tally.update(sight)
        return record, self._tally.totals.parts(since)

    def asked(self, id: RequestId, captured_ns: int) -> None:
        """A request went out about what was captured then."""
        self._windows[id.sequence] = Window(id, self._tally.totals, captured_ns + self._seconds)

    def decided(self, decision: Decision, taken: bool) -> None:
        """What was answered, and whether it was put in force."""
        window = self._windows.get(decision.id.sequence)
        if window is not None:
            window.applied, window.status = taken, decision.status
            window.age_ms = (time.monotonic_ns() - decision.captured_ns) / 1e6

    def followed(self, id: RequestId) -> None:
        """A menu's answer was carried out, a while after it came."""
        window = self._windows.get(id.sequence)
        if window is not None:
            window.applied = True
            window.age_ms = (time.monotonic_ns() - window.since.at_ns) / 1e6

    def over(self, *, all: bool = False) -> Iterator[Outcome]:
        """Those whose seconds are over, each once. all: the others, too."""
        totals = self._tally.totals
        while self._windows:  # in the order in which they end
            sequence, window = next(iter(self._windows.items()))
            if not (all or window.over(totals)):
                return
            del self._windows[sequence]
            yield window.outcome(totals)
