"""Situations as the journal keeps them: a state of at most a kilobyte or so.

Knows the packed record; does not know rows, messages or who decides. A packed state is 16 KiB,
nearly all of it room for things that are not there, and what System 2 decided by is near: of
entities and pickups the closest are kept (a boss, and what can be used or heals, from ten times as
far), everything else exactly, and no empty places. What the many that are left out come to stands
behind them: the whole state's outlook, by direction.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from metabonk.cognition.backends.surroundings import look
from metabonk.cognition.vocabulary import COMPASS_BINS
from metabonk.errors import CorruptError
from metabonk.records import (
    GAME_STATE,
    MAX_STAT_CHANGES,
    EntityFlag,
    FieldGroup,
    PickupKind,
)

Array = npt.NDArray[Any]

KEEP = {"entities": 12, "pickups": 8}  # of each, the closest
_MANY = (PickupKind.XP, PickupKind.GOLD)
_NEARER = 100.0  # times as near, in squares of metres, as other things
_COUNT = struct.Struct("<H")
_HALVES = np.dtype("<f2")
_LEVEL = 1  # zlib's: higher ones save a tenth and take twice as long


class _List(NamedTuple):
    """Where a list stands in the record. length: where its number of parts does. fields: of a part,
    with their types and where they stand in it."""

    name: str
    at: int
    size: int
    most: int
    length: int
    fields: Mapping[str, Any]


def _place(name: str, counter: str) -> _List:
    fields = GAME_STATE.fields
    assert fields is not None
    dtype, at = fields[name][:2]
    part = dtype.base
    return _List(
        name, at, part.itemsize, dtype.shape[0], fields[counter][1], dict(part.fields or {})
    )


# In the record's order, with nothing behind them but padding.
_LISTS = (
    _place("entities", "entity_count"), _place("pickups", "pickup_count"),
    _place("widgets", "widget_count"), _place("offers", "offer_count"),
)  # fmt: skip
_HEAD = _LISTS[0].at
_HERE, _GOLD_AT = (GAME_STATE.fields[name][1] for name in ("position", "gold"))  # type: ignore[index]
_FIELDS, _GOLD, _SINGLE = struct.Struct("<I"), struct.Struct("<f"), np.dtype("<f4")
# Plain numbers: operations on flags take longer than on arrays.
_BOSS, _CHEST = int(EntityFlag.BOSS), int(PickupKind.CHEST)
_HAS_PROGRESS = int(FieldGroup.PROGRESS)
_RARE: Array = ~np.isin(np.arange(256), _MANY)  # by a record's byte of kind


class Outlook(NamedTuple):
    """What a whole state comes to by compass direction, as exactly as halves are.

    threat: float16 [16], how much threatens from there, with a share of the neighbouring
    directions. pull: float16 [16], how much lies there that is worth collecting, the nearer the
    more. near: enemies and projectiles within ten metres, at most 65,535; also those that are only
    said to be near, and not where (Question.crowd).
    """

    threat: npt.NDArray[np.float16]
    pull: npt.NDArray[np.float16]
    near: int


class Kept(NamedTuple):
    """packed: a state [16376] with what the journal keeps; empty for none. outlook: of the state as
    it was; None where the journal is of before outlooks were kept, or the state had none."""

    packed: bytes
    outlook: Outlook | None


def outlook(packed: bytes, crowd: int = 0) -> Outlook:
    """Of a packed state [16376]. crowd: enemies that are said to be near beside it. Raises
    CorruptError if it is none, or the player's position or health is no number."""
    around = look(packed)
    most = np.finfo(np.float16).max
    return Outlook(
        np.minimum(around.sectors, most).astype(np.float16),
        np.minimum(around.pulls, most).astype(np.float16),
        min(around.enemies + crowd, 0xFFFF),
    )


def shrink(packed: bytes, crowd: int = 0) -> bytes:
    """A packed state as the journal keeps it; empty for none. crowd: as of `outlook`.

    Raises CorruptError if it is not a packed state.
    """
    return zlib.compress(_near(packed) + _spell(packed, crowd), _LEVEL) if packed else b""


def nearest(packed: bytes) -> bytes:
    """A packed state with only the entities and pickups that the journal keeps: what is learned
    from the journal is served by this. Raises CorruptError if it is not a packed state."""
    return _unfold(_near(packed)).packed


def expand(kept: bytes) -> bytes:
    """What `shrink` kept, as a packed state [16376]. Raises CorruptError; memory is bounded."""
    return unfold(kept).packed


