"""Version 1's directives as ours: one table for the three verb sets that are in the wild.

Knows the spelling `{"action", "target": [x, y], "duration_seconds", "priority"}` of deployed
servers, and the situation that gives its coordinates a meaning. Does not know transports; ours in
version 1's words is legacy.py. A v1 target is a point of the world in metres (0..1 of the screen
for `click`): near an entity or a pickup it means that one, else the direction to it. (0, 0) is what
v1 servers write for no target, and means none; so does the place where the agent is.

    move attack defend retreat collect · approach retreat explore interact · click move retreat idle
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from metabonk.cognition.vocabulary import (
    COMPASS_BINS,
    SECONDS,
    Compass,
    Directive,
    Entity,
    Hold,
    Pickup,
    Priority,
    Target,
    Verb,
    Widget,
)
from metabonk.errors import CorruptError

VERBS: Mapping[str, Verb] = {
    "move": Verb.MOVE, "approach": Verb.MOVE, "attack": Verb.ATTACK, "defend": Verb.DEFEND,
    "retreat": Verb.RETREAT, "collect": Verb.COLLECT, "explore": Verb.EXPLORE,
    "interact": Verb.INTERACT, "click": Verb.CLICK, "idle": Verb.HOLD, "hold": Verb.HOLD,
}  # fmt: skip
PRIORITIES: Mapping[str, Priority] = {
    "low": Priority.LOW, "medium": Priority.NORMAL, "normal": Priority.NORMAL,
    "high": Priority.HIGH, "critical": Priority.CRITICAL,
}  # fmt: skip
HERE = 0.01  # metres: a point this near is where the agent is, as written in millimetres
NEAR = 3.0  # metres: a point this near to something means it
_FARTHEST = 1e6
_LONGEST = 3600.0
UNSAID = 5.0  # seconds that a directive holds which does not say for how long: v1's own
_COUNTS = {"entities": "entity_count", "pickups": "pickup_count"}


def read(value: object, record: Any) -> Directive:
    """A v1 directive as one of ours.

    value: untrusted. record: fields of the state that it was made for (records.GAME_STATE). Raises
    CorruptError that names the field, what it was and what was wanted.
    """
    if not isinstance(value, Mapping):
        raise CorruptError(f"directive: a {type(value).__name__}; wanted a mapping with action")
    name = value.get("action")
    verb = VERBS.get(name.lower()) if isinstance(name, str) else None
    if verb is None:
        raise CorruptError(f"action: {str(name)[:40]!r}; wanted one of {', '.join(VERBS)}")
    priority = value.get("priority", "medium")
    rank = PRIORITIES.get(priority.lower()) if isinstance(priority, str) else None
    if rank is None:
        raise CorruptError(f"priority: {str(priority)[:40]!r}; wanted {', '.join(PRIORITIES)}")
    point = _point(value.get("target"))
    if point is not None and verb is not Verb.CLICK and _is_here(point, record):
        point = None
    seconds = _seconds(value.get("duration_seconds", UNSAID))
    if verb is Verb.MOVE and point is None:
        return Directive(Verb.HOLD, Hold(), seconds, rank)
    return Directive(verb, _target(verb, point, record), seconds, rank)


def _point(value: object) -> tuple[float, float] | None:
    """A target's coordinates; None for (0, 0) and for none. Raises CorruptError."""
    if value is None:
        return None
    numbers = isinstance(value, list | tuple) and len(value) in (2, 3)
    if numbers and all(isinstance(v, int | float) and abs(v) <= _FARTHEST for v in value):  # type: ignore[attr-defined]
        x, y = float(value[0]), float(value[1])  # type: ignore[index]
        return None if x == 0.0 and y == 0.0 else (x, y)
    raise CorruptError(f"target: {str(value)[:40]!r}; wanted [x, y]")


def _seconds(value: object) -> float:
    """The validity of ours that is nearest to a duration."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # Compared as it is: a whole number may be longer than any float.
    if not number or not (0.0 < value <= _LONGEST):  # type: ignore[operator]
        wanted = f"more than 0, at most {_LONGEST:g} s"
        raise CorruptError(f"duration_seconds: {str(value)[:40]!r}; wanted {wanted}")
    return min(SECONDS, key=lambda s: abs(math.log(s / value)))  # type: ignore[operator]


def _target(verb: Verb, point: tuple[float, float] | None, record: Any) -> Target:
    if verb is Verb.CLICK:
        return _widget(point, record)
    if point is None or verb in (Verb.HOLD,):
        return Hold()
    if verb in (Verb.MOVE, Verb.ATTACK) and (id := _near(point, record, "entities")) is not None:
        return Entity(id)
    if verb in (Verb.MOVE, Verb.COLLECT, Verb.INTERACT, Verb.DEFEND):
        id = _near(point, record, "pickups")
        if id is not None:
            return Pickup(id)
    if verb in (Verb.INTERACT, Verb.DEFEND):
        return Hold()
    return _compass(point, record)


def _widget(point: tuple[float, float] | None, record: Any) -> Widget:
    widgets = record["widgets"][: int(record["widget_count"])]
    for choice, widget in enumerate(widgets, 1):
        if point is not None and widget["enabled"]:
            inside = widget["x0"] <= point[0] <= widget["x1"]
            if inside and widget["y0"] <= point[1] <= widget["y1"]:
                return Widget(choice)
    raise CorruptError(f"target: {point}; wanted the place of a widget, 0..1 from the top left")


def _near(point: tuple[float, float], record: Any, what: str) -> int | None:
    """Id of the thing nearest to a point, if one is NEAR."""
    best, id = NEAR, None
    for thing in record[what][: int(record[_COUNTS[what]])]:
        away = math.dist(point, [float(v) for v in thing["position"][:2]])
        if away <= best:
            best, id = away, int(thing["id"])
    return id


def _is_here(point: tuple[float, float], record: Any) -> bool:
    return math.dist(point, [float(v) for v in record["position"][:2]]) < HERE


def _compass(point: tuple[float, float], record: Any) -> Target:
    dx, dy = (point[i] - float(record["position"][i]) for i in (0, 1))
    return Compass(round(math.atan2(dy, dx) / math.tau * COMPASS_BINS) % COMPASS_BINS)
