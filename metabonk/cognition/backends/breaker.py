"""A circuit breaker: keeps away from what keeps failing, and tries it again now and then.

Knows outcomes and a clock; does not know what is called. Closed: calls pass. Open, after a run of
failures: none pass until a pause has gone by, which doubles while trials fail. Half-open: one trial
at a time decides. Where trials find nobody at all the pause stays short: they burden no one, and
who comes back is soon asked again. (M. Nygard, Release It!, 2018, chapter 5.)
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable

ORDINARY = 1  # the ticket of calls while it is closed


class State(enum.IntEnum):
    """The number is what metrics show."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """failures: in a row until it opens. pause, longest_pause: seconds that it stays open, doubled
    after each failed trial that somebody heard. clock: monotonic seconds."""

    def __init__(
        self,
        failures: int = 4,
        pause: float = 0.5,
        longest_pause: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._pause, self._longest = failures, pause, longest_pause
        self._clock = clock
        self._failed = 0
        self._next_pause = pause
        self._until = 0.0
        self._open = False
        self._trial = 0  # its ticket
        self._tickets = ORDINARY
        self.opened = 0

    @property
    def state(self) -> State:
        if not self._open:
            return State.CLOSED
        return State.OPEN if self._clock() < self._until else State.HALF_OPEN

    def allows(self) -> int:
        """A ticket for one call, 0 if none may be made now. Each is followed by exactly one of
        `succeeded`, `failed` and `gave_up` with that ticket."""
        state = self.state
        if state is State.CLOSED:
            return ORDINARY
        if state is State.OPEN or self._trial:
            return 0
        self._tickets += 1
        self._trial = self._tickets
        return self._trial

    def wait(self) -> float:
        """Seconds until a trial is allowed; 0 if calls pass."""
        return max(0.0, self._until - self._clock()) if self._open else 0.0

    def succeeded(self, ticket: int = ORDINARY) -> None:
        """Whoever asked, it works: calls pass again."""
        self._failed, self._open, self._trial = 0, False, 0
        self._next_pause = self._pause

    def failed(self, ticket: int = ORDINARY, *, away: bool = False) -> None:
        """away: nobody was there to be asked. One of before it opened may end later: it neither
        opens it again nor ends a trial."""
        if self._open:
            if ticket == self._trial:
                self._trial = 0
                self._keep_away(away)
            return
        self._failed += 1
        if self._failed >= self._most:
            self._open = True
            self.opened += 1
            self._keep_away(away)

    def gave_up(self, ticket: int = ORDINARY) -> None:
        """The call was cancelled: it says nothing about the other end."""
        if ticket == self._trial:
            self._trial = 0

    def _keep_away(self, away: bool) -> None:
        if away:
            self._next_pause = self._pause
        self._until = self._clock() + self._next_pause
        if not away:
            self._next_pause = min(2 * self._next_pause, self._longest)
