"""What the journal keeps of a state: everything that is near, in a kilobyte."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from peers import crowd

from metabonk.cognition import situation
from metabonk.errors import CorruptError
from metabonk.records import GAME_STATE, Entity, FieldGroup, GameState, Pickup


def test_what_is_near_is_kept_and_all_the_rest_exactly() -> None:
    state = crowd()
    kept = GameState.unpack(situation.expand(situation.shrink(state.pack())))

    def away(thing: Entity | Pickup) -> float:
        return float(np.hypot(thing.position[0] - 3.0, thing.position[1] + 4.0))

    for name, most in situation.KEEP.items():
        near = sorted(getattr(state, name), key=away)[:most]
        assert {t.id for t in getattr(kept, name)} == {t.id for t in near}
        assert getattr(kept, name) == [t for t in getattr(state, name) if t in near], "their order"
    for name in ("time", "health", "position", "kills", "level", "menu", "widgets", "offers"):
        assert getattr(kept, name) == getattr(state, name), name


def test_a_small_state_is_kept_whole() -> None:
    state = crowd(entities=5, pickups=2)
    assert GameState.unpack(situation.expand(situation.shrink(state.pack()))) == state


def test_the_fullest_state_takes_little() -> None:
    sizes = [len(situation.shrink(crowd(seed).pack())) for seed in range(10)]
    assert max(sizes) <= 1200, sizes
    assert len(zlib.compress(crowd().pack(), 6)) > 4000, "without leaving anything out"


def test_nothing_is_kept_as_nothing() -> None:
    assert situation.shrink(b"") == b""
    assert situation.expand(b"") == b""


@pytest.mark.parametrize(
    "bad",
    [
        b"garbage",
        zlib.compress(b"short"),
        zlib.compress(bytes(400)),
        zlib.compress(b"\xff" * 400),
        zlib.compress(bytes(GAME_STATE.itemsize + 1)),
        zlib.compress(bytes(200_000_000)),  # two hundred kilobytes that unfold to a thousand times
        situation.shrink(GameState().pack())[:-3],
    ],
    ids=["garbage", "short", "more", "counts", "long", "bomb", "cut off"],
)
def test_what_is_no_kept_state_is_refused(bad: bytes) -> None:
    with pytest.raises(CorruptError, match="state"):
        situation.expand(bad)
    with pytest.raises(CorruptError, match="state"):
        situation.shrink(b"x")


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
    found = situation.from_words(words)
    assert (found.health, found.max_health) == (health, most)
    assert bool(found.fields & FieldGroup.PLAYER) == bool(most)


def test_places_in_v1s_words() -> None:
    found = situation.from_words({"position": [1, 2.5], "velocity": [0, 1, 2], "level": 70_000})
    assert found.position == (1.0, 2.5, 0.0)
    assert found.velocity == (0.0, 1.0, 2.0)
    assert found.level == 65_535
    assert found.pack()
    for bad in ([1], [1, "2"], [1, None], "12", [1, 2, 3, 4], {"x": 1}):
        none = situation.from_words({"position": bad})
        assert none.position == (0.0, 0.0, 0.0)
        assert not none.fields & FieldGroup.PLAYER
