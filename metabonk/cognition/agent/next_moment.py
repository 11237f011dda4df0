"""The game's next moment, which a regular question is asked about: how old a frame is when it goes
is part of what an answer takes.

Knows when moments come; does not know games, requests or what a moment shows. One thread. Times are
monotonic nanoseconds, given by the caller.
"""

from __future__ import annotations

from collections.abc import Callable

from metabonk.cognition.protocol.wire import Trigger

SHOWN = 2_000_000  # from a moment's capture until whoever looks can see it: its tick goes first
MOST = 50_000_000  # that a question waits: no longer for a game slower than 20 moments a second


class NextMoment:
    """Lets a regular question wait for the game's next moment, and no other one.

    comes: says when that moment is captured, and has it shown; None: nobody knows, so that nothing
    waits.
    """

    def __init__(self, comes: Callable[[], int] | None) -> None:
        self._comes = comes
        self.at_ns = 0  # when to look; 0: nothing waits

    def awaited(self, trigger: Trigger | None, now: int) -> bool:
        """Whether the question that `trigger` brings up, None for none, waits still. What is urgent
        goes at once, and what waited before it need not any more."""
        if trigger != "period" or self._comes is None:
            self.at_ns = 0
        elif self.at_ns == 0:
            self.at_ns = min(self._comes() + SHOWN, now + MOST)
        elif now >= self.at_ns:
            self.at_ns = 0
        return now < self.at_ns

    def due(self, other: int) -> int:
        """When to look at the game: at the moment that is waited for, if that is before `other`."""
        return min(other, self.at_ns) if self.at_ns else other
