"""BonkLink's codec against plain Python, golden vectors, and bytes that nobody meant to send."""

from __future__ import annotations

import contextlib
import math
import struct

import numpy as np
import plain_bonklink as plain
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from metabonk import transports
from metabonk.errors import CorruptError
from metabonk.link import wire
from metabonk.link.clock import ClockRelation
from metabonk.records import (
    GAME_STATE,
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
from metabonk.transports import CARRIES

GOLDEN_STATE = bytes.fromhex(
    "0000803f0000004000004040000080400000a0400000c040000096420000c842000048410100000000000847616d"
    "65706c617900000000"
)


def full_state() -> GameState:
    return GameState(
        FieldGroup.EVERYTHING, 0.25, 12.3456789, 2**64 - 1, (1.0, 2.0, 3.0), (-4.0, 5.0, 6.0), 0.5,
        75.0, 100.0, 5.0, 3.0, 10.0, 40.0, 123.0, 17, 4, True, True, True, 2, 3,
        [Slot(i + 1, 2 * i) for i in range(8)], [Slot(8 - i, i) for i in range(8)], "Level üp",
        [
            Entity(7, 3, EntityFlag.ELITE, (1.0, 2.0, 0.5), (0.5, 0.0, 0.0), 10.0, 20.0),
            Entity(9, 14, EntityFlag.BOSS, (8.0, -2.0, 0.5), (0.0, -1.0, 0.0), 500.0, 900.0),
        ],
        [Pickup(1, PickupKind.SHRINE, (2.0, 2.0, 2.0), 0.5)],
        [Widget(0.25, 0.5, 0.75, 0.625, True, 1, "Sword"), Widget(enabled=False)],
        [Offer(OfferKind.TOME, 4, 2, 3, [StatChange(5, True, 0.25), StatChange(2)], "Tome")],
    )  # fmt: skip


def unpack(data: bytes) -> GameState:
    return GameState.unpack(wire.decode_state(data)[0])


def test_golden_state():
    state = unpack(GOLDEN_STATE)
    assert state.position == (1.0, 2.0, 3.0)
    assert state.velocity == (4.0, 5.0, 6.0)
    assert (state.health, state.max_health, state.time) == (75.0, 100.0, 12.5)
    assert (state.playing, state.paused, state.menu) == (True, False, "Gameplay")
    assert state.entities == state.offers == []
    assert state.fields == CARRIES["bonklink_v1"]
    assert wire.encode_state(state, wire.Trailers()) == GOLDEN_STATE


def test_golden_actions():
    first = bytes.fromhex("0000003f000080bf000000000000000001000000")
    second = bytes.fromhex("0000003f000080bf000000000000000000000101a00000005a000000")
    action = Action(move=(0.5, -1.0), fire=True)
    assert wire.encode_action(action, version=1) == first
    click = (160.5 / 320, 1 - 90.5 / 180)
    action = Action(move=(0.5, -1.0), interact=True, click=click)
    assert wire.encode_action(action, version=1, capture=(320, 180)) == second
    row, answers = wire.decode_action(second, version=1, capture=(320, 180))
    back = Action.from_row(row)
    assert answers == 0
    assert back.interact
    assert not back.fire
    assert back.click == pytest.approx(click)
    assert plain.action((0.5, -1.0), (0.0, 0.0), (1, 0, 0)) == struct.pack("<i", 20) + first


def test_a_v2_state_is_equal_bit_for_bit():
    state = full_state()
    step = wire.StepResult(1.5, True, False, True, 9, 2, 11.25)
    snapshot = wire.InputSnapshot((0.5, -1.0), (0.0, 1.0), True, False, True, False, (0.25, 0.5))
    announced = wire.Announcement(2, 2, wire.Capability.JPEG | wire.Capability.STEP)
    data = wire.encode_state(state, wire.Trailers(snapshot, announced, step, True))
    packed, trailers = wire.decode_state(data)
    assert packed.tobytes() == state.pack()
    assert trailers == wire.Trailers(snapshot, announced, step, True)
    assert wire.decode_state(wire.encode_state(state, wire.Trailers()))[0].tobytes() != state.pack()


def test_the_tables_of_the_description_are_what_is_written():
    state = full_state()
    found = plain.read_state(wire.encode_state(state))
    assert found.position == state.position
    assert found.enemies == [(*e.position, e.health) for e in state.entities]
    assert found.menu == state.menu
    assert found.options == ["Tome"]
    version, payload = found.trailers[b"MBX2"]
    extra = plain.read_extra(payload)
    assert version == 1
    for name in ("fields", "run_seed", "time", "dt", "yaw", "shield", "xp", "xp_next", "gold",
                 "score", "kills", "level", "grounded", "tier", "character"):  # fmt: skip
        assert extra[name] == getattr(state, name), name
    assert extra["weapons"] == [(s.kind, s.level) for s in state.weapons]
    assert extra["tomes"] == [(s.kind, s.level) for s in state.tomes]
    assert extra["enemies"] == [
        (e.id, e.kind, e.flags, 0, *e.velocity, e.max_health) for e in state.entities
    ]
    assert extra["pickups"] == [(1, PickupKind.SHRINE, 0, 0, 0, 2.0, 2.0, 2.0, 0.5)]
    text = b"Sword".ljust(48, b"\0")
    assert extra["widgets"][0] == (0.25, 0.5, 0.75, 0.625, 1, 1, 0, text)
    offer = extra["offers"][0]
    assert offer[:8] == (OfferKind.TOME, 4, 2, 3, 2, 0, 0, 0)
    assert offer[8:16] == (5, 1, 0, 0.25, 2, 0, 0, 0.0)
    assert offer[-1] == b"Tome".ljust(48, b"\0")


def changed(record: np.ndarray, path: str) -> np.ndarray:
    """The record with another value in one field; in the first thing of a list."""
    copy = record.copy()
    *parents, leaf = path.split(".")
    at = copy
    for name in parents:
        at = at[name][0]
    old = at[leaf]
    if isinstance(old, bytes):
        at[leaf] = b"other"
    elif old.ndim:
        at[leaf][0] += 1
    else:
        at[leaf] = old ^ 1 if np.issubdtype(old.dtype, np.integer) else old + 1
    return copy


@pytest.mark.parametrize("field", transports.STATE_FIELDS)
def test_the_table_of_transports_says_what_is_on_the_wire(field):
    record = np.frombuffer(full_state().pack(), GAME_STATE).copy()[0]
    if field.startswith("entities.position"):
        record["entities"][0]["position"][:] = 1.0
    other = changed(record, field)
    row = transports.STATE_FIELDS[field]
    for extra, transport in ((False, "bonklink_v1"), (True, "bonklink_v2")):
        here, there = (
            wire.encode_state(np.frombuffer(r.tobytes(), np.uint8), wire.Trailers(extra=extra))
            for r in (record, other)
        )
        on = row.on(transport) or ""
        # What a reader works out for itself is not sent.
        sent = bool(on) and not on.startswith(("difference", "matched", "the mask of v1"))
        assert (here != there) == sent, transport


floats = st.floats(width=32)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)


