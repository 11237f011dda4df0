"""A state as a model reads it: short words, and the targets that may be named in it.

Knows the records and the vocabulary's targets; does not know prompts, servers or who asks. Foreign
text (menu names, widgets, goals) is data: it is cut, and what could pass for a template's control
tokens or a picture's placeholder is taken out of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from metabonk.cognition import vocabulary as v
from metabonk.errors import CorruptError
from metabonk.records import GAME_STATE, EntityFlag, FieldGroup, PickupKind

NEAREST = 8  # enemies and pickups that are named
_FIRST = 1000.0  # what is named first counts as so many times nearer
NOT_A_MENU = ("", "None", "Gameplay")
PLACES = (PickupKind.CHEST, PickupKind.SHRINE, PickupKind.PORTAL)
_NAMES = (
    "east", "east-northeast", "northeast", "north-northeast", "north", "north-northwest",
    "northwest", "west-northwest", "west", "west-southwest", "southwest", "south-southwest",
    "south", "south-southeast", "southeast", "east-southeast",
)  # fmt: skip
_ALLOWED = frozenset(" '.,:;!?%+-/()#&")


def plain(text: str, most: int = 48) -> str:
    """Foreign text as one line of letters, digits and harmless signs."""
    kept = (c if c.isalnum() or c in _ALLOWED else " " for c in text[: 4 * most])
    return " ".join("".join(kept).split())[:most]


def towards(dx: float, dy: float) -> int:
    """The compass bin of a direction: 0 east, then counter-clockwise."""
    return round(math.atan2(dy, dx) / (2.0 * math.pi) * v.COMPASS_BINS) % v.COMPASS_BINS


def direction(bin: int) -> str:
    """`north`, `east-northeast`, ..."""
    return _NAMES[bin]


@dataclass(frozen=True)
class Named:
    """A target and what a model is told of it."""

    target: v.Target
    told: str


@dataclass(frozen=True)
class Scene:
    """text: what is known, several lines. entities, pickups, places, widgets: what may be named,
    the nearest first, places being pickups that one interacts with, and hearts the pickups that
    heal. Bosses, hearts and portals are named before all else, from anywhere. menu: whether a menu
    is open. known: whether there was a state at all."""

    text: str
    entities: tuple[Named, ...] = ()
    pickups: tuple[Named, ...] = ()
    places: tuple[Named, ...] = ()
    hearts: tuple[Named, ...] = ()
    widgets: tuple[Named, ...] = ()
    menu: bool = False
    known: bool = False


def read(packed: bytes, crowd: int = 0) -> Scene:
    """A scene from `GameState.pack()` bytes; an unknown one from none. crowd: enemies that are near
    beside the state's, nobody says where. Raises CorruptError."""
    if not packed:
        return Scene("No state is known; there are only the pictures.")
    if len(packed) != GAME_STATE.itemsize:
        raise CorruptError(f"state: {len(packed)} bytes; wanted {GAME_STATE.itemsize}")
    record = np.frombuffer(packed, GAME_STATE)[0]
    fields = FieldGroup(int(record["fields"]) & FieldGroup.EVERYTHING)
    entities = _entities(record) if fields & FieldGroup.ENTITIES else ()
    pickups, places, hearts = _pickups(record) if fields & FieldGroup.PICKUPS else ((), (), ())
    menu = _text(record["menu"]) if fields & FieldGroup.MENU else "None"
    widgets = _widgets(record) if fields & FieldGroup.WIDGETS else ()
    open_menu = menu not in NOT_A_MENU
    lines = _player(record, fields) or ["Of the player nothing is known."]
    if fields & FieldGroup.ENTITIES:
        lines.append(f"Enemies and projectiles: {int(record['entity_count'])}.")
        lines += [f"- {v.spell_target(one.target)}: {one.told}" for one in entities]
    if crowd:
        lines.append(f"Enemies near, nobody says where: {crowd}.")
    if fields & FieldGroup.PICKUPS:
        lines.append(f"Things lying around: {int(record['pickup_count'])}.")
        lines += [f"- {v.spell_target(one.target)}: {one.told}" for one in (*pickups, *places)]
    if open_menu:
        lines.append(f'A menu is open: "{plain(menu)}". Its buttons, as texts of the game:')
        lines += [
            f"- {v.spell_target(one.target)}: {one.told}{_rectangle(record, one.target)}"
            for one in widgets
        ]
    text = "\n".join(lines)
    return Scene(text, entities, pickups, places, hearts, widgets, open_menu, True)


def _player(record: Any, fields: FieldGroup) -> list[str]:
    """Version 1's states, which have no entities, say nothing of what is 0 in them but health."""
    told, whole = [], bool(fields & FieldGroup.ENTITIES)
    if fields & FieldGroup.PLAYER:
        told += _body(record, whole)
    if fields & FieldGroup.PROGRESS:
        told.append(f"level {int(record['level'])}")
        if whole or record["shield"] > 0.0:
            told.append(f"shield {float(record['shield']):.0f}")
    line = "; ".join(told)
    return [f"{line[0].upper()}{line[1:]}."] if line else []


