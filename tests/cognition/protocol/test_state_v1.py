"""A state in version 1's words: what it says is taken, and nothing else is made up."""

from __future__ import annotations

import numpy as np
import pytest

from metabonk.cognition.protocol import state_v1
from metabonk.records import GAME_STATE, Entity, FieldGroup, GameState


@pytest.mark.parametrize(
    ("words", "health", "most"),
    [
        ({"health": 0.25}, 0.25, 1.0),
        ({"health": 25}, 25.0, 100.0),
        ({"health": 25, "max_health": 50}, 25.0, 50.0),
        ({"health": -3.0}, 0.0, 1.0),
        ({"health": True}, 0.0, 0.0),
        ({"health": "low"}, 0.0, 0.0),
        ({"health": float("nan")}, 0.0, 0.0),
        ({"health": 1e300}, 0.0, 0.0),
        ({}, 0.0, 0.0),
    ],
)
def test_health_in_v1s_words(words: dict, health: float, most: float) -> None:
    found = state_v1.read(words).state
    assert (found.health, found.max_health) == (health, most)
    assert bool(found.fields & FieldGroup.PLAYER) == bool(most)


def test_places_in_v1s_words() -> None:
    said = state_v1.read({"position": [1, 2.5], "velocity": [0, 1, 2], "level": 70_000})
    found = said.state
    assert said.placed
    assert found.position == (1.0, 2.5, 0.0)
    assert found.velocity == (0.0, 1.0, 2.0)
    assert found.level == 65_535
    assert found.pack()
    for bad in ([1], [1, "2"], [1, None], "12", [1, 2, 3, 4], {"x": 1}):
        none = state_v1.read({"position": bad})
        assert none.state.position == (0.0, 0.0, 0.0)
        assert not none.state.fields & FieldGroup.PLAYER
        assert not none.placed
    assert not state_v1.read({"position": [0.0, 0.0]}).placed, "version 1's word for nowhere"


def test_health_that_was_in_points_once_is_in_points_at_one() -> None:
    """Else who counts in points would be whole again at the last of them."""
    whole = state_v1.read({"health": 64.0})
    assert whole.points
    last = state_v1.read({"health": 1.0}, whole.points)
    assert (last.state.health, last.state.max_health, last.points) == (1.0, 100.0, True)
    share = state_v1.read({"health": 1.0})
    assert (share.state.max_health, share.points) == (1.0, False), "the control"
    assert not state_v1.read({"health": 64.0, "max_health": 80.0}).points


@pytest.mark.parametrize(
    ("said", "crowd"),
    [(4, 4), (0, 0), (-3, 0), (2.9, 2), (70_000, 65_535), ("many", 0), (True, 0), (1e300, 0)],
)
def test_enemies_are_counted_and_nowhere(said: object, crowd: int) -> None:
    found = state_v1.read({"enemies_nearby": said})
    assert found.crowd == crowd
    assert found.state.entities == []
    assert not found.state.fields & FieldGroup.ENTITIES


def test_only_what_is_near_is_said_to_be() -> None:
    """Version 1's agents count the enemies around them, not all that there are."""
    places = [(9.0, 0.0), (0.0, -9.0), (30.0, 0.0), (float("nan"), 0.0)]
    state = GameState(
        fields=FieldGroup.EVERYTHING, position=(1.0, 0.0, 0.0), health=30.0, max_health=120.0,
        level=4, entities=[Entity(id=i, position=(*at, 0.0)) for i, at in enumerate(places, 1)],
    )  # fmt: skip
    words = state_v1.spell(np.frombuffer(state.pack(), GAME_STATE)[0])
    assert words == {"health": 0.25, "position": [1.0, 0.0], "enemies_nearby": 2, "level": 4}
    bare = GameState(entities=state.entities, level=4)
    for fields, left in (
        (FieldGroup(0), set()),
        (FieldGroup.ENTITIES, set()),
        (FieldGroup.PLAYER, {"position"}),
        (FieldGroup.PROGRESS, {"level"}),
    ):
        bare.fields = fields
        assert set(state_v1.spell(np.frombuffer(bare.pack(), GAME_STATE)[0])) == left
    again = state_v1.read(words)
    assert (again.crowd, again.state.health, again.state.level) == (2, 0.25, 4)
