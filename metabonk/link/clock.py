"""How far the clock of a link's other end is from ours, by PING and PONG. Knows times, no sockets.

Monotonic clocks of two ends are never assumed equal: another machine's, another container's and
Wine's begin elsewhere. An exchange gives four times: a PING left at t0 (our clock), arrived at t1
(theirs), its PONG left at t2 (theirs) and arrived at t3 (ours). The offset
((t1 - t0) + (t2 - t3)) / 2 is wrong by at most half of the delay (t3 - t0) - (t2 - t1), whatever
part of it either way took (RFC 5905, section 8). Of the last sixteen exchanges the one with the
least error counts, each one's error growing by 100 parts per million of its age, which is more than
crystals differ. The arithmetic is in csrc/link/clock.h.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from metabonk import _core


class Reading(NamedTuple):
    """What is known of the other clock, in nanoseconds. offset: theirs minus ours. uncertainty: by
    how much that may be wrong at most. round_trip: of the last exchange. known: False before the
    first exchange, and the others then say nothing."""

    known: bool
    offset: int
    uncertainty: int
    round_trip: int

    def to_ours(self, theirs: int) -> int | None:
        """A time of the other clock on ours; None while the clocks are not related."""
        return theirs - self.offset if self.known else None


class ClockRelation:
    """The estimate on its own, for links that are not BonkLink's."""

    def __init__(self) -> None:
        self._native = _core.link.ClockRelation()

    def add(self, t0: int, t1: int, t2: int, t3: int) -> bool:
        """One exchange. False, and nothing is learnt, for times that no clocks give: an answer
        before its question, or one that lay at the other end for longer than it was away."""
        return bool(self._native.add(t0, t1, t2, t3))

    def read(self, now: int | None = None) -> Reading:
        """now: our monotonic time, by default this moment's."""
        at = time.monotonic_ns() if now is None else now
        native = self._native
        return Reading(native.known, native.offset(at), native.uncertainty(at), native.round_trip)

    def reset(self) -> None:
        """Forgets everything: another end."""
        self._native.reset()