def _body(record: Any, whole: bool) -> list[str]:
    """Health, where to and how long. whole: whether what is 0 is known to be."""
    told, health, most = [], float(record["health"]), float(record["max_health"])
    if most > 1.0:
        told.append(f"health {health:.0f} of {most:.0f} ({100.0 * health / most:.0f} %)")
    elif most > 0.0:
        told.append(f"health {100.0 * health / most:.0f} %")
    dx, dy, _ = (float(x) for x in record["velocity"])
    speed, time = math.hypot(dx, dy), float(record["time"])
    if speed > 0.1:
        told.append(f"moving {speed:.1f} m/s {direction(towards(dx, dy))}")
    elif whole:
        told.append("standing")
    if whole or time > 0.0:
        told.append(f"{time:.0f} s in")
    return told


def _offsets(record: Any, rows: Any) -> tuple[Any, Any]:
    """Where rows are, seen from the player [N, 2], and how far [N]; what is no number is last."""
    away = (rows["position"][:, :2] - record["position"][:2]).astype(np.float64)
    far = np.hypot(away[:, 0], away[:, 1])
    return away, np.where(np.isfinite(far), far, np.inf)


def _nearest(far: Any, wanted: Any) -> list[int]:
    order = np.argsort(far, kind="stable")
    return [int(i) for i in order if wanted[i] and math.isfinite(far[i])][:NEAREST]


def _entities(record: Any) -> tuple[Named, ...]:
    rows = record["entities"][: min(int(record["entity_count"]), len(record["entities"]))]
    away, far = _offsets(record, rows)
    # A boss matters from anywhere, its projectiles where they are.
    boss = (rows["flags"] & (EntityFlag.BOSS | EntityFlag.PROJECTILE)) == EntityFlag.BOSS
    named = _nearest(np.where(boss, far / _FIRST, far), np.ones(len(rows), np.bool_))
    return tuple(Named(v.Entity(int(rows["id"][i])), _enemy(rows[i], away[i])) for i in named)


def _enemy(row: Any, away: Any) -> str:
    flags = EntityFlag(int(row["flags"]) & 7)
    what = "boss" if flags & EntityFlag.BOSS else "elite" if flags & EntityFlag.ELITE else "enemy"
    what = "projectile" if flags & EntityFlag.PROJECTILE else what
    dx, dy = float(away[0]), float(away[1])
    far = math.hypot(dx, dy)
    vx, vy = float(row["velocity"][0]), float(row["velocity"][1])
    closing = -(vx * dx + vy * dy) / far if far > 0.0 else 0.0
    told = f"{what}, {far:.1f} m {direction(towards(dx, dy))}"
    if math.isfinite(closing) and abs(closing) > 0.1:
        told += f", {'closing' if closing > 0.0 else 'leaving'} at {abs(closing):.1f} m/s"
    most = float(row["max_health"])
    return told + (f", health {100.0 * float(row['health']) / most:.0f} %" if most > 0.0 else "")


def _pickups(record: Any) -> tuple[tuple[Named, ...], tuple[Named, ...], tuple[Named, ...]]:
    """What lies around, places, and of what lies around the hearts."""
    rows = record["pickups"][: min(int(record["pickup_count"]), len(record["pickups"]))]
    away, far = _offsets(record, rows)
    place, heart = np.isin(rows["kind"], PLACES), rows["kind"] == PickupKind.HEAL
    # What saves a run and what ends a level matter from anywhere.
    far = np.where(heart | (rows["kind"] == PickupKind.PORTAL), far / _FIRST, far)

    def named(wanted: Any) -> tuple[Named, ...]:
        return tuple(
            Named(v.Pickup(int(rows["id"][i])), _thing(int(rows["kind"][i]), away[i]))
            for i in _nearest(far, wanted)
        )

    return named(~place), named(place), named(heart)


def _thing(kind: int, away: Any) -> str:
    name = PickupKind(kind).name.lower() if kind in list(PickupKind) else "thing"
    dx, dy = float(away[0]), float(away[1])
    return f"{name}, {math.hypot(dx, dy):.1f} m {direction(towards(dx, dy))}"


def _widgets(record: Any) -> tuple[Named, ...]:
    rows = record["widgets"][: min(int(record["widget_count"]), len(record["widgets"]))]
    return tuple(
        Named(v.Widget(index + 1), f'"{plain(_text(row["text"]))}"')
        for index, row in enumerate(rows)
        if row["enabled"]
    )


def _rectangle(record: Any, target: v.Target) -> str:
    """Where a button is on the picture, in percent of its width and height; empty for nowhere."""
    assert isinstance(target, v.Widget)
    row = record["widgets"][target.choice - 1]
    edges = [float(row[name]) for name in ("x0", "x1", "y0", "y1")]
    if not all(0.0 <= edge <= 1.0 for edge in edges):
        return ""
    x0, x1, y0, y1 = (round(100 * edge) for edge in edges)
    return f", {x0} to {x1} % from the left, {y0} to {y1} % from the top"


def _text(value: Any) -> str:
    raw = value.item() if hasattr(value, "item") else value
    return bytes(raw).decode("utf-8", "replace")
