"""Levels: the published schema, the paths of wrong fields, and the same struct as the core's."""

from __future__ import annotations

import json
import math
import pathlib
import re
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metabonk import _core
from metabonk.errors import SpecError
from metabonk.games import content, level
from metabonk.games.level import Enemies, Level, Time

CORE = _core.arena.spec_layout()


def test_every_offset_is_the_cores() -> None:
    assert level.LAYOUT.itemsize == _core.arena.spec_bytes
    assert list(level.LAYOUT.names or ()) == list(CORE)
    for name, (offset, count, kind, _, _) in CORE.items():
        dtype, at = level.LAYOUT.fields[name][:2]  # type: ignore[index]
        assert at == offset, name
        assert dtype.itemsize == count * struct.calcsize(kind), name
        assert (dtype.base.kind == "f") == (kind == "f"), name


def test_no_byte_of_the_struct_is_unnamed() -> None:
    end = 0
    for offset, count, kind, _, _ in CORE.values():
        assert offset == end
        end = offset + count * struct.calcsize("=" + kind)
    assert end == _core.arena.spec_bytes


def property_at(schema: dict[str, Any], path: str) -> dict[str, Any]:
    node = schema["$defs"]["Level"]
    for key in path.split("."):
        node = node["properties"][key]
        for part in [node, *node.get("anyOf", []), *node.get("allOf", [])]:
            if "$ref" in part:
                node = schema["$defs"][part["$ref"].rsplit("/", 1)[1]]
    return node


def test_ranges_are_the_cores() -> None:
    schema = level.schema()
    flags = {"terminate_on_victory", "allow_pause", "menus", "sustain", "truncate_on_time"}
    for field, path in level.PATHS.items():
        low, high = CORE[field][3:]
        found = property_at(schema, path)
        if field in flags:
            assert found["type"] == "boolean"
            assert (low, high) == (0, 1)
        elif field != "version":
            assert (found["minimum"], found["maximum"]) == (low, high), field
    for field, (path, _) in level.MIXES.items():
        weight = property_at(schema, path)["additionalProperties"]
        assert (weight["minimum"], weight["maximum"]) == CORE[field][3:], field


def test_default_is_the_cores() -> None:
    assert Level().pack() == _core.arena.default_spec()
    assert level.parse("{}") == Level() == level.load("default")


def test_a_longer_run_has_room_for_its_menus() -> None:
    """The limit in ticks follows the duration unless a level sets it itself."""
    longer = level.parse({"time": {"duration": 600}})
    assert longer.time.max_ticks == 600 * 90
    assert level.unpack(longer.pack()) == longer
    assert level.parse({"time": {"duration": 600, "max_ticks": 100}}).time.max_ticks == 100
    with pytest.raises(SpecError, match=r"^\$\.time\.max_ticks"):
        level.parse({"time": {"max_ticks": None}})


def test_committed_schema_is_current() -> None:
    assert level.SCHEMA.read_text() == level.schema_text(), (
        "level.schema.json is old: write metabonk.games.level.schema_text() to it"
    )


def test_schema_names_the_kinds() -> None:
    schema = level.schema()
    assert property_at(schema, "enemies.mix")["propertyNames"]["enum"] == list(content.load().enemy)
    assert property_at(schema, "character")["enum"] == list(content.load().character)


@pytest.mark.parametrize("name", level.names())
def test_committed_levels_round_trip(name: str) -> None:
    loaded = level.load(name)
    assert level.unpack(loaded.pack()) == loaded
    assert level.parse(loaded.to_json()) == loaded
    if name != "default":
        assert loaded != Level()