def unfold(kept: bytes) -> Kept:
    """What `shrink` kept, with the outlook. Raises as `expand` does."""
    if not kept:
        return Kept(b"", None)
    reader = zlib.decompressobj()
    try:
        data = reader.decompress(kept, GAME_STATE.itemsize + 1)
    except zlib.error as error:
        raise CorruptError(f"state: {error}") from error
    if not reader.eof:
        raise CorruptError("state: not a kept one")
    return _unfold(data)


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
            data, count = _closest(packed, one, count, most), most
        _COUNT.pack_into(head, one.length, count)
        parts.append(data)
    return b"".join([head, *parts])


def _spell(packed: bytes, crowd: int) -> bytes:
    """The outlook's bytes; none of a state that has no numbers to look from."""
    try:
        found = outlook(packed, crowd)
    except CorruptError:
        return b""
    numbers = np.concatenate((found.threat, found.pull)).astype(_HALVES)
    return bytes(numbers.tobytes()) + _COUNT.pack(found.near)


_CHANGES: int = _LISTS[3].at + _LISTS[3].fields["change_count"][1]  # of the first offer
_OUTLOOK = 2 * COMPASS_BINS * _HALVES.itemsize + _COUNT.size  # bytes


def _read(data: bytes) -> Outlook | None:
    """Inverse of `_spell`. Raises CorruptError."""
    if not data:
        return None
    if len(data) != _OUTLOOK:
        raise CorruptError(f"state: {len(data)} bytes too many; an outlook has {_OUTLOOK}")
    numbers = np.frombuffer(data, _HALVES, 2 * COMPASS_BINS).astype(np.float16)
    if not (np.isfinite(numbers) & (numbers >= 0.0)).all():
        raise CorruptError("state: an outlook with numbers that are none, or negative")
    (near,) = _COUNT.unpack_from(data, _OUTLOOK - _COUNT.size)
    return Outlook(numbers[:COMPASS_BINS], numbers[COMPASS_BINS:], near)


def _unfold(data: bytes) -> Kept:
    """Inverse of `_near`, with what `_spell` put behind it. Raises CorruptError."""
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
    changes = packed[_CHANGES : _CHANGES + _LISTS[3].most * _LISTS[3].size : _LISTS[3].size]
    if max(changes) > MAX_STAT_CHANGES:
        raise CorruptError("state.offers: one with more changes of stats than there can be")
    return Kept(bytes(packed), _read(data[end:]))


def _closest(packed: bytes, one: _List, count: int, most: int) -> bytes:
    """The list's `most` parts nearest to the player, in their order.

    Read from the bytes, as every decision is kept so: records and their fields cost three times as
    much.
    """
    away: Array = _column(packed, one, "position", count) - np.ndarray(3, _SINGLE, packed, _HERE)
    far = np.add.reduce(away * away, axis=1)
    # A boss and what can be used or heals are few, and decide more than what merely is nearer.
    few = _bosses(packed, one, count) if one.name == "entities" else _useful(packed, one, count)
    near = np.where(few, far / _NEARER, far).argsort(kind="stable")[:most]
    near.sort()
    parts = np.ndarray((count, one.size), np.uint8, packed, one.at)
    return bytes(parts[near].tobytes())


def _bosses(packed: bytes, one: _List, count: int) -> Array:
    """Which entities are bosses, or of one."""
    found: Array = (_column(packed, one, "flags", count) & _BOSS) != 0
    return found


def _useful(packed: bytes, one: _List, count: int) -> Array:
    """Which pickups are not of the many that lie around, nor chests that cannot be paid."""
    kinds = _column(packed, one, "kind", count)
    fields, gold = _FIELDS.unpack_from(packed)[0], _GOLD.unpack_from(packed, _GOLD_AT)[0]
    purse = np.float32(gold if fields & _HAS_PROGRESS else np.inf)
    dear = (kinds == _CHEST) & ~(_column(packed, one, "value", count) <= purse)
    useful: Array = _RARE[kinds] & ~dear
    return useful


def _column(packed: bytes, one: _List, field: str, count: int) -> Array:
    """A field of a list's first parts as it lies in the bytes: [count], or [count, 3] of places."""
    dtype, at = one.fields[field]
    item, inner = dtype.base, (dtype.base.itemsize,) * len(dtype.shape)
    return np.ndarray((count, *dtype.shape), item, packed, one.at + at, (one.size, *inner))
