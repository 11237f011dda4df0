"""The menu navigator as a client runs it: sights in, questions and presses out.

Knows the navigator and sights; does not know sockets, loops or how a press reaches a game. While
the navigator has a menu, the policy's own presses are muted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from metabonk.cognition.agent.decision import Decision
from metabonk.cognition.agent.tally import Sight, menu_of
from metabonk.cognition.menus.goal import Goal
from metabonk.cognition.menus.menu import Screen, check_press
from metabonk.cognition.menus.navigator import Navigator
from metabonk.cognition.menus.screens import Debounced
from metabonk.cognition.protocol.wire import RequestId
from metabonk.cognition.question import Press
from metabonk.errors import CorruptError
from metabonk.records import FieldGroup, GameState

_NS = 1e9


class MenuWatch:
    """goal: what the user wants, in words. press: carries a press out, once; says whether it was
    taken. mute: keeps the policy's presses from the game, or lets them through again. wish: asks
    the server about what is shown; False if nobody is there, and texts have to do. classifier:
    tells menus by pixels, for games whose states do not say. followed: hears the request whose
    answer was carried out. offers: see to the offers of a run, too."""

    def __init__(
        self,
        goal: str,
        *,
        press: Callable[[Press], bool],
        mute: Callable[[bool], None],
        wish: Callable[[], bool],
        classifier: Debounced | None = None,
        followed: Callable[[RequestId], None] = lambda id: None,
        offers: bool = False,
    ) -> None:
        self._navigator = Navigator(
            Goal.read(goal), ask=self._ask, classifier=classifier, offers=offers
        )
        self._press, self._mute, self._wish, self._followed = press, mute, wish, followed
        self._answer: RequestId | None = None  # the last that the navigator kept
        self._captured = 0.0  # seconds, of the sight that is looked at
        # Until the first sight says otherwise: a policy may not press while nobody has looked.
        self.active = True
        mute(True)
        self.not_taken = 0

    @property
    def counts(self) -> Any:
        """What the navigator counted."""
        return self._navigator.counts

    def look(self, sight: Sight, record: Any) -> None:
        """What to do about a sight; `record` is its fields."""
        fields = int(record["fields"])
        plays = fields & FieldGroup.PLAYER and record["playing"] and not record["paused"]
        if plays and not menu_of(record) and not self.active:
            return  # nothing to unfold a state for
        self._captured = sight.captured_ns / _NS
        step = self._navigator.look(GameState.unpack(sight.packed), self._captured, sight.pixels)
        if step.active != self.active:
            self.active = step.active
            self._mute(step.active)
        taken = step.press.kind == "noop" or self._press(step.press)
        self.not_taken += not taken
        if step.answer and taken and self._answer is not None:
            self._followed(self._answer)

    def _ask(self) -> None:
        if not self._wish():
            self._navigator.answered(None, self._captured)

    def decided(self, decision: Decision) -> None:
        """Hands an answer over, or that there is none."""
        if self._navigator.answered(decision.press, decision.captured_ns / _NS):
            self._answer = decision.id


def may_click(goal: str, asked: bytes, shown: bytes, choice: int) -> bool:
    """Whether a button that an answer of strategy wants pressed may be: it is still on the screen
    that was asked about, and neither ends, deletes nor buys what the goal does not name.

    asked, shown: packed states, of the request and of now. choice: 1..32, the widget.
    """
    try:
        then, now = (Screen.of(GameState.unpack(packed)) for packed in (asked, shown))
        check_press(Goal.of(goal), now, Press("click", choice))
    except CorruptError:
        return False
    # In their order: a choice is a place among them.
    texts = ([widget.text for widget in screen.widgets] for screen in (then, now))
    return then.name == now.name and next(texts) == next(texts)