@settings(max_examples=150)
@given(
    st.builds(
        plain.Plain,
        position=st.tuples(floats, floats, floats),
        velocity=st.tuples(floats, floats, floats),
        health=floats,
        max_health=floats,
        time=floats,
        playing=st.booleans(),
        paused=st.booleans(),
        enemies=st.lists(st.tuples(floats, floats, floats, floats), max_size=300),
        menu=texts,
        options=st.lists(texts, max_size=12),
        input=st.none() | st.tuples(*[floats] * 4, *[st.integers(0, 1)] * 4, floats, floats),
        trailers=st.dictionaries(
            st.sampled_from([b"ABCD", b"MBX3", b"HINQ"]),
            st.tuples(st.integers(-5, 5), st.binary(max_size=40)),
        ),
    )
)
def test_any_v1_state_is_read_as_it_was_meant(told):
    packed, trailers = wire.decode_state(plain.write_state(told))
    state = np.frombuffer(packed, GAME_STATE)[0]

    def same(a, b):
        return np.array_equal(np.array(a, np.float32), np.array(b, np.float32), equal_nan=True)

    assert same(state["position"], told.position)
    assert same(state["velocity"], told.velocity)
    assert same([state["health"], state["max_health"]], [told.health, told.max_health])
    assert same(state["time"], told.time)
    assert (bool(state["playing"]), bool(state["paused"])) == (told.playing, told.paused)
    kept = told.enemies[:256]
    assert state["entity_count"] == len(kept)
    for enemy, entity in zip(kept, state["entities"], strict=False):
        assert same([*entity["position"], entity["health"]], enemy)
    cut = told.menu.encode()[:47].decode("utf-8", "ignore") or "None"
    assert bytes(state["menu"]).decode() == cut
    options = [t.encode()[:47].decode("utf-8", "ignore") for t in told.options[:8]]
    offers = state["offers"][: int(state["offer_count"])]
    assert [bytes(o["text"]).decode() for o in offers] == options
    assert (trailers.input is None) == (told.input is None)
    if told.input is not None and trailers.input is not None:
        assert same([*trailers.input.move, *trailers.input.look], told.input[:4])
        assert trailers.input[2:6] == tuple(bool(b) for b in told.input[4:8])


