"""The records that every source of experience shares: GameState and Action.

Knows their layout in memory (csrc/include/metabonk/records.h, mirrored here as numpy dtypes; a
test compares every offset) and how to read and write it. Does not know games or transports.

World frame: metres and seconds, x east, y north, z up, yaw counter-clockwise from east in radians.
Screen frame: 0..1 from the top left.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metabonk.errors import CorruptError

if TYPE_CHECKING:
    from gymnasium import spaces as gs

    from metabonk.spaces import ActionLayout

MAX_ENTITIES = 256
MAX_PICKUPS = 128
MAX_WIDGETS = 32
MAX_OFFERS = 8
MAX_STAT_CHANGES = 4
LOADOUT_SLOTS = 8
TEXT_BYTES = 48
BUTTONS = ("jump", "slide", "interact", "fire", "ability")

Vector = tuple[float, float, float]
Point = tuple[float, float]


class FieldGroup(enum.IntFlag):
    """Which fields a transport carried; those of other groups are zero and masked."""

    PLAYER = 1 << 0  # position, velocity, health, max_health, time, playing, paused
    YAW = 1 << 1  # yaw, grounded
    PROGRESS = 1 << 2  # shield, xp, xp_next, level, gold, kills, score
    ENTITIES = 1 << 3  # id, position, health
    ENTITY_DETAIL = 1 << 4  # kind, flags, velocity, max_health
    PICKUPS = 1 << 5
    MENU = 1 << 6  # the menu's name
    WIDGETS = 1 << 7
    OFFERS = 1 << 8  # texts
    OFFER_DETAIL = 1 << 9  # kind, rarity, item, level, stat changes
    RUN = 1 << 10  # run_seed, tier, character
    LOADOUT = 1 << 11  # weapons, tomes
    EVERYTHING = (1 << 12) - 1


class EntityFlag(enum.IntFlag):
    BOSS = 1
    ELITE = 2
    PROJECTILE = 4


_NOTHING, _NO_FLAGS = FieldGroup(0), EntityFlag(0)


class PickupKind(enum.IntEnum):
    XP = 0
    GOLD = 1
    HEAL = 2
    MAGNET = 3
    CHEST = 4
    SHRINE = 5
    PORTAL = 6


class OfferKind(enum.IntEnum):
    WEAPON = 0
    TOME = 1
    ITEM = 2
    REWARD = 3


def _record(*fields: tuple[Any, ...]) -> np.dtype[np.void]:
    return np.dtype(list(fields), align=True)  # C's alignment


_TEXT = f"S{TEXT_BYTES}"
ENTITY = _record(
    ("id", "u4"), ("kind", "u1"), ("flags", "u1"), ("reserved", "u2"), ("position", "f4", 3),
    ("velocity", "f4", 3), ("health", "f4"), ("max_health", "f4"),
)  # fmt: skip
PICKUP = _record(
    ("id", "u4"), ("kind", "u1"), ("reserved", "u1", 3), ("position", "f4", 3), ("value", "f4")
)
WIDGET = _record(
    ("x0", "f4"), ("y0", "f4"), ("x1", "f4"), ("y1", "f4"), ("enabled", "u1"), ("offer", "u1"),
    ("reserved", "u1", 2), ("text", _TEXT),
)  # fmt: skip
STAT_CHANGE = _record(("stat", "u1"), ("multiply", "u1"), ("reserved", "u2"), ("amount", "f4"))
OFFER = _record(
    ("kind", "u1"), ("rarity", "u1"), ("item", "u1"), ("level", "u1"), ("change_count", "u1"),
    ("reserved", "u1", 3), ("changes", STAT_CHANGE, MAX_STAT_CHANGES), ("text", _TEXT),
)  # fmt: skip
SLOT = _record(("kind", "u1"), ("level", "u1"))
GAME_STATE = _record(
    ("fields", "u4"), ("dt", "f4"), ("time", "f8"), ("run_seed", "u8"), ("position", "f4", 3),
    ("velocity", "f4", 3), ("yaw", "f4"), ("health", "f4"), ("max_health", "f4"), ("shield", "f4"),
    ("xp", "f4"), ("xp_next", "f4"), ("gold", "f4"), ("score", "f4"), ("kills", "u4"),
    ("level", "u2"), ("grounded", "u1"), ("playing", "u1"), ("paused", "u1"), ("tier", "u1"),
    ("character", "u1"), ("reserved", "u1"), ("entity_count", "u2"), ("pickup_count", "u2"),
    ("widget_count", "u2"), ("offer_count", "u2"), ("weapons", SLOT, LOADOUT_SLOTS),
    ("tomes", SLOT, LOADOUT_SLOTS), ("menu", _TEXT), ("entities", ENTITY, MAX_ENTITIES),
    ("pickups", PICKUP, MAX_PICKUPS), ("widgets", WIDGET, MAX_WIDGETS),
    ("offers", OFFER, MAX_OFFERS),
)  # fmt: skip
ACTION = _record(
    ("move", "f4", 2), ("look", "f4", 2), ("jump", "f4"), ("slide", "f4"), ("interact", "f4"),
    ("fire", "f4"), ("ability", "f4"), ("choice", "f4"), ("click", "f4", 2),
)  # fmt: skip
ACTION_COLUMNS = ACTION.itemsize // 4

# The action as a Gymnasium space, in the order of its columns. Observations carry `action_mask`:
# two entries (off, on) per button, then one per choice. Both are made when they are asked for:
# who only passes states on, as a cognitive server does, starts without Gymnasium.
ACTION_SPACE: gs.Dict
ACTION_LAYOUT: ActionLayout


def __getattr__(name: str) -> Any:
    if name not in ("ACTION_SPACE", "ACTION_LAYOUT"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gymnasium import spaces as gs

    from metabonk.spaces import ActionLayout

    space = gs.Dict(
        OrderedDict(
            [
                ("move", gs.Box(-1.0, 1.0, (2,), np.float32)),
                ("look", gs.Box(-1.0, 1.0, (2,), np.float32)),
                *((button, gs.Discrete(2)) for button in BUTTONS),
                ("choice", gs.Discrete(1 + MAX_WIDGETS)),
                ("click", gs.Box(-1.0, 1.0, (2,), np.float32)),
            ]
        )
    )
    layout = ActionLayout.of(space, masked=(*BUTTONS, "choice"))
    globals().update(ACTION_SPACE=space, ACTION_LAYOUT=layout)
    return globals()[name]


@dataclass(slots=True)
class Entity:
    """An enemy or its projectile. `id` is stable and never reused within a run."""

    id: int = 0
    kind: int = 0
    flags: EntityFlag = _NO_FLAGS
    position: Vector = (0.0, 0.0, 0.0)
    velocity: Vector = (0.0, 0.0, 0.0)
    health: float = 0.0
    max_health: float = 0.0


@dataclass(slots=True)
class Pickup:
    """`value`: experience, gold or health it gives; charge 0..1 of a shrine."""

    id: int = 0
    kind: PickupKind = PickupKind.XP
    position: Vector = (0.0, 0.0, 0.0)
    value: float = 0.0


@dataclass(slots=True)
class Widget:
    """Something selectable. `offer`: 1 + index of the offer that it selects, 0 for none."""

    x0: float = 0.0
    y0: float = 0.0
    x1: float = 0.0
    y1: float = 0.0
    enabled: bool = True
    offer: int = 0
    text: str = ""


@dataclass(slots=True)
class StatChange:
    """`amount` is added to stat number `stat`, or multiplies it by 1 + amount."""

    stat: int = 0
    multiply: bool = False
    amount: float = 0.0


@dataclass(slots=True)
class Offer:
    """`rarity` 0 common … 4 legendary; `item`: index within its kind; `level` it would reach."""

    kind: OfferKind = OfferKind.WEAPON
    rarity: int = 0
    item: int = 0
    level: int = 0
    changes: list[StatChange] = field(default_factory=list)
    text: str = ""


@dataclass(slots=True)
class Slot:
    """`kind`: 1 + index within its kind, 0 for an empty slot."""

    kind: int = 0
    level: int = 0


def _slots() -> list[Slot]:
    return [Slot() for _ in range(LOADOUT_SLOTS)]


@dataclass(slots=True)
class GameState:
    """What a game says between two decisions; see the module's docstring for frames and units.

    fields: groups that the source carried. dt: seconds of game time since the last observation.
    time: seconds since the run began. tier: 1..3, 0 unknown. character: 1 + index, 0 unknown.
    menu: name of the open menu, "None" while playing. widgets: in reading order, choice i + 1
    selects widgets[i].
    """

    fields: FieldGroup = _NOTHING
    dt: float = 0.0
    time: float = 0.0
    run_seed: int = 0
    position: Vector = (0.0, 0.0, 0.0)
    velocity: Vector = (0.0, 0.0, 0.0)
    yaw: float = 0.0
    health: float = 0.0
    max_health: float = 0.0
    shield: float = 0.0
    xp: float = 0.0
    xp_next: float = 0.0
    gold: float = 0.0
    score: float = 0.0
    kills: int = 0
    level: int = 0
    grounded: bool = False
    playing: bool = False
    paused: bool = False
    tier: int = 0
    character: int = 0
    weapons: list[Slot] = field(default_factory=_slots)
    tomes: list[Slot] = field(default_factory=_slots)
    menu: str = "None"
    entities: list[Entity] = field(default_factory=list)
    pickups: list[Pickup] = field(default_factory=list)
    widgets: list[Widget] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)

    def pack(self) -> bytes:
        """The C struct's bytes. Lists are cut at their capacity, texts at 47 bytes of UTF-8."""
        record = np.zeros((), GAME_STATE)
        _pack(self, record)
        return record.tobytes()

    @classmethod
    def unpack(cls, data: bytes | npt.NDArray[Any]) -> GameState:
        """Inverse of `pack`; also takes one row uint8 [16376] or a GAME_STATE scalar.

        Raises CorruptError if the size or a count cannot be right.
        """
        raw = data.tobytes() if isinstance(data, np.ndarray | np.void) else bytes(data)
        if len(raw) != GAME_STATE.itemsize:
            raise CorruptError(
                f"state: {len(raw)} bytes, a packed GameState has {GAME_STATE.itemsize}"
            )
        return _unpack(np.frombuffer(raw, GAME_STATE)[0])


