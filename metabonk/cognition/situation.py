"""Situations as the journal keeps them: a state of at most a kilobyte or so.

Knows the packed record; does not know rows, messages or who decides. A packed state is 16 KiB,
nearly all of it room for things that are not there, and what System 2 decided by is near: of
entities and pickups the closest are kept (a boss, and what stands or heals, from ten times as far),
everything else exactly, and no empty places.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from metabonk.errors import CorruptError
from metabonk.records import GAME_STATE, EntityFlag, FieldGroup, GameState, PickupKind

KEEP = {"entities": 12, "pickups": 8}  # of each, the closest
_MANY = (PickupKind.XP, PickupKind.GOLD)
_NEARER = 100.0  # times as near, in squares of metres, as other things
_COUNT = struct.Struct("<H")
_LEVEL = 1  # zlib's: higher ones save a tenth and take twice as long


class _List(NamedTuple):
    """Where a list stands in the record. length: where its number of parts does."""

    name: str
    at: int
    size: int
    most: int
    length: int


def _place(name: str, counter: str) -> _List:
    fields = GAME_STATE.fields
    assert fields is not None
    dtype, at = fields[name][:2]
    return _List(name, at, dtype.base.itemsize, dtype.shape[0], fields[counter][1])


# In the record's order, with nothing behind them but padding.
_LISTS = (
    _place("entities", "entity_count"), _place("pickups", "pickup_count"),
    _place("widgets", "widget_count"), _place("offers", "offer_count"),
)  # fmt: skip
_HEAD = _LISTS[0].at


def shrink(packed: bytes) -> bytes:
    """A packed state as the journal keeps it; empty for none.

    Raises CorruptError if it is not a packed state.
    """
    return zlib.compress(_near(packed), _LEVEL) if packed else b""


def nearest(packed: bytes) -> bytes:
    """A packed state with only the entities and pickups that the journal keeps: what is learned
    from the journal is served by this. Raises CorruptError if it is not a packed state."""
    return _unfold(_near(packed))


def expand(kept: bytes) -> bytes:
    """What `shrink` kept, as a packed state [16376]. Raises CorruptError; memory is bounded."""
    if not kept:
        return b""
    reader = zlib.decompressobj()
    try:
        data = reader.decompress(kept, GAME_STATE.itemsize + 1)
    except zlib.error as error:
        raise CorruptError(f"state: {error}") from error
    if not reader.eof:
        raise CorruptError("state: not a kept one")
    return _unfold(data)


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


def _near(packed: bytes) -> bytes:
    """The record up to its lists, then what is kept of each, one behind the other."""
    if len(packed) != GAME_STATE.itemsize:
        size = GAME_STATE.itemsize
        raise CorruptError(f"state: {len(packed):,} bytes, a packed one has {size:,}")
    head, parts = bytearray(packed[:_HEAD]), []
    for one in _LISTS:
        count = min(_COUNT.unpack_from(packed, one.length)[0], one.most)
        data = packed[one.at : one.at + count * one.size]
        most = KEEP.get(one.name, count)
        if count > most:
            data, count = _closest(packed, one.name, count, most), most
        _COUNT.pack_into(head, one.length, count)
        parts.append(data)
    return b"".join([head, *parts])


def _unfold(data: bytes) -> bytes:
    """Inverse of `_near`: a packed state [16376]. Raises CorruptError."""
    if len(data) < _HEAD:
        raise CorruptError("state: not a kept one")
    packed = bytearray(GAME_STATE.itemsize)
    packed[:_HEAD] = data[:_HEAD]
    end = _HEAD
    for one in _LISTS:
        count = _COUNT.unpack_from(data, one.length)[0]
        begin, end = end, end + count * one.size
        if count > one.most or end > len(data):
            raise CorruptError(f"state.{one.name}: {count} of them, which cannot be")
        packed[one.at : one.at + end - begin] = data[begin:end]
    if end != len(data):
        raise CorruptError(f"state: {len(data) - end} bytes too many")
    return bytes(packed)


def _closest(packed: bytes, name: str, count: int, most: int) -> bytes:
    """The list's `most` parts nearest to the player, in their order."""
    row: Any = np.frombuffer(packed, GAME_STATE)[0]
    parts = row[name][:count]
    away = parts["position"] - row["position"]
    far = (away * away).sum(axis=1)
    # A boss and what stands or heals are few, and decide more than what merely is nearer.
    few = parts["flags"] & EntityFlag.BOSS if name == "entities" else ~np.isin(parts["kind"], _MANY)
    near = np.sort(np.argsort(np.where(few, far / _NEARER, far), kind="stable")[:most])
    return bytes(parts[near].tobytes())


def _number(value: object) -> float | None:
    fine = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
    return float(value) if fine else None  # type: ignore[arg-type]


def _vector(value: object) -> tuple[float, float, float] | None:
    if not isinstance(value, list | tuple) or len(value) not in (2, 3):
        return None
    numbers = [_number(item) for item in value]
    x, y, z = (*numbers, 0.0)[:3]
    return None if x is None or y is None or z is None else (x, y, z)
