"""Level: what makes one arena level different from another, as JSON and as the core's struct.

Knows the published schema, defaults, ranges and the layout of LevelSpec (csrc/games/arena/spec.h).
Does not know what the rules make of it. Kinds are named as in content.toml, never numbered.

A wrong field is a SpecError whose message starts with its path: `$.enemies.mix.ghoul: ...`.
"""

from __future__ import annotations

import difflib
import json
import math
import pathlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from metabonk.errors import SpecError
from metabonk.games import content

VERSION = 1
LEVELS = pathlib.Path(__file__).parent / "levels"
SCHEMA = pathlib.Path(__file__).parent / "level.schema.json"

Weight = Annotated[float, Meta(ge=0, le=100)]
Term = Annotated[float, Meta(ge=-1000, le=1000)]


class Time(Struct, forbid_unknown_fields=True, frozen=True):
    """How long a run lasts and how an agent sees time. Ticks are 1/60 s."""

    duration: Annotated[float, Meta(ge=1, le=7200, description="seconds of game time")] = 180.0
    max_ticks: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=10_000_000,
                description="ticks with menus until truncation, 0: none, absent: 90 x duration",
            ),
        ]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    boss_at: Annotated[
        float, Meta(ge=-1, le=7200, description="seconds until the stage boss, negative: never")
    ] = 120.0
    skip_min: Annotated[int, Meta(ge=1, le=60, description="least ticks per decision")] = 4
    skip_max: Annotated[int, Meta(ge=1, le=60, description="most; drawn uniformly")] = 4
    drop_rate: Annotated[
        float, Meta(ge=0, le=0.95, description="chance that an old observation is shown again")
    ] = 0.0

    def __post_init__(self) -> None:
        # Menus cost ticks but no game time: half as much again keeps them from ending a run early.
        if self.max_ticks is msgspec.UNSET and math.isfinite(self.duration):
            msgspec.structs.force_setattr(self, "max_ticks", round(90 * self.duration))


class Enemies(Struct, forbid_unknown_fields=True, frozen=True):
    """Factors on the content's numbers; `mix` weighs kinds, 0 removes one, absent is 1."""

    rate: Annotated[float, Meta(ge=0, le=20, description="factor on the spawn budget")] = 1.0
    health: Annotated[float, Meta(ge=0.05, le=50)] = 1.0
    damage: Annotated[float, Meta(ge=0, le=50)] = 1.0
    speed: Annotated[float, Meta(ge=0.1, le=3)] = 1.0
    most: Annotated[int, Meta(ge=0, le=256, description="alive at once")] = 256
    at_start: Annotated[int, Meta(ge=0, le=256, description="placed at the start")] = 0
    mix: dict[str, Weight] = {}


class Ground(Struct, forbid_unknown_fields=True, frozen=True):
    """The terrain: metres and fractions."""

    size: Annotated[float, Meta(ge=32, le=128, description="side of the square, m")] = 96.0
    relief: Annotated[float, Meta(ge=0, le=12, description="height of hills, m")] = 4.0
    obstacles: Annotated[float, Meta(ge=0, le=0.3, description="fraction of cells")] = 0.04
    ledges: Annotated[float, Meta(ge=0, le=1, description="how much relief is steps")] = 0.3
    chests: Annotated[int, Meta(ge=0, le=12)] = 8
    shrines: Annotated[int, Meta(ge=0, le=8)] = 4
    seed: Annotated[int, Meta(ge=0, le=4_294_967_295, description="0: from the run's seed")] = 0


class Offers(Struct, forbid_unknown_fields=True, frozen=True):
    """What is offered: weights on top of the content's, 0 removes a kind, absent is 1."""

    weapons: dict[str, Weight] = {}
    tomes: dict[str, Weight] = {}
    items: dict[str, Weight] = {}
    shown: Annotated[int, Meta(ge=1, le=4)] = 3
    weapon_slots: Annotated[int, Meta(ge=1, le=8)] = 4
    tome_slots: Annotated[int, Meta(ge=1, le=8)] = 4
    xp_rate: Annotated[float, Meta(ge=0, le=100)] = 1.0
    gold_rate: Annotated[float, Meta(ge=0, le=100)] = 1.0


