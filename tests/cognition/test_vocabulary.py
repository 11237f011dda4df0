"""cognition/vocabulary.py: what is within the vocabulary, how it is spelled, what is refused."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import msgspec
import pytest

from metabonk.cognition.vocabulary import (
    SAFE,
    SECONDS,
    TARGETS,
    Compass,
    Directive,
    Entity,
    Hold,
    Pickup,
    Priority,
    Target,
    Verb,
    Widget,
    read,
    read_target,
    schema,
    spell,
    spell_target,
)
from metabonk.errors import ConfigError, CorruptError

EXAMPLES: tuple[Target, ...] = (
    Entity(0), Entity(2**32 - 1), Pickup(17), Compass(0), Compass(15), Widget(1), Widget(32),
    Hold(),
)  # fmt: skip


def every() -> list[Directive]:
    return [
        Directive(verb, target, seconds, priority)
        for verb in Verb
        for target in EXAMPLES
        if isinstance(target, TARGETS[verb])
        for seconds in SECONDS
        for priority in Priority
    ]


def test_whatever_is_spelled_is_read_as_what_it_was() -> None:
    for directive in every():
        assert read(json.loads(json.dumps(spell(directive)))) == directive
        assert read(msgspec.to_builtins(directive)) == directive
        packed = msgspec.msgpack.encode(directive)
        assert msgspec.msgpack.decode(packed, type=Directive) == directive
        assert len(packed) < 100


def test_the_schema_is_the_vocabulary() -> None:
    """What the schema allows is read, and what is spelled is allowed by it."""
    properties = schema()["properties"]
    assert properties["action"]["enum"] == [verb.value for verb in Verb]
    pattern = re.compile(properties["target"]["pattern"])
    for directive in every():
        spelled = spell(directive)
        assert set(spelled) == set(properties) == set(schema()["required"])
        assert pattern.match(spelled["target"])
        assert spelled["seconds"] in properties["seconds"]["enum"]
        assert spelled["priority"] in properties["priority"]["enum"]
    named = schema([Compass(3), Hold()])["properties"]["target"]
    assert named == {"type": "string", "enum": ["compass:3", "hold"]}


@pytest.mark.parametrize("verb", list(Verb))
def test_an_action_takes_its_targets_and_no_others(verb: Verb) -> None:
    taken = {type(t) for t in EXAMPLES if isinstance(t, TARGETS[verb])}
    assert taken == set(TARGETS[verb])
    for target in EXAMPLES:
        if not isinstance(target, TARGETS[verb]):
            with pytest.raises(ConfigError, match=rf"target: .*{verb.value} takes"):
                Directive(verb, target)


BAD: list[tuple[Any, str]] = [
    (3, "directive: 3"),
    (None, "directive: None"),
    ([], "directive: list"),
    ({}, "action: None"),
    ({"action": "fly"}, "action: 'fly'; wanted one of move, attack"),
    ({"action": ["move"]}, "action: list"),
    ({"action": "move"}, "target: hold; move takes entity, pickup, compass"),
    ({"action": "move", "target": [0, 0]}, "target: list"),
    ({"action": "move", "target": "compass:16"}, "target.bin: 16; wanted 0 to 15"),
    ({"action": "move", "target": "compass:-1"}, "target: 'compass:-1'"),
    ({"action": "move", "target": "compass:\uff11"}, "target: "),
    ({"action": "move", "target": "compass:" + "1" * 10_000}, "target: 'compass:1"),
    ({"action": "move", "target": {"kind": "compass", "bin": 2.5}}, "target: dict"),
    ({"action": "move", "target": {"kind": ["compass"]}}, "target: dict"),
    ({"action": "move", "target": {"kind": "entity", "id": 2**40}}, "target.id"),
    ({"action": "click", "target": "widget:0"}, "target.choice: 0; wanted 1 to 32"),
    ({"action": "click", "target": "widget:33"}, "target.choice: 33"),
    ({"action": "hold", "target": "hold:1"}, "target: 'hold:1'"),
    ({"action": "hold", "seconds": 3}, "seconds: 3; wanted one of 0.5, 1, 2, 4"),
    ({"action": "hold", "seconds": True}, "seconds: True"),
    ({"action": "hold", "seconds": float("nan")}, "seconds: nan"),
    ({"action": "hold", "seconds": "2"}, "seconds: '2'"),
    ({"action": "hold", "seconds": 10**5000}, "seconds: int"),
    ({"action": "hold", "priority": 9}, "priority: 9"),
    ({"action": "hold", "priority": "urgent"}, "priority: 'urgent'; wanted one of low, normal"),
]


@pytest.mark.parametrize(("value", "message"), BAD)
def test_what_is_outside_is_refused_by_name(value: Any, message: str) -> None:
    with pytest.raises(CorruptError) as error:
        read(value)
    assert str(error.value).startswith(message)
    assert len(str(error.value)) < 200  # whatever was sent


def test_reasons_beside_a_directive_are_ignored_and_defaults_fill_in() -> None:
    assert read({"action": "retreat", "reasoning": "so many"}) == Directive(Verb.RETREAT)
    assert read({"action": "hold", "priority": 3}).priority is Priority.CRITICAL
    assert read(SAFE) is SAFE


def test_nothing_that_is_read_leaves_the_vocabulary() -> None:
    """Random values built from the vocabulary's own words: read or refused, and never anything
    else."""
    rng = random.Random(7)
    words: list[Any] = [
        "move", "attack", "click", "hold", "entity:3", "compass:99", "widget:2", "", None, -1, 0,
        2, 0.5, 1e300, float("inf"), [], {}, {"kind": "entity"}, {"kind": "entity", "id": -1},
        {"kind": "hold"}, "low", "critical", True,
    ]  # fmt: skip
    keys = ["action", "target", "seconds", "priority"]
    accepted = 0
    for _ in range(20_000):
        value = {key: rng.choice(words) for key in keys if rng.random() < 0.8}
        try:
            directive = read(value)
        except CorruptError:
            continue
        accepted += 1
        assert isinstance(directive.target, TARGETS[directive.action])
        assert directive.seconds in SECONDS
    assert accepted > 10


def test_targets_are_spelled_one_way() -> None:
    for target in EXAMPLES:
        assert read_target(spell_target(target)) == target
