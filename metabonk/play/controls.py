"""What a person's keys and mouse do. One table; knows no window library and no game.

The window asks it what an input means, `metabonk play --help` and the overlay show it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Control:
    """One thing a person can do.

    name: what it is in the code. inputs: names of keys as the window library spells them, or
    `mouse left`, `mouse right`, `mouse move`. text: what it does, for people.
    """

    name: str
    inputs: tuple[str, ...]
    text: str


CONTROLS = (
    Control("forward", ("w", "up"), "run forward"),
    Control("back", ("s", "down"), "run back"),
    Control("left", ("a", "left"), "run left"),
    Control("right", ("d", "right"), "run right"),
    Control("look", ("mouse move",), "turn and tilt the view"),
    Control("jump", ("space",), "jump"),
    Control("slide", ("left shift", "right shift"), "slide"),
    Control("interact", ("e",), "open a chest, use a portal"),
    Control("fire", ("mouse left",), "aim the weapons where you look; in menus: click"),
    Control("ability", ("q", "mouse right"), "the hero's ability"),
    Control("choose", tuple("123456789"), "choose in a menu, counted from the top left"),
    Control("accept", ("return",), "choose the first"),
    Control("pause", ("escape",), "pause, back"),
    Control("help", ("f1", "h"), "show or hide these lines"),
)

NAME_OF_INPUT = {name: control.name for control in CONTROLS for name in control.inputs}


def pairs() -> list[tuple[str, str]]:
    """The table for people: what to press, what it does."""
    return [("1 to 9" if c.name == "choose" else " or ".join(c.inputs), c.text) for c in CONTROLS]


def lines() -> list[str]:
    """The table as text, one control a line."""
    width = max(len(inputs) for inputs, _ in pairs())
    return [f"{inputs:<{width}}  {text}" for inputs, text in pairs()]
