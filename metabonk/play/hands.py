"""A person's hands: window events become the arena's actions, one per tick.

Knows keys, mouse and what is on the screen; does not know windows or the game's rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from metabonk.play.controls import NAME_OF_INPUT
from metabonk.records import Action, Point, Widget

TICKS_PER_SECOND = 60
RADIANS_PER_PIXEL = 0.0035  # of the mouse
TURN_RATE = 3.5  # radians a second at full look, as the arena's body turns

_LARGEST_LOOK = TURN_RATE / TICKS_PER_SECOND / RADIANS_PER_PIXEL  # pixels a tick
_MOUSE = {1: "mouse left", 3: "mouse right"}


@dataclass(frozen=True)
class Screen:
    """What a press can mean now. Read every tick, so without the rest of the state."""

    menu: str
    widgets: list[Widget]

    @property
    def playing(self) -> bool:
        return self.menu == "None"


class Hands:
    """Keys and buttons held down, and what happened since the last tick."""

    def __init__(self, pygame: Any) -> None:
        self._pygame = pygame
        self._down: set[tuple[str, int]] = set()  # by control and key: two keys may do the same
        self._turn = [0.0, 0.0]  # pixels that the mouse has moved and the view has not
        self._chosen = 0
        self._click: Point | None = None
        self._released = True  # the game takes a press only after a tick without one
        self._wants: str | None = None
        self.pointer = (-1.0, -1.0)

    def take(self, event: Any, place: Callable[[tuple[int, int]], Point]) -> None:
        pygame = self._pygame
        if event.type == pygame.MOUSEMOTION:
            self._turn[0] += event.rel[0]
            self._turn[1] -= event.rel[1]
            self.pointer = place(event.pos)
            return
        name = control_of(pygame, event)
        if name is None:
            return
        key = (name, event.key if hasattr(event, "key") else -event.button)
        if event.type in (pygame.KEYUP, pygame.MOUSEBUTTONUP):
            self._down.discard(key)
            return
        self._down.add(key)
        if event.type == pygame.MOUSEBUTTONDOWN and name == "fire":
            self.pointer = self._click = place(event.pos)
        elif name == "choose":
            self._chosen = int(pygame.key.name(event.key)[-1])
        elif name == "accept":
            self._chosen = 1
        elif name == "pause":
            self._wants = name

    def action(self, screen: Screen) -> Action:
        """What to do in the next tick."""
        choice, click = self._press(screen)
        held = {name for name, _ in self._down}
        return Action(
            move=(
                float("right" in held) - float("left" in held),
                float("forward" in held) - float("back" in held),
            ),
            look=self._look(screen.playing),
            jump="jump" in held,
            slide="slide" in held,
            interact="interact" in held,
            fire=screen.playing and "fire" in held,
            ability="ability" in held,
            choice=choice,
            click=click,
        )

    def _look(self, playing: bool) -> Point:
        if not playing:  # the mouse points in menus
            self._turn = [0.0, 0.0]
            return 0.0, 0.0
        part = [max(-1.0, min(1.0, pixels / _LARGEST_LOOK)) for pixels in self._turn]
        # What one tick cannot turn is turned in the next; a flick does not swing on for long.
        rest = [p - q * _LARGEST_LOOK for p, q in zip(self._turn, part, strict=True)]
        self._turn = [max(-4 * _LARGEST_LOOK, min(4 * _LARGEST_LOOK, r)) for r in rest]
        return part[0], part[1]

    def _press(self, screen: Screen) -> tuple[int, Point | None]:
        """The choice and the click of this tick."""
        if not self._released:
            self._released = True
            return 0, None
        choice = 0
        if self._wants == "pause":
            texts = [widget.text for widget in screen.widgets]
            ways = [texts.index(text) + 1 for text in ("Pause", "Resume", "Back") if text in texts]
            choice = ways[0] if ways else 0
        elif not screen.playing and self._chosen <= len(screen.widgets):
            choice = self._chosen
        click = None if screen.playing or self._click is None else self._click
        if click is not None and (min(click) < 0.0 or max(click) > 1.0):
            click = None
        self._wants, self._chosen, self._click = None, 0, None
        self._released = choice == 0 and click is None
        return choice, click


def control_of(pygame: Any, event: Any) -> str | None:
    """The name of the control that a key or button belongs to."""
    if event.type in (pygame.KEYDOWN, pygame.KEYUP):
        return NAME_OF_INPUT.get(pygame.key.name(event.key))
    if event.type in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP):
        return NAME_OF_INPUT.get(_MOUSE.get(event.button, ""))
    return None
