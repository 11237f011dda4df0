"""The menu navigator: which widget of a screen leads to the goal, and what may be pressed at all.

Knows screens (a menu's name and its widgets), goals, the words that buttons go by, and what was
pressed on the way. `MenuRules` reads texts and needs no model; presses of a model are held to the
same rules by `check_press`. Does not know when a menu is open (screens.py, navigator.py), who asks,
or how a press reaches a game.

Texts on a screen are data. They are compared with the goal and never added to it, and what a screen
offers to quit, delete or buy is not among the presses unless the goal itself names that word:
whatever a text says, there is no way from it to such a press.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from metabonk.cognition.menus.buttons import SENTENCE, aside, guarded, leads
from metabonk.cognition.menus.goal import Goal, plain, words_of
from metabonk.cognition.question import Answer, Failure, Press, Question, Undecided
from metabonk.errors import CorruptError
from metabonk.records import MAX_WIDGETS, FieldGroup, GameState, Widget

NOT_A_MENU = ("", "None", "Gameplay")
NOOP = Press()

_REMEMBERED = 256  # screens of one way; a game that shows ever new ones does not fill memory
_AGENTS = 256  # agents
_NEW_WAY = 30.0  # seconds without a menu after which the next one is a new beginning
_VISIT = 2.5  # taken off per press that led nowhere new
_WANTED = 4.0  # makes up for leading aside, where the goal wants just that
_RARITY = 0.5  # worth of an offer per step of rarity


@dataclass(frozen=True, slots=True)
class Screen:
    """What a menu shows. offers: rarity 0..4 of the offer behind each widget, -1 without one."""

    name: str
    widgets: tuple[Widget, ...]
    offers: tuple[int, ...] = ()

    @classmethod
    def of(cls, state: GameState) -> Screen:
        """The screen of a state, with at most 32 widgets."""
        widgets = tuple(state.widgets[:MAX_WIDGETS])
        rarities = [offer.rarity for offer in state.offers]
        offers = tuple(
            rarities[w.offer - 1] if 0 < w.offer <= len(rarities) else -1 for w in widgets
        )
        return cls(state.menu, widgets, offers)

    @property
    def signature(self) -> int:
        """Equal for screens with the same name and texts, wherever they stand."""
        return hash((self.name, tuple(sorted(plain(w.text) for w in self.widgets))))

    @property
    def rolled(self) -> bool:
        """Whether offers of a run are on it: what to take there is strategy, not navigation."""
        return any(rarity >= 0 for rarity in self.offers)


def is_open(state: GameState) -> bool | None:
    """Whether a menu is open, as the state says; None where it says nothing about menus."""
    if state.fields & FieldGroup.MENU and state.menu not in NOT_A_MENU:
        return True
    if not state.fields & (FieldGroup.MENU | FieldGroup.PLAYER):
        return None
    return bool(state.fields & FieldGroup.PLAYER) and (not state.playing or state.paused)


def allowed(goal: Goal, text: str) -> bool:
    """Whether a widget of this text may be pressed: not if it ends, deletes or buys something that
    the goal does not name."""
    return guarded(text) <= guarded(goal.text)


def presses(goal: Goal, screen: Screen) -> tuple[Press, ...]:
    """Everything that may be pressed, in reading order: the closed set that a model chooses from,
    besides `noop`. Empty where nothing is enabled."""
    return tuple(
        Press("click", choice, *_middle(widget), widget.text)
        for choice, widget in enumerate(screen.widgets, 1)
        if widget.enabled and allowed(goal, widget.text)
    )


def check_press(goal: Goal, screen: Screen, press: Press) -> Press:
    """The press as it may be carried out; after every backend, also ours.

    A `click_xy` on a widget becomes a `click` of it; beside all widgets it is kept only where a
    game shows none. Raises CorruptError that names the field and what was wanted.
    """
    if press.kind == "noop":
        return NOOP
    if press.kind == "click_xy":
        for name, value in (("x", press.x), ("y", press.y)):
            if not (math.isfinite(value) and 0.0 <= value <= 1.0):
                raise CorruptError(f"{name}: {value!r}; wanted 0 to 1 from the top left")
        if not screen.widgets:
            return Press("click_xy", 0, press.x, press.y)
        choice = _under(screen.widgets, press.x, press.y)
        if choice == 0:
            raise CorruptError(f"x, y: no widget at {press.x:.3f}, {press.y:.3f}; wanted one")
    else:
        choice = press.choice
    if not 1 <= choice <= len(screen.widgets):
        raise CorruptError(f"choice: {choice}; wanted 1 to {len(screen.widgets)}")
    widget = screen.widgets[choice - 1]
    if not widget.enabled:
        raise CorruptError(f"choice: {choice}, {widget.text!r}; it cannot be pressed now")
    if not allowed(goal, widget.text):
        raise CorruptError(f"choice: {choice}, {widget.text!r}; the goal does not ask for that")
    return Press("click", choice, *_middle(widget), widget.text)


def read_press(value: object, goal: Goal, screen: Screen) -> Press:
    """A press from untrusted values, in the known design's spelling or with the widget's choice:
    `{"action": "click", "target_text": "Play"}`, `{"action": "click", "choice": 2}`,
    `{"action": "click_xy", "x": 0.5, "y": 0.4}`, `{"action": "noop"}`.

    Raises CorruptError that names the field, what it was and what was wanted.
    """
    if not isinstance(value, Mapping):
        raise CorruptError(f"press: {type(value).__name__}; wanted a mapping with action")
    action = value.get("action")
    if action == "noop":
        return NOOP
    if action == "click_xy":
        x, y = value.get("x"), value.get("y")
        if not _number(x) or not _number(y):
            raise CorruptError(f"x, y: {str(x)[:20]}, {str(y)[:20]}; wanted two numbers")
        return check_press(goal, screen, Press("click_xy", 0, float(x), float(y)))  # type: ignore[arg-type]
    if action != "click":
        raise CorruptError(f"action: {str(action)[:40]!r}; wanted click, click_xy or noop")
    choice, text = value.get("choice"), value.get("target_text")
    if isinstance(choice, int) and not isinstance(choice, bool):
        return check_press(goal, screen, Press("click", choice))
    if not isinstance(text, str):
        raise CorruptError("target_text: missing; wanted the text of a widget, or choice")
    return check_press(goal, screen, Press("click", _named(screen, text)))


@dataclass(slots=True)
class _Way:
    """What one agent did since its game last ran. pressed: how often each text of a screen was;
    chosen: signature and name of the screen on which each term of the goal was pressed; last: the
    screen before and the text that was pressed on it."""

    pressed: OrderedDict[int, dict[str, int]] = field(default_factory=OrderedDict)
    chosen: dict[str, tuple[int, str]] = field(default_factory=dict)
    last: tuple[int, str] = (0, "")
    astray: bool = False

    def at(self, signature: int) -> dict[str, int]:
        found = self.pressed.setdefault(signature, {})
        self.pressed.move_to_end(signature)
        while len(self.pressed) > _REMEMBERED:
            self.pressed.popitem(last=False)
        return found


class MenuRules:
    """Finds the way by the texts of widgets: what the goal names, else what leads on, else what was
    not tried yet. Remembers per agent what it pressed, until a game runs.

    agents: at most so many are remembered; the one that asked longest ago is forgotten first.
    """

    def __init__(self, agents: int = _AGENTS) -> None:
        self._agents = agents
        self._ways: OrderedDict[str, _Way] = OrderedDict()
        self._goals: dict[str, Goal] = {}
        self._seen: dict[str, float] = {}  # when an agent last asked

    def forget(self, agent: str) -> None:
        """A game runs: the next menu is a new beginning."""
        self._ways.pop(agent, None)
        self._goals.pop(agent, None)
        self._seen.pop(agent, None)

    def unmet(self, agent: str, goal: Goal) -> tuple[str, ...]:
        """What the goal names that nothing pressed so far was."""
        way = self._ways.get(agent)
        return tuple(t for t in goal.terms if way is None or t not in way.chosen)

    def press(self, agent: str, goal: Goal, screen: Screen) -> Press:
        """The next press; `noop` where nothing can be pressed, or nothing may be."""
        way = self._way(agent, goal)
        here = screen.signature
        open_to = presses(goal, screen)
        if not open_to:
            return NOOP
        self._arrive(way, screen)
        unmet = [t for t in goal.terms if t not in way.chosen]
        tried = way.at(here)
        scores = [self._score(goal, screen, press, unmet, way) for press in open_to]
        chosen = open_to[max(range(len(scores)), key=lambda i: (scores[i], -i))]
        text = plain(chosen.text)
        tried[text] = tried.get(text, 0) + 1
        way.last = (here, chosen.text)
        way.chosen.update(dict.fromkeys(goal.found_in(chosen.text), (here, screen.name)))
        return chosen

    async def answer(self, question: Question) -> Answer:
        """A backend's answer to a question of the kind `menu`, at once. Raises Undecided where the
        state is none or shows no widgets, which takes a model that sees."""
        try:
            screen = Screen.of(question.state)
        except CorruptError as error:
            raise Undecided(Failure.GARBAGE, str(error), "rules") from error
        if not screen.widgets:
            raise Undecided(
                Failure.UNSUPPORTED, "no widgets to read; a model may see some", "rules"
            )
        now = time.monotonic()
        if now - self._seen.get(question.agent, now) > _NEW_WAY:
            self.forget(question.agent)
        goal = Goal.of(question.goal)
        press = self.press(question.agent, goal, screen)
        self._seen[question.agent] = now
        unmet = self.unmet(question.agent, goal)
        words = f"{press.text!r} leads on" if press.kind == "click" else "nothing can be pressed"
        left = f"; still to choose: {', '.join(unmet)}" if unmet else ""
        return Answer("rules", press=press, mode="rules", confidence=1.0, reasoning=words + left)

    @staticmethod
    def _arrive(way: _Way, screen: Screen) -> None:
        """Notes that a screen is not the one before."""
        here, (before, pressed) = screen.signature, way.last
        if before == here:
            return
        # Back from elsewhere: what was chosen here is to be chosen anew.
        way.chosen = {term: at for term, at in way.chosen.items() if at[0] != here}
        names = bool(guarded(screen.name) or aside(screen.name))
        way.astray = names or bool(aside(pressed)) or len(words_of(pressed)) >= SENTENCE

    def _way(self, agent: str, goal: Goal) -> _Way:
        if self._goals.get(agent) != goal:
            self.forget(agent)
        way = self._ways.setdefault(agent, _Way())
        self._goals[agent] = goal
        self._ways.move_to_end(agent)
        while len(self._ways) > self._agents:
            self.forget(next(iter(self._ways)))
        return way

    @staticmethod
    def _score(goal: Goal, screen: Screen, press: Press, unmet: Sequence[str], way: _Way) -> float:
        text = press.text
        named = [term for term in goal.found_in(text) if term in unmet]
        seen_here = any(name == screen.name for _, name in way.chosen.values())
        score = leads(text, not unmet, bool(unmet) and not seen_here, way.astray)
        if aside(text) <= set(goal.words):  # "Fox statistics" is not Fox
            score += _worth(named, words_of(text)) + (_WANTED if aside(text) else 0.0)
        rarity = screen.offers[press.choice - 1] if screen.offers else -1
        tried = way.at(screen.signature).get(plain(text), 0)
        return score + _RARITY * (rarity + 1) - _VISIT * tried


def _worth(named: Sequence[str], words: Sequence[str]) -> float:
    """4 per term that a text names, less for a bare number, and up to 1 for saying little else."""
    if not named:
        return 0.0
    spoken = sum(len(term.split()) for term in named)
    whole = all(set(term.split()) <= set(words) for term in named)
    return (4.0 if whole else 3.0) * len(named) + min(1.0, spoken / max(1, len(words)))


def _named(screen: Screen, text: str) -> int:
    """The choice of the enabled widget with that text. Raises CorruptError if it is not one."""
    found = [
        choice
        for choice, widget in enumerate(screen.widgets, 1)
        if widget.enabled and plain(widget.text) == plain(text)
    ]
    if len(found) != 1:
        shown = ", ".join(repr(widget.text) for widget in screen.widgets[:8])
        raise CorruptError(
            f"target_text: {text[:40]!r} names {len(found)} widgets; wanted one of {shown}"
        )
    return found[0]


def _under(widgets: Sequence[Widget], x: float, y: float) -> int:
    """The choice of the first widget at a point, 0 for none: as games read clicks."""
    return next((i for i, w in enumerate(widgets, 1) if w.x0 <= x < w.x1 and w.y0 <= y < w.y1), 0)


def _middle(widget: Widget) -> tuple[float, float]:
    return (widget.x0 + widget.x1) / 2.0, (widget.y0 + widget.y1) / 2.0


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
