"""What an agent asks: a wish and the newest sight become a request, now, at the game's next moment,
or once a menu is over.

Knows wishes, sights and pictures; does not know sockets, the game, or what becomes of replies. One
thread, but for `wish`. Times are monotonic nanoseconds, given by the caller.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Sequence

from msgspec import UNSET

from metabonk.cognition.agent.decision import ClientCounts
from metabonk.cognition.agent.dialogue import Dialogue, Spare
from metabonk.cognition.agent.dialogue_v1 import DialogueV1
from metabonk.cognition.agent.in_force import FRESH, InForce
from metabonk.cognition.agent.next_moment import Moments, NextMoment
from metabonk.cognition.agent.outcomes import Outcomes
from metabonk.cognition.agent.pictures import Pictures, Shown
from metabonk.cognition.agent.settings import ClientSettings
from metabonk.cognition.agent.tally import Sight, menu_of
from metabonk.cognition.protocol import wire


class Questions:
    """The questions of one agent.

    dialogue: whose wishes they come from and whose requests they become. navigates: whether the
    navigator has a menu: what is asked then is its question. moments: see NextMoment.
    """

    def __init__(
        self,
        settings: ClientSettings,
        counts: ClientCounts,
        dialogue: Dialogue | DialogueV1,
        pictures: Pictures,
        outcomes: Outcomes,
        in_force: InForce,
        *,
        navigates: Callable[[], bool],
        moments: Moments | None,
    ) -> None:
        self._settings, self._counts = settings, counts
        self._dialogue, self._pictures = dialogue, pictures
        self._outcomes, self._in_force = outcomes, in_force
        self._navigates, self.moment = navigates, NextMoment(moments)
        self._wishes: deque[wire.Trigger] = deque(maxlen=8)
        self._states: dict[int, bytes] = {}  # that requests under way are about

    def wish(self, trigger: wire.Trigger) -> None:
        """Remembers a wish until no menu is open; from any thread."""
        self._wishes.append(trigger)

    def due(self, now: int) -> bool:
        """Whether a request is to be made of the newest sight, which should be looked at then."""
        while self._wishes and not self._navigates():
            self._dialogue.wishes.add(self._wishes.popleft())
        trigger = self._dialogue.wanted(now)
        return not self.moment.awaited(trigger, now) and trigger is not None

    def about(self, sight: Sight | None, now: int) -> Sequence[wire.Buffer] | None:
        """The request that is due, to be sent; None if there is nothing to ask about."""
        if self._navigates() and not self.about_menus():
            return None
        if sight is None or now - sight.captured_ns > FRESH:
            self._dialogue.wishes.take()
            self._counts.blind += 1
            return None
        shown = self._pictures.show(
            self._dialogue.limits.frames, predict=not menu_of(self._outcomes.record),
            handles=self._dialogue.handles,
        )  # fmt: skip
        held = self._in_force.current(now) if sight.in_force is UNSET else sight.in_force
        id, parts = self._dialogue.request(
            time.monotonic_ns(), sight.captured_ns, sight.packed, shown.infos, shown.jpegs,
            handle=shown.handle, spare=self._spare(shown), goal=self._settings.goal,
            menu_goal=self._settings.menu_goal, in_force=held, episode=max(sight.run, 0),
        )  # fmt: skip
        self._outcomes.asked(id, sight.captured_ns)
        self._states[id.sequence] = sight.packed
        return parts

    def about_menus(self) -> bool:
        """Whether the wish is the navigator's. Another urgent one waits until the menu is over; a
        regular one has had its turn."""
        try:
            trigger, question = self._dialogue.wishes.take()
        except LookupError:
            return False
        if question == "menu":
            self._dialogue.wishes.add(trigger, question)
        elif trigger not in ("period", "menu"):
            self._wishes.append(trigger)
        return question == "menu"

    def decided(self, id: wire.RequestId) -> bytes:
        """The state that a request was about, which is over; empty if nobody knows any more."""
        return self._states.pop(id.sequence, b"")

    def _spare(self, shown: Shown) -> Spare | None:
        """Makes the JPEGs of a strip that is shown by its handle."""
        by_handle = shown.handle is not None
        return functools.partial(self._pictures.jpegs, shown.strip) if by_handle else None