@settings(max_examples=400)
@given(st.binary(max_size=400), st.sampled_from(["ours", "unity"]))
def test_any_bytes_are_a_state_or_an_error(data, axes):
    with contextlib.suppress(CorruptError):
        GameState.unpack(wire.decode_state(data, axes=axes)[0])


@settings(max_examples=300)
@given(st.data())
def test_damaged_states_are_read_or_refused(data):
    whole = bytearray(wire.encode_state(full_state()))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    with contextlib.suppress(CorruptError):
        GameState.unpack(wire.decode_state(bytes(whole[:cut]))[0])


def test_raw_frames_come_upright():
    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    data = plain.raw_frame(5, 4, 3, pixels[::-1].tobytes())
    assert np.array_equal(wire.decode_frame(data, version=1).pixels(), pixels)
    assert wire.encode_frame(pixels, version=1) == data
    for order in (False, True):
        stored = np.ascontiguousarray(pixels[::-1]) if order else pixels
        v2 = wire.encode_frame(stored, version=2, bottom_up=order)
        assert v2[:2] == bytes([1, order])
        assert np.array_equal(wire.decode_frame(v2).pixels(), pixels)
    alpha = np.dstack([pixels, np.full((4, 5), 255, np.uint8)])
    assert np.array_equal(wire.decode_frame(wire.encode_frame(alpha)).pixels(), pixels)
    data = plain.raw_frame(5, 4, 4, alpha[::-1].tobytes())
    assert np.array_equal(wire.decode_frame(data, version=1).pixels(), pixels)


def test_jpegs_are_decoded_and_bombs_are_not():
    pixels = np.full((48, 64, 3), 100, np.uint8)
    jpeg = simplejpeg.encode_jpeg(pixels)
    for version in (1, 2):
        picture = wire.decode_frame(wire.encode_frame(jpeg, version=version), version=version)
        assert (picture.width, picture.height) == (64, 48)
        assert picture.data == jpeg
        assert np.abs(picture.pixels().astype(int) - 100).max() <= 2
    at = jpeg.index(b"\xff\xc0") + 5
    bomb = jpeg[:at] + struct.pack(">HH", 65535, 65535) + jpeg[at + 4 :]
    with pytest.raises(CorruptError, match="too large"):
        wire.decode_frame(bomb, version=1)
    with pytest.raises(CorruptError):
        wire.decode_jpeg(bomb)
    with pytest.raises(CorruptError):
        wire.decode_jpeg(jpeg[:50])


