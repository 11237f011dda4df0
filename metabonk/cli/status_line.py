"""One line that says what goes on while a verb runs. Knows rich; not what it is about."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from metabonk.cli.output import stderr

LOOK_SECONDS = 0.25  # between two looks
QUIET_SECONDS = 15.0  # between lines where the output is not a terminal


class StatusLine:
    """Shows `line()` on standard error: on a terminal in place, elsewhere as a line now and then.

    Use as a context round the work, which calls `look` as often as it likes. first: what stands
    there until the first look; quiet: nothing is shown.
    """

    def __init__(self, line: Callable[[], str], first: str, *, quiet: bool) -> None:
        self._line, self._quiet = line, quiet
        self._status = stderr.status(first)
        self._next = 0.0
        self._said = time.monotonic()

    def look(self) -> None:
        """Shows how things stand, if the time for it has come."""
        now = time.monotonic()
        if self._quiet or now < self._next:
            return
        self._next = now + LOOK_SECONDS
        if stderr.is_terminal:
            self._status.update(self._line())
        elif now - self._said >= QUIET_SECONDS:
            self._said = now
            stderr.print(self._line(), markup=False, soft_wrap=True)

    def __enter__(self) -> StatusLine:
        if not self._quiet and stderr.is_terminal:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._status.stop()
