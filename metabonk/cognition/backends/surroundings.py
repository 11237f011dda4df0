"""Surroundings: a packed state as the rules see it, in a few arrays.

Knows the record's bytes and compass bins; does not know directives or what to do. It is read
straight from the bytes, for the rules' whole answer is to take microseconds.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metabonk.cognition.vocabulary import COMPASS_BINS
from metabonk.errors import CorruptError
from metabonk.records import (
    ENTITY,
    GAME_STATE,
    MAX_ENTITIES,
    MAX_PICKUPS,
    PICKUP,
    FieldGroup,
)

Array = npt.NDArray[Any]

_TURN = 2.0 * math.pi
_BINS_PER_RADIAN = COMPASS_BINS / _TURN
_NUMBERS = np.arange(COMPASS_BINS)
# Half of what threatens from one direction counts for its neighbours too.
_SMOOTH = np.eye(COMPASS_BINS) + 0.5 * (
    np.roll(np.eye(COMPASS_BINS), 1, 0) + np.roll(np.eye(COMPASS_BINS), -1, 0)
)
# Of the compass bins, east + i north.
DIRECTIONS = np.exp(1j * _NUMBERS / _BINS_PER_RADIAN)
# By an entity's byte of flags, of which three mean something: how much it threatens.
_WEIGHT = np.array([3.0 if f & 1 else 1.6 if f & 2 else 1.0 for f in range(256)], np.float32)


@dataclass(slots=True)
class Surroundings:
    """What a state comes to. Of entities [N] and of pickups, `thing`s [M]: id, kind or flags, and
    metres away; of things also the compass bin they lie in, and their value.

    health: 0..1 of the most. gold: infinite where it is not told. enemies: that are near, and
    projectiles. danger: how much threatens, about the number of ordinary enemies at arm's length.
    sectors [16]: threat by compass direction, with a share of the neighbouring ones. exits:
    directions that are all but free.
    """

    gold: float
    health: float
    enemies: int
    danger: float
    sectors: Array
    exits: int
    ids: Array
    away: Array
    flags: Array
    thing_ids: Array
    thing_kinds: Array
    thing_away: Array
    thing_bins: Array
    thing_values: Array


def _head() -> struct.Struct:
    """fields, x, y, health, max_health, gold, entity_count, pickup_count of a packed state."""
    at = {name: GAME_STATE.fields[name][1] for name in GAME_STATE.names}  # type: ignore[index,union-attr]
    parts, end = [], 0
    for name, code, size in (
        ("fields", "I", 4), ("position", "2f", 8), ("health", "f", 4), ("max_health", "f", 4),
        ("gold", "f", 4), ("entity_count", "H", 2), ("pickup_count", "H", 2),
    ):  # fmt: skip
        parts.append(f"{at[name] - end}x{code}")
        end = at[name] + size
    return struct.Struct("<" + "".join(parts))


_HEAD = _head()


_ENTITIES_AT, _PICKUPS_AT = (GAME_STATE.fields[n][1] for n in ("entities", "pickups"))  # type: ignore[index]
_ENTITY, _PICKUP = ENTITY.itemsize, PICKUP.itemsize
# Made once: numpy looks a scalar type up in every call.
_ID, _BYTE, _NUMBER = np.dtype(np.uint32), np.dtype(np.uint8), np.dtype(np.float32)
_PLACE = np.dtype(np.complex64)
# Plain numbers: operations on flags take longer than on arrays.
_HAS_ENTITIES, _HAS_PICKUPS = int(FieldGroup.ENTITIES), int(FieldGroup.PICKUPS)
_HAS_PROGRESS = int(FieldGroup.PROGRESS)


def look(packed: bytes, near: float = 5.0) -> Surroundings:
    """What a packed state comes to. near: metres at which an enemy threatens half as much as at
    arm's length. Raises CorruptError where the bytes are no state, or the player's position or
    health is no number."""
    if len(packed) != GAME_STATE.itemsize:
        raise CorruptError(f"state: {len(packed)} bytes; wanted {GAME_STATE.itemsize}")
    fields, x, y, health, most, gold, enemies, things = _HEAD.unpack_from(packed)
    if not math.isfinite(x + y + health):
        raise CorruptError(f"state: position {x}, {y} and health {health}; wanted finite numbers")
    enemies = min(enemies, MAX_ENTITIES) if fields & _HAS_ENTITIES else 0
    things = min(things, MAX_PICKUPS) if fields & _HAS_PICKUPS else 0
    ids, flags = _entities(packed, 0, _ID, enemies), _entities(packed, 5, _BYTE, enemies)
    thing_ids = _things(packed, 0, _ID, things)
    thing_kinds = _things(packed, 4, _BYTE, things)
    thing_values = _things(packed, 20, _NUMBER, things)
    # East + i north; both lists have the position in their third and fourth words.
    offset = np.concatenate(
        (_entities(packed, 8, _PLACE, enemies), _things(packed, 8, _PLACE, things))
    )
    offset -= complex(x, y)
    away = np.abs(offset)
    if not math.isfinite(away.dot(away)):  # some are no numbers: without those
        there = np.isfinite(away)
        beings, lying = there[:enemies], there[enemies:]
        ids, flags, enemies = ids[beings], flags[beings], int(np.count_nonzero(beings))
        thing_ids, thing_kinds = thing_ids[lying], thing_kinds[lying]
        thing_values = thing_values[lying]
        offset, away = offset[there], away[there]
    turns = np.arctan2(offset.imag, offset.real)
    turns *= _BINS_PER_RADIAN
    bins = np.rint(turns, turns).astype(np.intp)
    bins &= COMPASS_BINS - 1
    far = away[:enemies]
    square = far * (1.0 / near)
    square *= square
    square += 1.0
    threat = np.bincount(bins[:enemies], _WEIGHT.take(flags) / square, COMPASS_BINS)
    sectors = threat.dot(_SMOOTH)
    return Surroundings(
        gold=gold if fields & _HAS_PROGRESS else math.inf,
        health=min(max(health / most, 0.0), 1.0) if most > 0.0 else 1.0,
        enemies=int(np.count_nonzero(far < 2.0 * near)),
        danger=sum(threat.tolist()),
        sectors=sectors,
        exits=int(np.count_nonzero(sectors < 0.5)),
        ids=ids,
        away=far,
        flags=flags,
        thing_ids=thing_ids,
        thing_kinds=thing_kinds,
        thing_away=away[enemies:],
        thing_bins=bins[enemies:],
        thing_values=thing_values,
    )


def _entities(packed: bytes, at: int, kind: np.dtype[Any], count: int) -> Array:
    """A field of the first `count` entities, [N], as it lies in the bytes: nothing is copied."""
    return np.ndarray((count,), kind, packed, _ENTITIES_AT + at, (_ENTITY,))


def _things(packed: bytes, at: int, kind: np.dtype[Any], count: int) -> Array:
    """The same of pickups."""
    return np.ndarray((count,), kind, packed, _PICKUPS_AT + at, (_PICKUP,))