@dataclass(slots=True)
class Action:
    """What an agent does for one decision.

    move: x right, y forward in the camera's frame. look: turning rate, -1..1 of the fastest.
    choice: 0 none, 1..32 the selectable widgets. click: screen position, None for no click.
    """

    move: Point = (0.0, 0.0)
    look: Point = (0.0, 0.0)
    jump: bool = False
    slide: bool = False
    interact: bool = False
    fire: bool = False
    ability: bool = False
    choice: int = 0
    click: Point | None = None

    def row(self) -> npt.NDArray[np.float32]:
        """float32 [12], what batches step with."""
        click = (-1.0, -1.0) if self.click is None else self.click
        buttons = [float(getattr(self, name)) for name in BUTTONS]
        return np.array([*self.move, *self.look, *buttons, self.choice, *click], np.float32)

    @classmethod
    def from_row(cls, row: npt.NDArray[np.float32]) -> Action:
        """Buttons are pressed at 0.5 and above, choices rounded and kept within 0..32, a negative
        click is none: as the arena reads a row."""
        v = [float(x) for x in row]
        pressed = {name: x >= 0.5 for name, x in zip(BUTTONS, v[4:9], strict=True)}
        click = (v[10], v[11]) if v[10] >= 0.0 and v[11] >= 0.0 else None
        choice = int(min(v[9], MAX_WIDGETS) + 0.5) if v[9] > 0.0 else 0  # 0 for NaN
        return cls((v[0], v[1]), (v[2], v[3]), **pressed, choice=choice, click=click)


