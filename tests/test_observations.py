"""Observations of the core against a slow reference written from the documented meanings."""

from __future__ import annotations

import numpy as np
import pytest
from slow_observation import F, Reference, random_record, sincos

from metabonk import observations as ob
from metabonk import records
from metabonk.observations import OBSERVATION_FEATURES, OBSERVATION_SPACE
from metabonk.records import (
    GAME_STATE,
    EntityFlag,
    FieldGroup,
    GameState,
    Offer,
    OfferKind,
    StatChange,
    Widget,
)


@pytest.mark.parametrize("hostile", [False, True])
def test_equals_the_reference_bit_for_bit(hostile):
    rng = np.random.default_rng(7)
    for case in range(60):
        record = random_record(rng, hostile)
        with np.errstate(over="ignore", invalid="ignore"):
            expected = Reference(record).observe()
        got = ob.observe(record.tobytes())
        assert set(got) == set(expected) == set(OBSERVATION_SPACE.spaces)
        for key, array in got.items():
            want = np.asarray(expected[key], array.dtype)
            wrong = np.argwhere(array != want)
            assert not len(wrong), (
                case,
                key,
                wrong[:5],
                array[tuple(wrong[0])],
                want[tuple(wrong[0])],
            )
            assert OBSERVATION_SPACE[key].contains(array), (case, key)


def test_features_are_named_once():
    for key, names in OBSERVATION_FEATURES.items():
        assert len(set(names)) == len(names) == OBSERVATION_SPACE[key].shape[-1]


def test_sine_and_cosine_are_accurate():
    for angle in np.linspace(-20, 20, 2001, dtype=F):
        s, c = sincos(angle)
        assert abs(float(s) - np.sin(float(angle))) < 2e-7
        assert abs(float(c) - np.cos(float(angle))) < 2e-7


def test_the_camera_frame():
    """Facing north, an enemy to the east is to the right and one to the north is ahead."""
    state = GameState(fields=FieldGroup.EVERYTHING, playing=True, yaw=float(np.pi / 2))
    state.entities = [
        records.Entity(1, position=(8.0, 0.0, 0.0)),
        records.Entity(2, position=(0.0, 9.0, 0.0)),
    ]
    rows = ob.observe(state)["entities"]
    np.testing.assert_allclose(rows[0, :2], [0.5, 0.0], atol=1e-6)
    np.testing.assert_allclose(rows[1, :2], [0.0, 9 / 16], atol=1e-6)


def test_duplicate_ids_keep_their_order():
    state = GameState(fields=FieldGroup.EVERYTHING)
    state.entities = [records.Entity(5, kind=k, position=(1.0, 0.0, 0.0)) for k in range(40)]
    rows = ob.observe(state)["entities"]
    bits = [f"kind_bit_{b}" for b in range(4)]
    columns = [ob.ENTITY_FEATURES.index(b) for b in bits]
    kinds = (rows[:, columns] @ [1, 2, 4, 8]).astype(int)
    assert kinds.tolist() == [k % 16 for k in range(32)]


def test_menus_mask_buttons_and_widgets_open_choices():
    state = GameState(fields=FieldGroup.EVERYTHING, playing=True)
    mask = ob.observe(state)["action_mask"]
    assert mask[:10].all()
    assert mask[10:].tolist() == [1] + [0] * 32
    state.paused, state.menu = True, "Level up"
    state.widgets = [Widget(offer=1), Widget(enabled=False, offer=2), Widget()]
    state.offers = [
        Offer(OfferKind.WEAPON, 2, 3, 1, [StatChange(7, True, 1.0)]),
        Offer(OfferKind.TOME),
    ]
    seen = ob.observe(state)
    assert seen["action_mask"][:10].tolist() == [1, 0] * 5
    assert seen["action_mask"][10:].tolist() == [1, 1, 0, 1] + [0] * 29
    names = ob.OFFER_FEATURES
    first = dict(zip(names, seen["offers"][0].tolist(), strict=True))
    assert {k for k, v in first.items() if v} == {
        "is_weapon", "is_rare", "level", "is_new", "item_bit_0", "item_bit_1", "selectable",
        "choice", "change_count", "stat_7",
    }  # fmt: skip
    assert (first["choice"], first["stat_7"]) == (1 / 32, 0.5)
    second = dict(zip(names, seen["offers"][1].tolist(), strict=True))
    assert second["selectable"] == 0


def test_flags_of_the_core_are_ours():
    assert (EntityFlag.BOSS, EntityFlag.ELITE, EntityFlag.PROJECTILE) == (1, 2, 4)


def test_into_arrays_of_the_caller():
    rng = np.random.default_rng(3)
    states = np.array([random_record(rng) for _ in range(5)], GAME_STATE)
    out = {
        k: np.full((5, *s.shape), 7, s.dtype)
        for k, s in OBSERVATION_SPACE.spaces.items()
        if k != "pickups"
    }
    ob.observe_into(states, out)
    for i, state in enumerate(states):
        single = ob.observe(state.tobytes())
        for key, array in out.items():
            np.testing.assert_array_equal(array[i], single[key])


WIDE = len(ob.STATE_FEATURES)


def test_wrong_arrays_are_named():
    states = np.zeros(2, GAME_STATE)
    with pytest.raises(TypeError, match=r"observation\['state'\].*float32"):
        ob.observe_into(states, {"state": np.zeros((2, WIDE))})
    with pytest.raises(TypeError, match=r"observation\['state'\].*C-contiguous"):
        ob.observe_into(states, {"state": np.zeros((2, 2 * WIDE), F)[:, ::2]})
    with pytest.raises(ValueError, match=f"{WIDE} values for each of 2"):
        ob.observe_into(states, {"state": np.zeros((3, WIDE), F)})
    frozen = np.zeros((2, 64), F)
    frozen.flags.writeable = False
    with pytest.raises(TypeError, match="writable"):
        ob.observe_into(states, {"state": frozen})
    with pytest.raises(ValueError, match="packed GameState"):
        ob.observe_into(np.zeros((2, 100), np.uint8), {})
    buffer = np.zeros(2 * GAME_STATE.itemsize + 8, np.uint8)
    odd = buffer[1 : 1 + 2 * GAME_STATE.itemsize].reshape(2, -1)
    with pytest.raises(ValueError, match="aligned"):
        ob.observe_into(odd, {})
