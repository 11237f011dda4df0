"""The content file as Python reads it: complete, in the core's order, effects that bind."""

from __future__ import annotations

import itertools

import pytest

from metabonk import _core
from metabonk.errors import SpecError
from metabonk.games import content

STATS_IN_CORE = 22


def test_tables_are_there() -> None:
    known = content.load()
    assert len(known.stat) == STATS_IN_CORE
    assert list(known.rarity) == ["common", "uncommon", "rare", "epic", "legendary"]
    assert len(known.character) >= 5
    assert len(known.tome) >= 10
    assert len(known.item) >= 12
    assert len(known.weapon) >= 8
    assert len(known.enemy) >= 10
    assert len(known.tier) == 3


def test_every_effect_names_a_stat_and_does_something() -> None:
    known = content.load()
    holders = [*known.tome.items(), *known.item.items(), *known.character.items()]
    for name, holder in [*holders, *known.ability.items()]:
        assert holder.changes, name
        assert len(holder.changes) <= 8, name
        for change in holder.changes:
            assert change.stat in known.stat, name
            assert (change.add != 0.0) != (change.multiply != 0.0), name


def test_every_stat_is_changed_by_some_offer() -> None:
    known = content.load()
    changed = {
        c.stat for holder in [*known.tome.values(), *known.item.values()] for c in holder.changes
    }
    assert changed == set(known.stat)


def test_references_are_real() -> None:
    known = content.load()
    for character in known.character.values():
        assert character.weapon in known.weapon
        assert character.ability in known.ability
    for item in known.item.values():
        assert item.rarity in known.rarity


def test_characters_differ_clearly() -> None:
    known = content.load()
    effects = [frozenset(c.changes) for c in known.character.values()]
    assert len(set(effects)) == len(effects)
    for field in ("weapon", "ability"):
        values = [getattr(c, field) for c in known.character.values()]
        assert len(set(values)) == len(values), field


def test_rarer_is_better() -> None:
    rows = list(content.load().rarity.values())
    for worse, better in itertools.pairwise(rows):
        assert better.scale > worse.scale
        assert better.weight < worse.weight
        assert better.luck > worse.luck
        assert better.weapon_levels >= worse.weapon_levels


def test_a_wrong_file_names_the_path() -> None:
    text = _core.arena.content().replace('rarity = "common"\nweight = 1.0', 'rarity = "common"')
    with pytest.raises(SpecError, match=r"weight.*\$\.item"):
        content.parse(text)
    with pytest.raises(SpecError, match=r"content\.toml"):
        content.parse("[stat")


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"^\$\.x: no tome 'powr', did you mean 'power'"):
        content.index(content.load().tome, "powr", "$.x", "tome")
    assert content.index(["a", "b"], "b", "$", "letter") == 1
