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
# By the three flags of an entity: how much it threatens.
_WEIGHT = np.array([3.0 if f & 1 else 1.6 if f & 2 else 1.0 for f in range(8)], np.float32)


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
    rows = _rows(packed, _ENTITIES_AT, _ENTITY, enemies)
    lying = _rows(packed, _PICKUPS_AT, _PICKUP, things)
    # East + i north; both lists have the position in their third and fourth words.
    offset = np.concatenate((_positions(rows), _positions(lying))) - np.complex64(complex(x, y))
    away = np.abs(offset)
    if not math.isfinite(float(away.sum())):  # some are no numbers: without those
        there = np.isfinite(away)
        rows, lying = rows[there[:enemies]], lying[there[enemies:]]
        offset, away, enemies = offset[there], away[there], len(rows)
    turns = np.arctan2(offset.imag, offset.real) * _BINS_PER_RADIAN
    bins = np.rint(turns).astype(np.int64) & (COMPASS_BINS - 1)
    flags = rows[:, 5]
    far = away[:enemies]
    square = far * (1.0 / near)
    square *= square
    square += 1.0
    fall = _WEIGHT[flags & 7] / square
    sectors = np.bincount(bins[:enemies], fall, COMPASS_BINS) @ _SMOOTH
    return Surroundings(
        gold=gold if fields & _HAS_PROGRESS else math.inf,
        health=min(max(health / most, 0.0), 1.0) if most > 0.0 else 1.0,
        enemies=int(np.count_nonzero(far < 2.0 * near)),
        danger=float(fall.sum()),
        sectors=sectors,
        exits=int(np.count_nonzero(sectors < 0.5)),
        ids=_words(rows, 0),
        away=far,
        flags=flags,
        thing_ids=_words(lying, 0),
        thing_kinds=lying[:, 4],
        thing_away=away[enemies:],
        thing_bins=bins[enemies:],
        thing_values=lying[:, 20:24].view(np.float32)[:, 0],
    )


def _rows(packed: bytes, start: int, size: int, count: int) -> Array:
    """The first `count` records of a list as bytes, uint8 [N, bytes]."""
    return np.frombuffer(packed, np.uint8, count * size, start).reshape(count, size)


def _positions(rows: Array) -> Array:
    return rows[:, 8:16].view(np.complex64)[:, 0]


def _words(rows: Array, at: int) -> Array:
    return rows[:, at : at + 4].view(np.uint32)[:, 0]
