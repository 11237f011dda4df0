"""A state in version 1's words, both ways: the few numbers that its agents send.

    {health: 0..1 or points, max_health, position: [x, y], velocity, enemies_nearby: 4, level: 3}

Knows these words and the packed record; does not know messages or who asks. Version 1 says how many
enemies are near and never where; what it does not say stays unknown, and no place is made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from metabonk.records import FieldGroup, GameState

NEARBY = 10.0  # metres: as near as the rules count an enemy for near
MOST_NEARBY = 0xFFFF


class Said(NamedTuple):
    """What version 1's words say. crowd: enemies that are near, nobody says where. placed: whether
    they say where the player is; (0, 0) is version 1's word for nowhere. points: whether health is
    in points, as it is above 1."""

    state: GameState
    crowd: int = 0
    placed: bool = True
    points: bool = False


def read(words: Mapping[str, Any], points: bool = False) -> Said:
    """A state from words; numbers that are none are left out.

    points: whether this agent's health is known to be in points, of a hundred; else it is a share
    of one where it is at most 1. A max_health beside it says so itself. position, velocity: two or
    three numbers, x east, y north.
    """
    found = GameState(playing=True)
    health, most = _number(words.get("health")), _number(words.get("max_health"))
    position, velocity = _vector(words.get("position")), _vector(words.get("velocity"))
    if health is not None:
        points = points or (health > 1.0 and not most)
        found.health = max(0.0, health)
        found.max_health = most if most else (100.0 if points else 1.0)
        found.fields |= FieldGroup.PLAYER
    if position is not None:
        found.position = position
        found.fields |= FieldGroup.PLAYER
    if velocity is not None:
        found.velocity = velocity
    level = _number(words.get("level"))
    if level is not None:
        found.level = int(min(max(level, 0.0), 65_535.0))
        found.fields |= FieldGroup.PROGRESS
    crowd = _number(words.get("enemies_nearby")) or 0.0
    placed = position is not None and any(position[:2])
    return Said(found, int(min(max(crowd, 0.0), MOST_NEARBY)), placed, points)


def spell(record: Any) -> dict[str, Any]:
    """A state's record (records.GAME_STATE) in version 1's words, health as a share of one; without
    those of what the state does not have."""
    fields, most = int(record["fields"]), float(record["max_health"])
    words: dict[str, Any] = {}
    if fields & FieldGroup.PLAYER:
        words["position"] = [float(v) for v in record["position"][:2]]
        if most > 0.0:
            words["health"] = float(record["health"]) / most
    if fields & FieldGroup.PLAYER and fields & FieldGroup.ENTITIES:
        rows = record["entities"][: min(int(record["entity_count"]), len(record["entities"]))]
        away = rows["position"][:, :2].astype(np.float64) - record["position"][:2]
        words["enemies_nearby"] = int((np.hypot(away[:, 0], away[:, 1]) < NEARBY).sum())
    if fields & FieldGroup.PROGRESS:
        words["level"] = int(record["level"])
    return words


def _number(value: object) -> float | None:
    fine = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
    return float(value) if fine else None  # type: ignore[arg-type]


def _vector(value: object) -> tuple[float, float, float] | None:
    if not isinstance(value, list | tuple) or len(value) not in (2, 3):
        return None
    numbers = [_number(item) for item in value]
    x, y, z = (*numbers, 0.0)[:3]
    return None if x is None or y is None or z is None else (x, y, z)
