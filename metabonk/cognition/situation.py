"""Situations as the journal keeps them: a state of at most a kilobyte or so.

Knows the packed record; does not know rows, messages or who decides. A packed state is 16 KiB,
nearly all of it room for entities that are not there, and what System 2 decided by is near: of
entities and pickups the closest are kept (a boss, and what stands or heals, from ten times as far),
everything else exactly, and the zeros are squeezed out.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from metabonk.errors import CorruptError
from metabonk.records import GAME_STATE, EntityFlag, FieldGroup, GameState, PickupKind

KEEP = {"entities": 12, "pickups": 8}  # of each, the closest
_COUNTS = {"entities": "entity_count", "pickups": "pickup_count"}
_LEVEL = 6
_MANY = (PickupKind.XP, PickupKind.GOLD)
_NEARER = 100.0  # times as near, in squares of metres, as other things


def shrink(packed: bytes) -> bytes:
    """A packed state as the journal keeps it; empty for none.

    Raises CorruptError if it is not a packed state.
    """
    if not packed:
        return b""
    return zlib.compress(nearest(packed), _LEVEL)


def nearest(packed: bytes) -> bytes:
    """A packed state with only the entities and pickups that the journal keeps: what is learned
    from the journal is served by this. Raises CorruptError if it is not a packed state."""
    if len(packed) != GAME_STATE.itemsize:
        size = GAME_STATE.itemsize
        raise CorruptError(f"state: {len(packed):,} bytes, a packed one has {size:,}")
    row = np.frombuffer(packed, GAME_STATE).copy()
    for name, most in KEEP.items():
        _keep_closest(row, name, most)
    return row.tobytes()


def expand(kept: bytes) -> bytes:
    """What `shrink` kept, as a packed state [16376]. Raises CorruptError; memory is bounded."""
    if not kept:
        return b""
    reader = zlib.decompressobj()
    try:
        packed = reader.decompress(kept, GAME_STATE.itemsize + 1)
    except zlib.error as error:
        raise CorruptError(f"state: {error}") from error
    if len(packed) != GAME_STATE.itemsize or not reader.eof:
        raise CorruptError(f"state: not a kept one of {GAME_STATE.itemsize:,} bytes")
    return packed


def from_words(state: Mapping[str, Any]) -> GameState:
    """A state from the few numbers of a version 1 client; what it does not say stays unknown.

    health is a share of one where it is at most 1 and no max_health stands beside it, else points.
    Numbers that are none are left out. position, velocity: two or three numbers, x east, y north.
    """
    found = GameState()
    health, most = _number(state.get("health")), _number(state.get("max_health"))
    position, velocity = _vector(state.get("position")), _vector(state.get("velocity"))
    if health is not None:
        found.health = max(0.0, health)
        found.max_health = most if most else (1.0 if health <= 1.0 else 100.0)
        found.fields |= FieldGroup.PLAYER
    if position is not None:
        found.position = position
        found.fields |= FieldGroup.PLAYER
    if velocity is not None:
        found.velocity = velocity
    level = _number(state.get("level"))
    if level is not None:
        found.level = int(min(max(level, 0.0), 65_535.0))
        found.fields |= FieldGroup.PROGRESS
    found.playing = True
    return found


def _keep_closest(row: Any, name: str, most: int) -> None:
    count = min(int(row[_COUNTS[name]][0]), row[name].shape[1])
    parts = row[name][0]
    if count > most:
        away = parts["position"][:count] - row["position"][0]
        far = (away * away).sum(axis=1)
        # A boss and what stands or heals are few, and decide more than what merely is nearer.
        few = parts["flags"][:count] & EntityFlag.BOSS if name == "entities" else _few(parts, count)
        near = np.sort(np.argsort(np.where(few, far / _NEARER, far), kind="stable")[:most])
        parts[:most] = parts[near]
    kept = min(count, most)
    parts[kept:] = np.zeros((), parts.dtype)
    row[_COUNTS[name]] = kept


def _few(parts: Any, count: int) -> Any:
    return ~np.isin(parts["kind"][:count], _MANY)


def _number(value: object) -> float | None:
    fine = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
    return float(value) if fine else None  # type: ignore[arg-type]


def _vector(value: object) -> tuple[float, float, float] | None:
    if not isinstance(value, list | tuple) or len(value) not in (2, 3):
        return None
    numbers = [_number(item) for item in value]
    x, y, z = (*numbers, 0.0)[:3]
    return None if x is None or y is None or z is None else (x, y, z)
