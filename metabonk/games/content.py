"""The arena's content: every kind there is and every effect it has, as it was compiled in.

Knows how content.toml becomes typed structs. Does not know the rules, nor what a level makes of
the content. The order of a table is the index that records, levels and replays carry.
"""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Iterable

import msgspec

from metabonk.errors import SpecError

Color = tuple[int, int, int]


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One effect on a stat: `add` to its sum, or `multiply` it by 1 + the sum of these."""

    stat: str
    add: float = 0.0
    multiply: float = 0.0


class Stat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number that characters have, in `unit`, kept within [low, high]."""

    name: str
    unit: str
    base: float
    low: float
    high: float


class Rarity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Drawn with weight * (1 + luck * L) at luck L; `scale` is the factor on an offer's amounts."""

    name: str
    scale: float
    weight: float
    luck: float
    weapon_levels: int
    color: Color


class Ability(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a character's button does: seconds, metres, metres a second; heal is a fraction."""

    name: str
    text: str
    cooldown: float
    seconds: float
    changes: tuple[Change, ...] = ()
    heal: float = 0.0
    invulnerable: float = 0.0
    dash: float = 0.0
    blast_damage: float = 0.0
    blast: float = 0.0
    knockback: float = 0.0


class Character(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody to play: its first weapon, its ability and changes to the stats' bases."""

    name: str
    text: str
    weapon: str
    ability: str
    changes: tuple[Change, ...]
    color: Color


class Tome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Offered at level-ups; `changes` are for one level at common rarity."""

    name: str
    weight: float
    max_level: int
    changes: tuple[Change, ...]
    color: Color


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Offered by chests; `changes` hold for each copy."""

    name: str
    rarity: str
    weight: float
    max_count: int
    changes: tuple[Change, ...]
    color: Color


class Reward(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Offered where nothing else is left: health as a fraction of its maximum, gold."""

    name: str
    heal: float
    gold: float
    color: Color


class Offers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often a run may refresh, skip and banish offers, and what skipping gives."""

    refreshes: int
    skips: int
    banishes: int
    skip_gold: float
    owned_weight: float


class Weapon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A weapon at level 1 and what each further level changes: metres, seconds, points, radians.

    Damage, reach and blast grow by a sum, the cooldown by a factor; one more projectile and one
    more enemy pierced every so many levels (0: never).
    """

    name: str
    text: str
    pattern: str
    max_level: int
    weight: float
    damage: float
    damage_growth: float
    cooldown: float
    cooldown_growth: float
    count: int
    reach: float
    knockback: float
    color: Color
    count_every: int = 0
    pierce: int = 0
    pierce_every: int = 0
    reach_growth: float = 0.0
    spread: float = 0.0
    speed: float = 0.0
    radius: float = 0.0
    life: float = 0.0
    blast: float = 0.0
    blast_growth: float = 0.0
    slow: float = 0.0


class Enemy(msgspec.Struct, frozen=True):
    """An enemy in metres, seconds and points; the other numbers are the rules' affair."""

    name: str
    behavior: str
    health: float
    speed: float
    damage: float
    radius: float
    xp: float
    range: float = 0.0
    power: float = 0.0


class Tier(msgspec.Struct, frozen=True):
    """A stage: its name and factors on its enemies."""

    name: str
    health: float
    damage: float


class Content(msgspec.Struct, frozen=True):
    """All tables by identifier, each in the order of its indices."""

    stat: dict[str, Stat]
    rarity: dict[str, Rarity]
    character: dict[str, Character]
    ability: dict[str, Ability]
    tome: dict[str, Tome]
    item: dict[str, Item]
    reward: dict[str, Reward]
    weapon: dict[str, Weapon]
    enemy: dict[str, Enemy]
    tier: dict[str, Tier]
    offers: Offers


def parse(text: str) -> Content:
    """The content of a TOML text. Raises SpecError that names the path of what is wrong."""
    try:
        return msgspec.convert(tomllib.loads(text), Content)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SpecError(f"content.toml: {error}") from error


@functools.cache
def load() -> Content:
    """The content of this build's native core."""
    from metabonk import _core

    return parse(_core.arena.content())


def index(names: Iterable[str], name: str, path: str, what: str) -> int:
    """Place of `name` among `names`. Raises SpecError at `path` that suggests the nearest."""
    known = list(names)
    if name in known:
        return known.index(name)
    match = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {match[0]!r}?" if match else f"known are {', '.join(known)}"
    raise SpecError(f"{path}: no {what} {name!r}, {hint}")