def test_the_benchmark_level_is_what_it_says() -> None:
    bench = level.load("arena_200")
    assert (bench.tier, len(bench.start_weapons), bench.enemies.at_start) == (2, 8, 200)
    assert bench.sustain


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"tier": 4}, r"^\$\.tier: expected `int` <= 3"),
        ({"tier": "two"}, r"^\$\.tier: expected `int`, got `str`"),
        ({"teir": 1}, r"^\$\.teir: no such field, did you mean 'tier'"),
        ({"enemies": {"ratte": 1}}, r"^\$\.enemies\.ratte: no such field, did you mean 'rate'"),
        ({"enemies": {"mix": {"goblin": 1, "rat": -1}}}, r"^\$\.enemies\.mix\.rat: expected"),
        ({"enemies": {"mix": {"gobln": 1}}}, r"^\$\.enemies\.mix\.gobln: no enemy.*'goblin'"),
        ({"offers": {"tomes": {"powr": 1}}}, r"^\$\.offers\.tomes\.powr: no tome.*'power'"),
        ({"offers": {"items": {"bred": 1}}}, r"^\$\.offers\.items\.bred: no item.*'bread'"),
        ({"character": "ward"}, r"^\$\.character: no character 'ward', did you mean 'warden'"),
        ({"start_weapons": ["sword", "sowrd"]}, r"^\$\.start_weapons\[1\]: no weapon.*'sword'"),
        ({"start_weapons": ["bow", "bow"]}, r"^\$\.start_weapons: must not name a weapon twice"),
        ({"time": {"skip_min": 5}}, r"^\$\.time\.skip_min: must not exceed time\.skip_max"),
        (
            {"enemies": {"most": 3, "at_start": 4}},
            r"^\$\.enemies\.at_start: .*enemies\.most$",
        ),
        (
            {"start_weapons": ["bow", "sword"], "offers": {"weapon_slots": 1}},
            r"^\$\.start_weapons: must not be more than offers\.weapon_slots$",
        ),
        ({"start_weapon_level": 99}, r"^\$\.start_weapon_level: must not exceed"),
        ({"version": 2}, r"^\$\.version: "),
        ([], r"^\$: expected `object`, got `array`"),
    ],
)
def test_wrong_fields_are_named(data: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        level.parse(json.dumps(data)).pack()


def test_the_document_shows_a_level_that_can_be_played_and_all_that_there_are() -> None:
    text = (pathlib.Path(__file__).parents[2] / "docs/levels.md").read_text("utf-8")
    fields_of = msgspec.structs.fields(Level)
    sections = {f.name: f.type for f in fields_of if isinstance(f.default, msgspec.Struct)}
    (example,) = re.findall(r"```json\n(.*?)```", text, re.S)
    shown = level.parse(example)
    assert level.unpack(shown.pack()) == shown
    assert sections.keys() == json.loads(example).keys() - {"character"}
    tables = [part.partition("\n\n")[0] for part in text.split("\n| --- | --- |\n")[1:]]
    told, levels = ([row.split("|")[1:3] for row in t.splitlines()] for t in tables)
    for name, what in told[1:]:
        fields = set(re.findall(r"`(\w+)`", what))
        assert fields <= set(sections.pop(name.strip(" `")).__struct_fields__)
    assert not sections
    assert sorted(n for name, _ in levels for n in re.findall(r"`(\w+)`", name)) == level.names()


def test_text_that_is_no_json() -> None:
    with pytest.raises(SpecError, match=r"^\$: not JSON"):
        level.parse("{")


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_structs_made_in_python_are_checked_too(value: float) -> None:
    with pytest.raises(SpecError, match=r"^\$\.time\.duration"):
        Level(time=Time(duration=value)).pack()
    with pytest.raises(SpecError, match=r"^\$\.enemies\.mix\.rat"):
        Level(enemies=Enemies(mix={"rat": value})).pack()


def test_load_names_what_is_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(SpecError, match=r"no level 'hrad', did you mean 'hard'"):
        level.load("hrad")
    with pytest.raises(SpecError, match="cannot read"):
        level.load(tmp_path / "none.json")
    bad = tmp_path / "bad.json"
    bad.write_text('{"tier": 0}')
    with pytest.raises(SpecError, match=r"^\$\.tier.*bad\.json"):
        level.load(bad)
    bad.write_text('{"enemies": {"mix": {"gobln": 1}}}')
    with pytest.raises(SpecError, match=r"^\$\.enemies\.mix\.gobln: .*'goblin'.*bad\.json"):
        level.load(bad)
    bad.write_text('{"tier": 2}')
    assert level.load(bad).tier == 2


def test_unpack_refuses_what_the_core_refuses() -> None:
    packed = bytearray(Level().pack())
    with pytest.raises(SpecError, match="bytes are no packed level"):
        level.unpack(bytes(packed[:-1]))
    packed[CORE["tier"][0]] = 9
    with pytest.raises(SpecError, match=r"^\$\.tier: must be from 1 to 3"):
        level.unpack(bytes(packed))
    packed = bytearray(Level().pack())
    packed[CORE["enemy_mix"][0] : CORE["enemy_mix"][0] + 4] = struct.pack("<f", math.nan)
    with pytest.raises(SpecError, match=r"^\$\.enemies\.mix: must be from"):
        level.unpack(bytes(packed))


FLOAT_FIELDS = [name for name, row in CORE.items() if row[2] == "f" and row[1] == 1]


@settings(max_examples=60)
@given(field=st.sampled_from(FLOAT_FIELDS), part=st.floats(0, 1, width=32))
def test_any_value_in_range_survives(field: str, part: float) -> None:
    low, high = CORE[field][3:]
    value = struct.unpack("<f", struct.pack("<f", low + (high - low) * part))[0]
    value = min(max(value, low), high)
    data = msgspec.to_builtins(Level())
    level._put(data, level.PATHS[field], value)
    packed = level.parse(data).pack()
    assert struct.unpack_from("<f", packed, CORE[field][0])[0] == pytest.approx(value, rel=1e-6)
    assert level.unpack(packed).pack() == packed
