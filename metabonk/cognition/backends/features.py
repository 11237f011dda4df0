"""A state as numbers for a small policy: the situation, and every directive that it allows.

Knows the packed record, the vocabulary and what the journal keeps of a state; does not know
networks or who decides. Everything is in the frame of the world, as directives are. What is learned
from the journal and what is served see the same: the nearest of what there is
(`situation.nearest`), and of all of it the outlook (`situation.outlook`).

A situation is a vector [SITUATION]. Targets are numbered: 0 none in particular, 1..16 the compass,
then the entities and the pickups that are kept, in the record's order; each is a vector [TARGET].
An option is a pair of an action and a target that the vocabulary allows; `PAIRS` lists them all,
and a mask says which of them a state has. Distances are told in several scales, ways with what
threatens on them as a detour: of what is linear in these a small network makes a choice, and of
metres it would first have to learn to divide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metabonk.cognition import situation
from metabonk.cognition import vocabulary as v
from metabonk.records import GAME_STATE, EntityFlag, FieldGroup, PickupKind

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]

VERSION = 2  # of the features' meaning; weights are for one
VERBS = tuple(verb for verb in v.Verb if verb is not v.Verb.CLICK)  # menus are the navigator's
BINS = v.COMPASS_BINS
ENTITIES, PICKUPS = situation.KEEP["entities"], situation.KEEP["pickups"]
FIRST_ENTITY = 1 + BINS
FIRST_PICKUP = FIRST_ENTITY + ENTITIES
TARGETS = FIRST_PICKUP + PICKUPS
NEAR = 5.0  # metres at which an enemy weighs half
METRES, SPEED = 16.0, 8.0  # that count as 1
MOST = 4.0  # where features are cut
FAR, DETOUR = 30.0, 20.0  # metres at which a way weighs half; the second with what threatens on it

_SLOTS = {
    v.Hold: range(0, 1),
    v.Compass: range(1, FIRST_ENTITY),
    v.Entity: range(FIRST_ENTITY, FIRST_PICKUP),
    v.Pickup: range(FIRST_PICKUP, TARGETS),
}
PAIRS: npt.NDArray[np.int64] = np.array(
    [
        (index, slot)
        for index, verb in enumerate(VERBS)
        for kind in v.TARGETS[verb]
        if kind in _SLOTS
        for slot in _SLOTS[kind]
    ]
)
_PAIR_OF = {(int(verb), int(slot)): i for i, (verb, slot) in enumerate(PAIRS)}
_ANGLES = 2.0 * np.pi * np.arange(BINS) / BINS
_DIRECTIONS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)
_KINDS = len(PickupKind)

SITUATION = 12 + 6 + 2 * BINS + 5 + 3 + len(VERBS) + 1
TARGET = 4 + 2 + 2 + 1 + 1 + 5 + _KINDS + 2 + 3 + 1
_WAYS = 17 + _KINDS  # of a target's vector: how far, how hard to reach, how far round from danger


@dataclass(frozen=True, eq=False)
class Featured:
    """situation: float32 [SITUATION]. targets: float32 [TARGETS, TARGET]. mask: bool [len(PAIRS)],
    the options that there are. named: the vocabulary's target by slot, None for an empty one."""

    situation: FloatArray
    targets: FloatArray
    mask: npt.NDArray[np.bool_]
    named: tuple[v.Target | None, ...]

    def option(self, directive: v.Directive) -> int | None:
        """The index among PAIRS of what a directive asks for; None where it names what is not
        kept, or is a click."""
        if directive.action not in VERBS or directive.target not in self.named:
            return None
        slot = self.named.index(directive.target)
        return _PAIR_OF.get((VERBS.index(directive.action), slot))

    def target(self, option: int) -> v.Target:
        """The target of an option."""
        target = self.named[int(PAIRS[option, 1])]
        assert target is not None
        return target