class Reward(Struct, forbid_unknown_fields=True, frozen=True):
    """Terms of the agent's reward, apart from the game's score: each weight multiplies what
    happened since the last observation."""

    alive: Annotated[Term, Meta(description="per second of game time")] = 0.02
    kill: Annotated[Term, Meta(description="per enemy")] = 0.05
    xp: Annotated[Term, Meta(description="per point of experience")] = 0.02
    gold: Annotated[Term, Meta(description="per gold")] = 0.0
    level: Annotated[Term, Meta(description="per level gained")] = 0.2
    damage_dealt: Annotated[Term, Meta(description="per point")] = 0.0
    damage_taken: Annotated[Term, Meta(description="per point")] = -0.02
    heal: Annotated[Term, Meta(description="per point")] = 0.0
    boss: Annotated[Term, Meta(description="per boss killed")] = 3.0
    chest: Annotated[Term, Meta(description="per chest or shrine")] = 0.2
    death: Annotated[Term, Meta(description="once")] = -3.0
    victory: Annotated[Term, Meta(description="once")] = 5.0


class Level(Struct, forbid_unknown_fields=True, frozen=True):
    """A level of the arena. Every field has a default; `Level()` is the default level."""

    version: Literal[1] = 1
    tier: Annotated[int, Meta(ge=1, le=3)] = 1
    character: str = "warden"
    start: Literal["playing", "main_menu"] = "playing"
    start_weapons: Annotated[
        tuple[str, ...], Meta(max_length=8, description="none: the character's own")
    ] = ()
    start_weapon_level: Annotated[int, Meta(ge=1, le=100)] = 1
    menus: Annotated[bool, Meta(description="false: the first offer is taken at once")] = True
    allow_pause: bool = False
    terminate_on_victory: bool = True
    truncate_on_time: Annotated[
        bool, Meta(description="whether the end of the duration truncates or terminates")
    ] = True
    sustain: Annotated[
        bool, Meta(description="dead enemies are replaced at once and the player cannot die")
    ] = False
    time: Time = Time()
    enemies: Enemies = Enemies()
    terrain: Ground = Ground()
    offers: Offers = Offers()
    reward: Reward = Reward()

    def pack(self) -> bytes:
        """The level as the core's packed LevelSpec. Raises SpecError at the wrong field's path."""
        return _pack(parse(msgspec.to_builtins(self)))

    def to_json(self) -> bytes:
        """The level as indented JSON with every field."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


# Element types and counts of LevelSpec, in its order; there is no padding.
LAYOUT = np.dtype(
    [
        ("version", "<u4"),
        ("bytes", "<u4"),
        ("tier", "u1"),
        ("character", "u1"),
        ("start_screen", "u1"),
        ("terminate_on_victory", "u1"),
        ("allow_pause", "u1"),
        ("menus", "u1"),
        ("sustain", "u1"),
        ("truncate_on_time", "u1"),
        ("duration", "<f4"),
        ("max_ticks", "<u4"),
        ("boss_at", "<f4"),
        ("spawn_rate", "<f4"),
        ("enemy_health", "<f4"),
        ("enemy_damage", "<f4"),
        ("enemy_speed", "<f4"),
        ("max_enemies", "<u4"),
        ("start_enemies", "<u4"),
        ("enemy_mix", "<f4", 16),
        ("size", "<f4"),
        ("relief", "<f4"),
        ("obstacles", "<f4"),
        ("ledges", "<f4"),
        ("chests", "<u4"),
        ("shrines", "<u4"),
        ("terrain_seed", "<u4"),
        ("offer_mix_weapon", "<f4", 16),
        ("offer_mix_tome", "<f4", 32),
        ("offer_mix_item", "<f4", 32),
        ("start_weapons", "u1", 8),
        ("start_weapon_level", "u1"),
        ("weapon_slots", "u1"),
        ("tome_slots", "u1"),
        ("offers_shown", "u1"),
        ("xp_rate", "<f4"),
        ("gold_rate", "<f4"),
        ("skip_min", "<u4"),
        ("skip_max", "<u4"),
        ("drop_rate", "<f4"),
        *((f"reward.{name}", "<f4") for name in Reward.__struct_fields__),
    ]
)

# Field of LevelSpec -> path in the JSON, for those that hold one value each.
PATHS = {
    "version": "version",
    "tier": "tier",
    "terminate_on_victory": "terminate_on_victory",
    "allow_pause": "allow_pause",
    "menus": "menus",
    "sustain": "sustain",
    "truncate_on_time": "truncate_on_time",
    "start_weapon_level": "start_weapon_level",
    **{name: f"time.{name}" for name in Time.__struct_fields__},
    "spawn_rate": "enemies.rate",
    "enemy_health": "enemies.health",
    "enemy_damage": "enemies.damage",
    "enemy_speed": "enemies.speed",
    "max_enemies": "enemies.most",
    "start_enemies": "enemies.at_start",
    **{name: f"terrain.{name}" for name in Ground.__struct_fields__ if name != "seed"},
    "terrain_seed": "terrain.seed",
    "offers_shown": "offers.shown",
    "weapon_slots": "offers.weapon_slots",
    "tome_slots": "offers.tome_slots",
    "xp_rate": "offers.xp_rate",
    "gold_rate": "offers.gold_rate",
    **{f"reward.{name}": f"reward.{name}" for name in Reward.__struct_fields__},
}
# Tables of weights: field -> (path, table of the content).
MIXES = {
    "enemy_mix": ("enemies.mix", "enemy"),
    "offer_mix_weapon": ("offers.weapons", "weapon"),
    "offer_mix_tome": ("offers.tomes", "tome"),
    "offer_mix_item": ("offers.items", "item"),
}
_STARTS = ("playing", "main_menu")


def parse(data: Mapping[str, Any] | bytes | str) -> Level:
    """A level from plain data or JSON. Raises SpecError at the path of the first wrong field."""
    try:
        plain = msgspec.json.decode(data) if isinstance(data, bytes | str) else dict(data)
    except msgspec.DecodeError as error:
        raise SpecError(f"$: not JSON: {error}") from error
    try:
        level = msgspec.convert(plain, Level)
    except msgspec.ValidationError as error:
        raise SpecError(_with_path(str(error), plain)) from error
    _check_finite(msgspec.to_builtins(level), "$")
    return level


def load(name: str | pathlib.Path) -> Level:
    """A level of this package by name ("default", "hard", ...) or any JSON file by path."""
    path = pathlib.Path(name)
    if path.suffix != ".json":
        content.index(names(), str(name), "level", "level")
        path = LEVELS / f"{name}.json"
    try:
        level = parse(path.read_bytes())
        level.pack()  # which looks at names of kinds, and at what fields say together
        return level
    except OSError as error:
        raise SpecError(f"game.level: cannot read {path}: {error.strerror}") from error
    except SpecError as error:
        raise SpecError(f"{error} (in {path.name})") from error


def names() -> list[str]:
    """The levels of this package."""
    return sorted(path.stem for path in LEVELS.glob("*.json"))


def unpack(spec: bytes) -> Level:
    """Inverse of `Level.pack`. Raises SpecError for bytes that no build of this layout packed."""
    if len(spec) != LAYOUT.itemsize:
        raise SpecError(f"$: {len(spec)} bytes are no packed level, that has {LAYOUT.itemsize}")
    _check_core(spec)
    row = np.frombuffer(spec, LAYOUT)[0]
    known = content.load()
    data: dict[str, Any] = {
        "character": list(known.character)[row["character"]],
        "start": _STARTS[row["start_screen"]],
        "start_weapons": [list(known.weapon)[kind - 1] for kind in row["start_weapons"] if kind],
    }
    for field, path in PATHS.items():
        value = row[field].item()
        if LAYOUT[field].kind == "f":
            value = float(np.format_float_positional(row[field], unique=True))
        _put(data, path, value)
    for flag in ("terminate_on_victory", "allow_pause", "menus", "sustain", "truncate_on_time"):
        data[flag] = bool(data[flag])
    for field, (path, table) in MIXES.items():
        kinds = getattr(known, table)
        shown = [float(np.format_float_positional(value, unique=True)) for value in row[field]]
        _put(data, path, {k: w for k, w in zip(kinds, shown, strict=False) if w != 1.0})
    return parse(data)


def schema() -> dict[str, Any]:
    """The JSON schema of a level, with the names of this build's kinds."""
    out = msgspec.json.schema(Level)
    out["title"] = "MetaBonk arena level"
    known, parts = content.load(), out["$defs"]
    level = parts["Level"]["properties"]
    level["character"]["enum"] = list(known.character)
    level["start_weapons"]["items"]["enum"] = list(known.weapon)
    for path, table in MIXES.values():
        owner, field = path.split(".")
        names_of = {"enum": list(getattr(known, table))}
        parts[owner.capitalize()]["properties"][field]["propertyNames"] = names_of
    return out


