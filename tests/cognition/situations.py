"""States to ask System 2 about: a player in the middle of nowhere, and what is put around it."""

from __future__ import annotations

import math

from metabonk.records import Entity, EntityFlag, FieldGroup, GameState, Pickup, PickupKind

HERE = (50.0, 50.0)


def around(angle: float, metres: float) -> tuple[float, float, float]:
    """The place so many metres away in a direction, degrees counter-clockwise from east."""
    turn = math.radians(angle)
    return (HERE[0] + metres * math.cos(turn), HERE[1] + metres * math.sin(turn), 0.0)


def state(
    health: float = 100.0,
    *,
    entities: list[Entity] | None = None,
    pickups: list[Pickup] | None = None,
    gold: float = 0.0,
    menu: str = "None",
    fields: FieldGroup = FieldGroup.EVERYTHING,
) -> GameState:
    """A player of 100 health at most, in play."""
    return GameState(
        fields=fields, time=10.0, position=(*HERE, 0.0), health=health, max_health=100.0, gold=gold,
        playing=True, grounded=True, menu=menu, entities=entities or [], pickups=pickups or [],
    )  # fmt: skip


def enemy(number: int, angle: float, metres: float, flags: int = 0) -> Entity:
    return Entity(number, 1, EntityFlag(flags), around(angle, metres), health=10.0, max_health=10.0)


def thing(number: int, kind: PickupKind, angle: float, metres: float, value: float = 1.0) -> Pickup:
    return Pickup(number, kind, around(angle, metres), value)
