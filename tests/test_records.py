"""The records' numpy mirrors against the C structs, and their round trips."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from metabonk import _core, records, transports
from metabonk.errors import CorruptError
from metabonk.records import (
    ACTION_LAYOUT,
    Action,
    Entity,
    EntityFlag,
    FieldGroup,
    GameState,
    Offer,
    OfferKind,
    Pickup,
    PickupKind,
    Slot,
    StatChange,
    Widget,
)

DTYPES = {
    "GameState": records.GAME_STATE,
    "Action": records.ACTION,
    "Entity": records.ENTITY,
    "Pickup": records.PICKUP,
    "Widget": records.WIDGET,
    "StatChange": records.STAT_CHANGE,
    "Offer": records.OFFER,
    "Slot": records.SLOT,
}


@pytest.mark.parametrize("name", DTYPES)
def test_layout_equals_the_core(name):
    size, fields = _core.records.layout()[name]
    dtype = DTYPES[name]
    assert dtype.itemsize == size
    mirrored = {
        key: (offset, sub.itemsize)
        for key, (sub, offset, *_) in dtype.fields.items()
        if key != "reserved"
    }
    assert mirrored == fields


def full_state() -> GameState:
    return GameState(
        fields=FieldGroup.EVERYTHING,
        dt=0.25,
        time=12.5,
        run_seed=2**64 - 1,
        position=(1.0, 2.0, 3.0),
        velocity=(-4.0, 5.0, 6.0),
        yaw=0.5,
        health=75.0,
        max_health=100.0,
        shield=5.0,
        xp=3.0,
        xp_next=10.0,
        gold=40.0,
        score=123.0,
        kills=17,
        level=4,
        grounded=True,
        playing=True,
        paused=True,
        tier=2,
        character=3,
        weapons=[Slot(i + 1, 2 * i) for i in range(8)],
        tomes=[Slot(8 - i, i) for i in range(8)],
        menu="Level up",
        entities=[
            Entity(7, 3, EntityFlag.ELITE, (1.0, 2.0, 0.5), (0.5, 0.0, 0.0), 10.0, 20.0),
            Entity(9, 14, EntityFlag.BOSS, (8.0, -2.0, 0.5), (0.0, -1.0, 0.0), 500.0, 900.0),
        ],
        pickups=[Pickup(1, PickupKind.SHRINE, (2.0, 2.0, 2.0), 0.5)],
        widgets=[Widget(0.25, 0.5, 0.75, 0.625, True, 1, "Sword"), Widget(enabled=False)],
        offers=[Offer(OfferKind.TOME, 4, 2, 3, [StatChange(5, True, 0.25), StatChange(2)], "Tome")],
    )


def test_state_round_trips():
    state = full_state()
    packed = state.pack()
    assert len(packed) == records.GAME_STATE.itemsize
    assert GameState.unpack(packed) == state
    assert GameState.unpack(packed).pack() == packed
    row = np.frombuffer(packed, np.uint8)
    assert GameState.unpack(row) == state
    assert GameState.unpack(GameState().pack()) == GameState()


def test_every_field_is_packed():
    """A field that `pack` forgot would leave the bytes as they are."""
    blank, full = GameState(), full_state()
    for field in dataclasses.fields(GameState):
        changed = dataclasses.replace(blank, **{field.name: getattr(full, field.name)})
        assert changed.pack() != blank.pack(), field.name


def test_texts_and_lists_are_cut_to_their_room():
    state = GameState(
        menu="ä" * 40, entities=[Entity(i) for i in range(300)], widgets=[Widget()] * 40
    )
    back = GameState.unpack(state.pack())
    assert back.menu == "ä" * 23  # 46 bytes: half a letter more would be 47
    assert [e.id for e in back.entities] == list(range(256))
    assert len(back.widgets) == 32


def test_wrong_bytes_are_refused():
    packed = GameState().pack()
    with pytest.raises(CorruptError, match="16376"):
        GameState.unpack(packed[:-1])
    record = np.frombuffer(bytearray(packed), records.GAME_STATE)
    record["entity_count"] = 257
    with pytest.raises(CorruptError, match=r"entity_count: 257, at most 256"):
        GameState.unpack(record[0])


def test_action_rows():
    action = Action((0.5, -1.0), (0.25, 0.0), jump=True, fire=True, choice=3, click=(0.5, 0.75))
    row = action.row()
    assert row.dtype == np.float32
    assert row.shape == (records.ACTION_COLUMNS,) == (12,)
    assert Action.from_row(row) == action
    assert Action.from_row(Action().row()) == Action()
    for choice, read in ((2.5, 3), (0.4, 0), (-3.0, 0), (1e9, 32), (np.nan, 0)):  # as the arena
        row[9] = choice
        assert Action.from_row(row).choice == read
    row = action.row()
    packed = row.view(records.ACTION)[0]
    assert packed["fire"] == 1.0
    assert packed["choice"] == 3.0
    assert packed["click"].tolist() == [0.5, 0.75]


def test_the_action_space_is_the_row():
    assert ACTION_LAYOUT.columns == records.ACTION_COLUMNS
    for branch in ACTION_LAYOUT.branches:
        dtype, offset = records.ACTION.fields[branch.name][:2]
        assert branch.column * 4 == offset
        assert branch.width * 4 == dtype.itemsize
    masks = {b.name: b.mask for b in ACTION_LAYOUT.branches if b.mask}
    assert masks == {
        "jump": (0, 2),
        "slide": (2, 4),
        "interact": (4, 6),
        "fire": (6, 8),
        "ability": (8, 10),
        "choice": (10, 43),
    }
    sample = records.ACTION_SPACE.sample()
    row = ACTION_LAYOUT.encode(sample)
    assert row[records.ACTION.fields["choice"][1] // 4] == sample["choice"]


def leaf_fields(dtype, prefix=""):
    for name in dtype.names:
        if name == "reserved" or name.endswith("_count"):
            continue
        sub = dtype[name].base
        if sub.names:
            yield from leaf_fields(sub, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_transports_cover_every_field():
    assert set(transports.STATE_FIELDS) == set(leaf_fields(records.GAME_STATE))
    assert set(transports.ACTION_FIELDS) == set(leaf_fields(records.ACTION))


@pytest.mark.parametrize("transport", transports.TRANSPORTS)
def test_masks_say_what_a_transport_carries(transport):
    mask = transports.CARRIES[transport]
    seen = FieldGroup(0)
    for name, row in transports.STATE_FIELDS.items():
        if row.group is not None:
            assert (row.on(transport) is not None) == bool(mask & row.group), name
            seen |= row.group
    assert seen == FieldGroup.EVERYTHING
