"""Directives as numbers: how the vocabulary crosses into the control loop, and back from a ledger.

Knows the numbers of csrc/play/directive.h; what a directive may be is cognition.vocabulary's. Does
not know who gives one or how it is carried out.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, NamedTuple

from metabonk.cognition import vocabulary as v
from metabonk.errors import ConfigError, CorruptError


class ActionNumber(enum.IntEnum):
    """DirectiveAction of csrc/play/directive.h."""

    NONE = 0
    HOLD = 1
    MOVE = 2
    INTERACT = 3
    CLICK = 4
    ATTACK = 5
    DEFEND = 6
    RETREAT = 7
    COLLECT = 8
    EXPLORE = 9


class TargetNumber(enum.IntEnum):
    """TargetKind of csrc/play/directive.h."""

    HERE = 0
    COMPASS = 1
    WIDGET = 2
    ENTITY = 3
    PICKUP = 4
    POINT = 5  # of the screen, in games that show no widgets; the vocabulary does not name any


class Numbers(NamedTuple):
    """A directive without its times. target: compass bin, widget (0 the first), or an id."""

    action: int = ActionNumber.NONE
    kind: int = TargetNumber.HERE
    target: int = 0
    priority: int = 0


NOTHING = Numbers()


def numbers(directive: v.Directive) -> Numbers:
    """What the loop is given."""
    action = ActionNumber[directive.action.name]
    match directive.target:
        case v.Entity(id=number):
            kind, target = TargetNumber.ENTITY, number
        case v.Pickup(id=number):
            kind, target = TargetNumber.PICKUP, number
        case v.Compass(bin=number):
            kind, target = TargetNumber.COMPASS, number
        case v.Widget(choice=number):
            kind, target = TargetNumber.WIDGET, number - 1
        case v.Hold():
            kind, target = TargetNumber.HERE, 0
    return Numbers(action, kind, target, int(directive.priority))


def click_at(x: float, y: float, priority: v.Priority = v.Priority.CRITICAL) -> Numbers:
    """A click of a place, 0..1 from the top left. Raises ConfigError beside the screen."""
    if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
        raise ConfigError(f"x, y: {x!r}, {y!r}; wanted 0 to 1 from the top left")
    place = round(x * 65535) | round(y * 65535) << 16
    return Numbers(ActionNumber.CLICK, TargetNumber.POINT, place, int(priority))


def of_ledger(row: Mapping[str, Any] | Any) -> Numbers:
    """What a ledger's record of a directive says (play/ledger.py: DIRECTIVE).

    Older ledgers name no kind of target: there a move had a compass bin and a click a widget.
    Raises CorruptError for numbers that mean nothing.
    """
    action, kind, target = int(row["action"]), int(row["kind"]), int(row["number"])
    if kind == TargetNumber.HERE and action in (ActionNumber.MOVE, ActionNumber.CLICK):
        moves = action == ActionNumber.MOVE
        kind = TargetNumber.COMPASS if moves else TargetNumber.WIDGET
        target = int(row["target"])
    if action not in list(ActionNumber) or kind not in list(TargetNumber):
        raise CorruptError(
            f"directive {int(row['id'])}: action {action}, kind of target {kind}; wanted 0 to "
            f"{max(ActionNumber)} and 0 to {max(TargetNumber)}"
        )
    return Numbers(action, kind, target, int(row["priority"]))


def told(given: Numbers) -> str:
    """For people: `retreat compass:4`."""
    action = ActionNumber(given.action).name.lower()
    match given.kind:
        case TargetNumber.HERE:
            return action
        case TargetNumber.WIDGET:
            return f"{action} widget:{given.target + 1}"
        case TargetNumber.POINT:
            x, y = given.target & 0xFFFF, given.target >> 16
            return f"{action} at {x / 65535:.3f}, {y / 65535:.3f}"
        case kind:
            return f"{action} {TargetNumber(kind).name.lower()}:{given.target}"
