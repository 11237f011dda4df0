"""A state in version 1's words, both ways: the few numbers that its agents send.

    {health: 0..1, or points beside max_health, position: [x, y], enemies_nearby: 4, level: 3}

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
    they say where the player is."""

    state: GameState
    crowd: int = 0
    placed: bool = True


def read(words: Mapping[str, Any]) -> Said:
    """A state from words; numbers that are none are left out.

    health is a share of one where it is at most 1 and no max_health stands beside it, else points.
    position, velocity: two or three numbers, x east, y north.
    """
    found = GameState(playing=True)
    health, most = _number(words.get("health")), _number(words.get("max_health"))
    position, velocity = _vector(words.get("position")), _vector(words.get("velocity"))
    if health is not None:
        found.health = max(0.0, health)
        found.max_health = most if most else (1.0 if health <= 1.0 else 100.0)
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
    return Said(found, int(min(max(crowd, 0.0), MOST_NEARBY)), position is not None)


def spell(record: Any) -> dict[str, Any]:
    """A state's record (records.GAME_STATE) in version 1's words, health as a share of one."""
    most = float(record["max_health"])
    rows = record["entities"][: min(int(record["entity_count"]), len(record["entities"]))]
    away = rows["position"][:, :2].astype(np.float64) - record["position"][:2]
    return {
        "health": float(record["health"]) / most if most > 0.0 else 0.0,
        "position": [float(v) for v in record["position"][:2]],
        "enemies_nearby": int((np.hypot(away[:, 0], away[:, 1]) < NEARBY).sum()),
        "level": int(record["level"]),
    }


def _number(value: object) -> float | None:
    fine = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
    return float(value) if fine else None  # type: ignore[arg-type]


def _vector(value: object) -> tuple[float, float, float] | None:
    if not isinstance(value, list | tuple) or len(value) not in (2, 3):
        return None
    numbers = [_number(item) for item in value]
    x, y, z = (*numbers, 0.0)[:3]
    return None if x is None or y is None or z is None else (x, y, z)
