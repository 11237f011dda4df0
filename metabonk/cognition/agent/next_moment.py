"""The game's next moment, which a regular question is asked about: how old a frame is when it goes
is part of what an answer takes.

Knows that somebody shows moments and says when one that is wanted is there; does not know games,
requests or what a moment shows. One thread. Times are monotonic nanoseconds, given by the caller.
"""

from __future__ import annotations

from typing import Protocol

from metabonk.cognition.protocol.wire import Trigger

MOST = 100_000_000  # that a question waits: a game that is slower, or stands still, is asked about


class Moments(Protocol):
    """Who shows a game's moments, as a seat's watch does."""

    @property
    def wanted(self) -> bool:
        """Whether the moment that was wanted last is still to be shown; reads what `fileno` has,
        which may be of a moment before."""

    def want(self) -> None:
        """Has the first moment from now on shown."""

    def fileno(self) -> int:
        """A descriptor that can be read from once it is shown; for polling."""


class NextMoment:
    """Lets a regular question wait for the game's next moment, and no other one. moments: None if
    nobody says when they are shown: then nothing waits."""

    def __init__(self, moments: Moments | None) -> None:
        self._moments = moments
        self._until = 0  # what waits waits so long at most; 0: nothing does
        self.came = False  # what waited last does not wait any more, as its moment is shown

    def awaited(self, trigger: Trigger | None, now: int) -> bool:
        """Whether the question that `trigger` brings up, None for none, waits still. What is urgent
        goes at once, and what waited before it need not any more."""
        if trigger != "period" or self._moments is None:
            self._until, self.came = 0, False
        elif self._until == 0:
            self._moments.want()
            self._until, self.came = now + MOST, False
        else:
            self.came = not self._moments.wanted
            if self.came or now >= self._until:
                self._until = 0
        return self._until != 0

    @property
    def fileno(self) -> int:
        """What to poll beside other things; -1 if nothing waits."""
        return -1 if self._until == 0 or self._moments is None else self._moments.fileno()

    def due(self, other: int) -> int:
        """When to go on, whatever is shown, if that is before `other`."""
        return min(other, self._until) if self._until else other
