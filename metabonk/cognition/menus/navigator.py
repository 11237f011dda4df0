"""The menu navigator at work: looks at what a game shows, and says when to press what.

Knows when a menu is open, which of them it sees to, when a press has had its effect, and when to do
without a model. Does not know connections, threads or games: the caller shows it states, asks the
model where it is told to, and carries presses out. One thread; the time is an argument, seconds.

While it is `active` no click of a policy may reach the game. A press goes out at most once, and
only on the very screen that was asked about; the next one waits for another screen, or until the
last one has evidently done nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from metabonk.cognition.menus.goal import Goal, plain
from metabonk.cognition.menus.menu import NOOP, MenuRules, Screen, check_press, is_open, presses
from metabonk.cognition.menus.scenery import Scenery
from metabonk.cognition.menus.screens import Debounced
from metabonk.cognition.question import Press
from metabonk.errors import CorruptError
from metabonk.protocols import Array
from metabonk.records import GameState

SETTLE = 0.5  # seconds after a press in which its screen may still be there
PATIENCE = 3.0  # seconds for a model's answer
STUBBORN = 3  # presses or waits of a model on one screen, after which texts are read instead
_BEGINNING = 5.0  # seconds of a run's time in which it has just begun
_HISTORY = 64  # screens whose times are remembered
_AGENT = "self"


class Step(NamedTuple):
    """active: the navigator has the menus, policies keep off them. press: to be done now, once.
    answer: it is what the model said that was asked, also where that is to do nothing."""

    active: bool
    press: Press = NOOP
    answer: bool = False


IDLE = Step(False)


@dataclass
class NavigatorCounts:
    """Sums since the start. menus: that were opened; reached: of them, that led to a game. presses:
    that went out; of them fallbacks: by texts, because the model was late, wrong or went in
    circles. stale: answers about a screen that was gone; refused: answers that may not be pressed;
    unmet: runs that began without all that the goal names."""

    menus: int = 0
    reached: int = 0
    asked: int = 0
    presses: int = 0
    fallbacks: int = 0
    stale: int = 0
    refused: int = 0
    unmet: int = 0


class Navigator:
    """Goes from menus to a running game.

    goal: what is wanted; it never changes. ask: tells the caller to ask a model about what is shown
    now, with `goal.text`; the answer comes through `answered`. None: by texts alone, or, where a
    game shows no widgets, not at all. classifier: for games whose states say nothing about menus.
    offers: whether offers of a run are its affair too, or the policy's.
    """

    def __init__(
        self,
        goal: Goal,
        *,
        ask: Callable[[], None] | None = None,
        classifier: Debounced | None = None,
        offers: bool = False,
        settle: float = SETTLE,
        patience: float = PATIENCE,
    ) -> None:
        self.goal, self.counts = goal, NavigatorCounts()
        self._ask, self._classifier, self._offers = ask, classifier, offers
        self._settle, self._patience = settle, patience
        self._rules = MenuRules(agents=1)
        self._shown: deque[tuple[float, int]] = deque(maxlen=_HISTORY)  # since when, which
        self._pictures = 0  # of them that are known by their pictures
        self._read: int | None = None  # of what the newest one said in words
        self._scenery = Scenery()
        self._open = False
        self._pressed: tuple[int, float] | None = None  # on which screen, when
        self._asked = False  # about the screen that is shown, and not answered yet
        self._nothing = False  # came of what was asked: on this screen it is not asked again soon
        self._waits: float | None = None  # since when for any answer that can be followed
        self._answer: Press | None = None
        self._chosen: set[str] = set()  # of the goal's terms
        self._without = False  # a model, on this screen
        self._follows = False  # a model, in this step
        self._circles = 0

    @property
    def unmet(self) -> tuple[str, ...]:
        """What the goal names that was not chosen yet."""
        return tuple(term for term in self.goal.terms if term not in self._chosen)

    def look(self, state: GameState, now: float, pixels: Array | None = None) -> Step:
        """What to do about what a game shows now. pixels: uint8 [H, W, 3], where there are any."""
        said = is_open(state)
        if said is None:
            said = self._sees(pixels)
        if not said:
            self._leave(state.time < _BEGINNING)
            return IDLE
        screen = Screen.of(state)
        if screen.rolled and not self._offers:
            return IDLE
        self._enter(screen, now, pixels if not screen.widgets else None)
        if self._settling(now):
            return Step(True)
        self._follows = False
        press = self._choose(screen, now)
        if press.kind == "noop":
            return Step(True, answer=self._follows)
        self._pressed = (self._shown[-1][1], now)
        self._asked, self._answer, self._waits = False, None, None
        self._chosen.update(self.goal.found_in(press.text))
        self.counts.presses += 1
        return Step(True, press, self._follows)

    def answered(self, press: Press | None, captured: float) -> bool:
        """A model's answer about what was shown at `captured`; None where it had none. Whether it
        is kept for the next step, which says whether it was followed."""
        if not self._asked:
            self.counts.stale += 1
            return False
        then = [which for since, which in self._shown if since <= captured]
        if not then or then[-1] != self._shown[-1][1]:
            self.counts.stale += 1
            self._asked = False  # and asked anew about what is shown now
        elif press is None:
            self._without = self._nothing = True
        else:
            self._answer = press
            return True
        return False

    def _sees(self, pixels: Array | None) -> bool:
        if self._classifier is None or pixels is None:
            return False
        return self._classifier.look(pixels)

    def _enter(self, screen: Screen, now: float, pixels: Array | None) -> None:
        if not self._open:
            self._open = True
            self.counts.menus += 1
        # In their order: an answer names a place among them.
        read = hash((screen.name, tuple(plain(widget.text) for widget in screen.widgets)))
        if self._is_another(read, now, pixels):
            self._pictures += pixels is not None
            which = read if pixels is None else -self._pictures
            self._shown.append((now, which))
            self._asked = self._asked and not self._nothing
            self._without, self._circles = False, 0
            self._answer = None

    def _is_another(self, read: int, now: float, pixels: Array | None) -> bool:
        """Whether the screen is not the newest one, and if so remembers what it is known by."""
        said = not self._shown or read != self._read
        if said:
            self._scenery.forget()
        moved = pixels is not None and self._scenery.look(now, pixels)
        self._read = read
        return said or moved

    def _leave(self, begins: bool) -> None:
        """The game runs. begins: a run just began, and does not go on after a pause."""
        if self._open:
            self.counts.reached += 1
            self.counts.unmet += begins and bool(self.unmet)
            self._rules.forget(_AGENT)
        self._open = False
        self._pressed = self._answer = self._waits = None
        self._asked = False
        self._without, self._circles = False, 0
        self._chosen.clear()
        self._shown.clear()
        self._scenery.forget()

    def _settling(self, now: float) -> bool:
        """Whether the last press may still change this screen."""
        if self._pressed is None or self._pressed[0] != self._shown[-1][1]:
            return False
        return now - self._pressed[1] < self._settle

    def _choose(self, screen: Screen, now: float) -> Press:
        if screen.widgets and not presses(self.goal, screen):
            return NOOP  # it still fades in, or there is nothing that may be pressed
        if self._ask is None or self._without:
            return self._by_text(screen)
        if self._answer is None:
            return self._wait(screen, now)
        answer, self._answer, self._asked, self._waits = self._answer, None, False, None
        try:
            press = check_press(self.goal, screen, answer)
        except CorruptError:
            self.counts.refused += 1
            self._without = True
            return NOOP
        self._circles += 1
        if self._circles > STUBBORN and screen.widgets:
            self._without = True
            return NOOP
        self._follows = True
        return press

    def _wait(self, screen: Screen, now: float) -> Press:
        """Asks, and waits. Patience counts from the first question that brought nothing: where
        every answer comes too late for its screen it would never end otherwise."""
        assert self._ask is not None
        if self._waits is None:
            self._waits = now
        elif now - self._waits >= self._patience:
            self._without, self._asked, self._waits = True, False, None
            return self._by_text(screen)
        if not self._asked:
            self._asked, self._nothing = True, False
            self.counts.asked += 1
            self._ask()
        return NOOP

    def _by_text(self, screen: Screen) -> Press:
        press = self._rules.press(_AGENT, self.goal, screen)
        if self._ask is not None:
            self.counts.fallbacks += press.kind != "noop"
            # The next answer may do better; where there is nothing to read it is the only way.
            self._without = self._circles > STUBBORN and bool(screen.widgets)
            self._waits = None
        return press