def of(
    packed: bytes,
    in_force: v.Directive | None = None,
    outlook: situation.Outlook | None = None,
) -> Featured:
    """The features of `records.GameState.pack()` bytes [16376], whole or as the journal keeps them.

    outlook: of the whole state, where `packed` is what the journal keeps. Raises CorruptError for
    other bytes, and where the player's position or health is no number.
    """
    outlook = outlook or situation.outlook(packed)
    record: Any = np.frombuffer(situation.nearest(packed), GAME_STATE)[0]
    fields = int(record["fields"])
    entities = record["entities"][: record["entity_count"] if fields & FieldGroup.ENTITIES else 0]
    pickups = record["pickups"][: record["pickup_count"] if fields & FieldGroup.PICKUPS else 0]
    here = record["position"][:2].astype(np.float64)
    enemies = _Seen.of(entities, here)
    things = _Seen.of(pickups, here)
    threat, pull = outlook.threat.astype(np.float64), outlook.pull.astype(np.float64)
    targets = np.zeros((TARGETS, TARGET))
    _fill_compass(targets[1:FIRST_ENTITY], threat, pull)
    _fill_entities(targets[FIRST_ENTITY : FIRST_ENTITY + len(entities)], entities, enemies, threat)
    _fill_pickups(
        targets[FIRST_PICKUP : FIRST_PICKUP + len(pickups)], pickups, things, threat, record
    )
    targets[0, 0] = 1.0
    named: list[v.Target | None] = [None] * TARGETS
    named[0] = v.Hold()
    named[1:FIRST_ENTITY] = _COMPASS
    for i, id in enumerate(entities["id"].tolist()):
        named[FIRST_ENTITY + i] = v.Entity(id)
    for i, id in enumerate(pickups["id"].tolist()):
        named[FIRST_PICKUP + i] = v.Pickup(id)
    if in_force is not None and in_force.target in named:
        targets[named.index(in_force.target), -1] = 1.0
    there = np.array([target is not None for target in named])
    whole = np.concatenate(
        (_situation(record, entities, enemies), _around(outlook), _following(in_force))
    )
    return Featured(_clean(whole), _clean(targets), there[PAIRS[:, 1]], tuple(named))


_COMPASS = [v.Compass(bin) for bin in range(BINS)]


@dataclass(frozen=True, eq=False)
class _Seen:
    """Offsets [N, 2] from the player in metres, distances [N], compass bins [N]."""

    offset: Array
    far: Array
    bins: Array

    @classmethod
    def of(cls, rows: Array, here: Array) -> _Seen:
        offset = rows["position"][:, :2] - here
        offset = np.where(np.isfinite(offset), offset, 1e6)
        turns = np.arctan2(offset[:, 1], offset[:, 0]) * (BINS / (2.0 * math.pi))
        bins = np.rint(turns).astype(np.int64) % BINS
        return cls(offset, np.hypot(offset[:, 0], offset[:, 1]), bins)


def _situation(record: Any, entities: Array, enemies: _Seen) -> Array:
    """The player, how many are near, the nearest boss."""
    fields = int(record["fields"])
    known = bool(fields & FieldGroup.PLAYER)
    most = float(record["max_health"])
    share = min(max(float(record["health"]) / most, 0.0), 1.0) if known and most > 0.0 else 1.0
    velocity = record["velocity"]
    player = [
        float(known), share, _half(record["shield"], 50.0), _half(record["gold"], 100.0),
        _half(record["level"], 20.0), _half(record["time"], 300.0), float(velocity[0]) / SPEED,
        float(velocity[1]) / SPEED, float(record["position"][0]) / 64.0 - 1.0,
        float(record["position"][1]) / 64.0 - 1.0, float(share < 0.3), float(record["grounded"]),
    ]  # fmt: skip
    body = (entities["flags"] & EntityFlag.PROJECTILE) == 0
    crowd = [
        len(entities) / ENTITIES,
        float((body & (enemies.far < NEAR)).sum()) / 8.0,
        float((body & (enemies.far < 2.0 * NEAR)).sum()) / 8.0,
    ]
    boss = np.flatnonzero(body & ((entities["flags"] & EntityFlag.BOSS) != 0))
    nearest = boss[enemies.far[boss].argmin()] if len(boss) else -1
    towards = enemies.offset[nearest] / METRES if len(boss) else (0.0, 0.0)
    health = float(entities["health"][nearest]) / 1000.0 if len(boss) else 0.0
    far = 1.0 / (1.0 + float(enemies.far[nearest]) / 4.0) if len(boss) else 0.0
    return np.array([*player, *crowd, float(len(boss) > 0), *towards, far, health])