@pytest.mark.parametrize(
    "data",
    [b"", b"MBRF", plain.raw_frame(2, 2, 2, bytes(8)), plain.raw_frame(2, 2, 3, bytes(11)),
     plain.raw_frame(-2, -2, 3, bytes(12)), plain.raw_frame(2**30, 2**30, 4, b""), b"\xff\xd8\xff"],
)  # fmt: skip
def test_frames_that_lie_are_refused(data):
    with pytest.raises(CorruptError):
        wire.decode_frame(data, version=1)


def test_actions_of_v2_are_whole():
    action = Action((0.5, -1.0), (0.25, 0.0), True, True, True, True, True, 3, (0.5, 0.75))
    data = wire.encode_action(action, answers=7)
    assert data == struct.pack("<Q", 7) + action.row().tobytes()
    row, answers = wire.decode_action(data)
    assert (Action.from_row(row), answers) == (action, 7)
    with pytest.raises(CorruptError, match="56 bytes"):
        wire.decode_action(data[:-1])


def test_hellos_are_those_of_the_description():
    told = wire.Hello(machine=7, token="secret", ring="r", name="ä")
    assert wire.encode_hello(told) == plain.hello(0x3FF, "secret", "r", "ä", machine=7)
    assert wire.decode_hello(wire.encode_hello(told)) == told
    assert wire.decode_hello(plain.hello(0xFFFF_FFFF)).capabilities == ~wire.Capability(0)
    with pytest.raises(ValueError, match="255"):
        wire.encode_hello(wire.Hello(token="x" * 256))
    with pytest.raises(CorruptError, match="HELLO"):
        wire.decode_hello(plain.hello(name="x" * 256))


def test_a_choice_is_a_click_in_v1():
    state = full_state()
    data = wire.encode_action(Action(choice=1), version=1, state=state, capture=(100, 50))
    row, _ = wire.decode_action(data, version=1, capture=(100, 50))
    assert row[10:12] == pytest.approx((0.505, 0.57))
    blind = wire.encode_action(Action(choice=2), version=1, state=state, capture=(100, 50))
    assert len(blind) == 20  # a widget that is not enabled


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="axes"):
        wire.encode_state(GameState(), axes="north")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="16376"):
        wire.encode_state(np.zeros(5, np.uint8))
    with pytest.raises(ValueError, match="float32"):
        wire.encode_action(np.zeros(5, np.float32))
    with pytest.raises(TypeError, match="frame"):
        wire.encode_frame(np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match="protocol"):
        wire.Decoder("game", "v3")  # type: ignore[arg-type]


def test_states_in_unitys_axes():
    state = full_state()
    data = wire.encode_state(state, wire.Trailers(), axes="unity")
    assert plain.read_state(data).position == (1.0, 3.0, 2.0)
    assert GameState.unpack(wire.decode_state(data, axes="unity")[0]).position == state.position


@settings(max_examples=100)
@given(
    st.integers(-(10**15), 10**15),
    st.lists(st.tuples(*[st.integers(0, 50_000_000)] * 3), min_size=1, max_size=40),
)
def test_the_clock_is_never_wronger_than_it_says(offset, delays):
    clock, now = ClockRelation(), 10**16
    assert not clock.read(now).known
    assert clock.read(now).to_ours(5) is None
    for there, work, back in delays:
        arrived = now + there
        left = arrived + work
        assert clock.add(now, arrived + offset, left + offset, left + back)
        now = left + back
        reading = clock.read(now)
        assert abs(reading.offset - offset) <= reading.uncertainty
        assert abs((reading.to_ours(now + offset) or 0) - now) <= reading.uncertainty
        now += 1_000_000
    least = min(there + back for there, _, back in delays[-16:])
    aged = 16 * 151_000_000 * 1e-4
    assert clock.read(now).uncertainty <= math.ceil(least / 2 + aged) + 2