def schema_text() -> str:
    """The schema as it is published in level.schema.json."""
    return json.dumps(schema(), indent=2) + "\n"


def _pack(level: Level) -> bytes:
    known = content.load()
    row = np.zeros((), LAYOUT)
    data = msgspec.to_builtins(level)
    for field, path in PATHS.items():
        row[field] = _get(data, path)
    row["bytes"] = LAYOUT.itemsize
    row["character"] = content.index(known.character, level.character, "$.character", "character")
    row["start_screen"] = _STARTS.index(level.start)
    for i, name in enumerate(level.start_weapons):
        path = f"$.start_weapons[{i}]"
        row["start_weapons"][i] = 1 + content.index(known.weapon, name, path, "weapon")
    for field, (path, table) in MIXES.items():
        row[field] = 1.0
        kinds = list(getattr(known, table))
        for name, weight in _get(data, path).items():
            row[field][content.index(kinds, name, f"$.{path}.{name}", table)] = weight
    packed = row.tobytes()
    _check_core(packed)
    return packed


def _check_core(packed: bytes) -> None:
    """The core's own check: what no single field's range says."""
    from metabonk import _core

    try:
        _core.arena.check_spec(packed)
    except ValueError as error:
        field, _, remedy = str(error).partition(": ")
        # A remedy may name another field; words of English have no underscore.
        told = re.sub(r"\b[a-z]+_[a-z_]+\b", lambda name: _path_of(name[0]), remedy)
        raise SpecError(f"$.{_path_of(field)}: {told}") from error


