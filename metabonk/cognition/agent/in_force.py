"""The directive that is followed now: put in force by the server, or by who stands in for it.

Knows directives, until when they hold, and when the local strategist may speak; does not know
requests, replies or pictures. Times are monotonic nanoseconds. Game threads read it by `current`,
which costs a comparison; all else is one thread's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from metabonk.cognition.agent.decision import ClientCounts
from metabonk.cognition.agent.tally import Sight
from metabonk.cognition.agent.wishes import NS
from metabonk.cognition.vocabulary import Directive, Priority

FRESH = NS  # age of a sight that is worth a directive

Apply = Callable[[Directive, int], bool]
Local = Callable[[Sight], Directive | None]


@dataclass(frozen=True, slots=True)
class _Held:
    directive: Directive
    until_ns: int


class InForce:
    """apply: puts a directive in force until a moment and says whether the game took it; None where
    the game asks instead. local: gives a directive where the server gives none. every: seconds
    between two that the local strategist is asked for at most."""

    def __init__(
        self, counts: ClientCounts, apply: Apply | None, local: Local | None, every: float
    ) -> None:
        self._counts, self._apply, self._local, self._every = counts, apply, local, every
        self._held: _Held | None = None  # one reference, replaced whole: any thread may read it
        self._local_ns = 0

    def current(self, now: int = 0) -> Directive | None:
        """What is in force; None if nothing is. now: by default this moment."""
        held = self._held
        if held is None or (now or time.monotonic_ns()) >= held.until_ns:
            return None
        return held.directive

    def put(self, directive: Directive, until_ns: int) -> bool:
        """Puts a directive in force; False if the game does not take it."""
        taken = self._apply is None or self._apply(directive, until_ns)
        if taken:
            self._held = _Held(directive, until_ns)
        return taken

    def begin(self) -> None:
        """A run began: nothing of the one before is in force, and whoever stands in may speak."""
        self._held, self._local_ns = None, 0

    def act_locally(self, sight: Sight | None, now: int) -> None:
        """Lets the local strategist speak, if nothing is in force and it is time. Whatever the
        server says next goes before it."""
        if self._local is None or sight is None or now < self._local_ns:
            return
        if self.current(now) is not None or now - sight.captured_ns > FRESH:
            return
        directive = self._local(sight)
        pause = self._every if directive is None else directive.seconds
        self._local_ns = now + round(min(pause, self._every) * NS)
        if directive is not None:
            until = sight.captured_ns + round(directive.seconds * NS)
            yielding = msgspec.structs.replace(directive, priority=Priority.LOW)
            self._counts.local += self.put(yielding, until)
