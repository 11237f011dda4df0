"""Where offers are on the screen, for transports that carry texts but no widgets (BonkLink v1).

Knows states and rows of actions; does not know games: places are given. A policy that chooses by
widget can so play what is chosen by clicks alone. csrc/play/offer_places.h is the same where
policies are played live.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from metabonk.errors import ConfigError
from metabonk.games.derived import State
from metabonk.protocols import FloatArray
from metabonk.records import MAX_OFFERS, FieldGroup, Point

# The middles of the arena's cards, top to bottom (csrc/games/arena/menus.cc).
ARENA: tuple[Point, ...] = tuple((0.5, 0.265 + 0.15 * i) for i in range(4))
RESTART: Point = (0.5, 0.41)  # where a run begins once the one before has ended
_HALF = 0.02  # of the side of a place, of the screen


def points(
    setting: str, given: str | Sequence[Point], least: int = 0, most: int = MAX_OFFERS
) -> tuple[Point, ...]:
    """So many places of the screen, 0..1 from the top left: given as they are, or as text
    `x,y x,y ...`. Raises ConfigError that names the setting."""
    pairs = [pair.split(",") for pair in given.split()] if isinstance(given, str) else given
    try:
        found = tuple((float(x), float(y)) for x, y in pairs)
    except (TypeError, ValueError):
        found = ((math.nan, math.nan),)
    on_screen = all(0.0 <= part <= 1.0 for place in found for part in place)
    if not on_screen or not least <= len(found) <= most:
        count = f"{least}" if least == most else f"{least} to {most}"
        raise ConfigError(
            f"{setting}: got {given!r}, must be {count} of x,y with spaces between them, parts of "
            "the screen from its top left, as 0.5,0.4"
        )
    return found


class OfferPlaces:
    """Offer i of a menu is at places[i], 0..1 from the top left; those beyond have none."""

    def __init__(self, places: Sequence[Point] = ARENA) -> None:
        self._places = tuple(places)

    def applies(self, state: State) -> bool:
        """Whether offers are told and widgets are not."""
        fields = FieldGroup(int(state["fields"]))
        told = fields & FieldGroup.OFFERS and not fields & FieldGroup.WIDGETS
        return bool(told) and state["offer_count"] > 0 and bool(self._places)

    def shown(self, state: State) -> State:
        """The state with a widget per offer that has a place, where that applies."""
        if not self.applies(state):
            return state
        marked: State = np.array([state])[0]
        count = min(int(state["offer_count"]), len(self._places))
        for i, (x, y) in enumerate(self._places[:count]):
            widget = marked["widgets"][i]
            widget["x0"], widget["x1"] = x - _HALF, x + _HALF
            widget["y0"], widget["y1"] = y - _HALF, y + _HALF
            widget["enabled"], widget["offer"] = 1, i + 1
            widget["text"] = state["offers"][i]["text"]
        marked["widget_count"] = count
        marked["fields"] = int(state["fields"]) | FieldGroup.WIDGETS
        return marked

    def clicked(self, row: FloatArray, shown: State) -> FloatArray:
        """The row for a state that `shown` made: a choice of a widget is a click in its middle."""
        choice = int(row[9])
        if not 1 <= choice <= int(shown["widget_count"]):
            return row
        clicking = row.copy()
        clicking[9], clicking[10:] = 0.0, self._places[choice - 1]
        return clicking