def _path_of(field: str) -> str:
    """Where a field of LevelSpec is in the JSON; the field itself if it has no other name."""
    return PATHS.get(field) or MIXES.get(field, (field, ""))[0]


def _with_path(message: str, data: Any) -> str:
    """msgspec's "Expected ... - at `$.a.b`" as "$.a.b: expected ..."."""
    text, _, path = message.partition(" - at `")
    path = path.rstrip("`") or "$"
    if path.endswith("[...]"):  # msgspec does not say which key
        table = path.removeprefix("$.").removesuffix("[...]")
        path = f"$.{table}.{_wrong_weight(_get(data, table))}"
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", text)
    if unknown is None:
        return f"{path}: {text[0].lower()}{text[1:]}"
    fields = _fields_at(path)
    match = difflib.get_close_matches(unknown[1], fields, n=1)
    hint = f"did you mean {match[0]!r}?" if match else f"known are {', '.join(fields)}"
    return f"{path}.{unknown[1]}: no such field, {hint}"


def _wrong_weight(table: Mapping[str, Any]) -> str:
    for name, weight in table.items():
        try:
            msgspec.convert(weight, Weight)
        except msgspec.ValidationError:
            return name
    return "?"


def _fields_at(path: str) -> list[str]:
    parts = {"$.time": Time, "$.enemies": Enemies, "$.terrain": Ground, "$.offers": Offers}
    owner: Any = {**parts, "$.reward": Reward}.get(path, Level)
    return list(owner.__struct_fields__)


def _check_finite(value: Any, path: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _check_finite(item, f"{path}.{key}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise SpecError(f"{path}: must be a finite number, got {value}")


def _get(data: Mapping[str, Any], path: str) -> Any:
    for key in path.split("."):
        data = data[key]
    return data


def _put(data: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for key in parents:
        data = data.setdefault(key, {})
    data[last] = value