# GameState's lists: field -> (its count, the class of its parts).
_LISTS = {
    "entities": ("entity_count", Entity),
    "pickups": ("pickup_count", Pickup),
    "widgets": ("widget_count", Widget),
    "offers": ("offer_count", Offer),
    "changes": ("change_count", StatChange),
}


def _pack(value: Any, record: Any) -> None:
    """Writes a dataclass of this module into the numpy record of the same fields."""
    for name in value.__slots__:
        item = getattr(value, name)
        if isinstance(item, str):
            record[name] = _cut(item)
        elif not isinstance(item, list):
            record[name] = item
        else:
            room = record[name]
            kept = item[: len(room)]
            for part, slot in zip(kept, room, strict=False):
                _pack(part, slot)
            if name in _LISTS:
                record[_LISTS[name][0]] = len(kept)


def _unpack(record: Any) -> GameState:
    values: dict[str, Any] = {}
    names = record.dtype.names
    for name in names:
        if name == "reserved" or name.endswith("_count"):
            continue
        if name in ("weapons", "tomes"):
            values[name] = [Slot(int(s["kind"]), int(s["level"])) for s in record[name]]
        elif name in _LISTS:
            values[name] = _parts(record, name)
        else:
            values[name] = _scalar(record[name])
    values["fields"] = FieldGroup(values["fields"] & FieldGroup.EVERYTHING)
    for name in ("grounded", "playing", "paused"):
        values[name] = bool(values[name])
    return GameState(**values)


def _parts(record: Any, name: str) -> list[Any]:
    counter, cls = _LISTS[name]
    count, room = int(record[counter]), record[name]
    if count > len(room):
        raise CorruptError(f"state.{counter}: {count}, at most {len(room)} fit")
    return [cls(**_fields(part)) for part in room[:count]]


def _fields(record: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in record.dtype.names:
        if name in _LISTS:
            values[name] = _parts(record, name)
        elif name != "reserved" and not name.endswith("_count"):
            values[name] = _scalar(record[name])
    if "flags" in values:
        values["flags"] = EntityFlag(values["flags"])
    for name in ("enabled", "multiply"):
        if name in values:
            values[name] = bool(values[name])
    return values


def _scalar(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return tuple(float(x) for x in value)
    plain = value.item()
    return plain.decode("utf-8", "replace") if isinstance(plain, bytes) else plain


def _cut(text: str) -> bytes:
    """UTF-8 of at most TEXT_BYTES - 1 bytes, no character cut in two."""
    return text.encode()[: TEXT_BYTES - 1].decode("utf-8", "ignore").encode()