def _around(outlook: situation.Outlook) -> Array:
    """Of everything there is: what threatens, what pulls, by direction and together, and how much
    of what pulls lies where nothing threatens."""
    threat, pull = outlook.threat.astype(np.float64), outlook.pull.astype(np.float64)
    clear = float((pull / (1.0 + threat)).sum())
    together = [
        float(threat.sum()) / 8.0,  # every enemy counts twice in it: for its neighbours, too
        outlook.near / 16.0,
        min(clear, 3.0) / 3.0,
        float((threat < 0.5).sum()) / BINS,
    ]
    middle = (_DIRECTIONS * threat[:, None]).sum(0) / 4.0
    return np.concatenate((together, middle, threat, pull))


def _following(in_force: v.Directive | None) -> Array:
    following = np.zeros(len(VERBS) + 1)
    following[VERBS.index(in_force.action) if in_force and in_force.action in VERBS else -1] = 1.0
    return following


def _fill_compass(out: Array, threat: Array, pull: Array) -> None:
    out[:, 1] = 1.0
    out[:, 4:6] = _DIRECTIONS
    out[:, 9] = threat
    out[:, 10] = pull
    out[:, _WAYS + 2] = _round(_DIRECTIONS, threat)


def _fill_entities(out: Array, rows: Array, seen: _Seen, threat: Array) -> None:
    out[:, 2] = 1.0
    _fill_place(out, seen, threat)
    flags = rows["flags"]
    out[:, 10] = (flags & EntityFlag.BOSS) != 0
    out[:, 11] = (flags & EntityFlag.ELITE) != 0
    out[:, 12] = (flags & EntityFlag.PROJECTILE) != 0
    out[:, 13] = np.clip(rows["health"] / np.maximum(rows["max_health"], 1e-3), 0.0, 1.0)
    closing = -(rows["velocity"][:, :2] * seen.offset).sum(1) / (seen.far + 1e-3)
    out[:, 14] = closing / SPEED


def _fill_pickups(out: Array, rows: Array, seen: _Seen, threat: Array, record: Any) -> None:
    out[:, 3] = 1.0
    _fill_place(out, seen, threat)
    kinds = rows["kind"].astype(np.int64)
    fine = kinds < _KINDS
    out[np.flatnonzero(fine), 15 + kinds[fine]] = 1.0
    value = np.abs(rows["value"])
    out[:, 15 + _KINDS] = value / (value + 10.0)
    out[:, 16 + _KINDS] = rows["value"] <= record["gold"]


def _fill_place(out: Array, seen: _Seen, threat: Array) -> None:
    out[:, 4:6] = seen.offset / (seen.far[:, None] + 1e-3)
    out[:, 6:8] = seen.offset / METRES
    out[:, 8] = 1.0 / (1.0 + seen.far / 4.0)
    out[:, 9] = threat[seen.bins]
    out[:, _WAYS] = 1.0 / (1.0 + seen.far / FAR)
    out[:, _WAYS + 1] = 1.0 / (1.0 + seen.far * (1.0 + threat[seen.bins]) / DETOUR)
    out[:, _WAYS + 2] = _round(out[:, 4:6], threat)


def _round(directions: Array, threat: Array) -> Array:
    """How far directions [N, 2] lead to the middle of what threatens: 1 there, -1 away from it."""
    middle = (_DIRECTIONS * threat[:, None]).sum(0)
    return np.asarray(directions @ (middle / (np.hypot(*middle) + 1e-6)))


def _half(value: float, scale: float) -> float:
    size = abs(float(value))
    return size / (size + scale) if math.isfinite(size) else 0.0


def _clean(values: Array) -> FloatArray:
    """As float32, cut; 0 for what is no number."""
    finite = np.nan_to_num(values, nan=0.0, posinf=MOST, neginf=-MOST)
    return np.asarray(np.clip(finite, -MOST, MOST), np.float32)
