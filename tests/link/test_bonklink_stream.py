"""BonkLink's bytes into messages: however they are cut, whatever they promise."""

from __future__ import annotations

import io
import struct

import plain_bonklink as plain
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metabonk.errors import CorruptError
from metabonk.link import wire

STATE = plain.write_state(plain.Plain(menu="Gameplay"))


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=80), st.binary(max_size=80)), max_size=8),
    st.lists(st.integers(1, 90), min_size=1, max_size=20),
)
def test_ticks_are_the_same_however_they_are_cut(ticks, pieces):
    stream = b"".join(plain.tick(state, frame) for state, frame in ticks)
    decoder, got, source = wire.Decoder("game"), [], io.BytesIO(stream)
    for size in [*pieces, len(stream) + 1]:
        got += decoder.feed(source.read(size))
    expected = []
    for number, (state, frame) in enumerate(ticks, 1):
        if frame:
            expected.append((wire.MessageType.FRAME, number, frame))
        expected.append((wire.MessageType.STATE, number, state))
    assert [(m.type, m.sequence, m.payload) for m in got] == expected
    assert decoder.buffered == 0


@settings(max_examples=300)
@given(
    st.sampled_from(["game", "agent"]), st.sampled_from(["v1", "v2", "auto"]),
    st.lists(st.binary(max_size=60), max_size=6), st.booleans(),
)  # fmt: skip
def test_any_stream_is_messages_or_an_error(sender, protocol, pieces, v2):
    decoder = wire.Decoder(sender, protocol, state_bytes=500, frame_bytes=1000)
    if v2:
        pieces = [plain.message(3 if sender == "game" else 5, b"".join(pieces)), *pieces]
    try:
        for piece in pieces:
            for message in decoder.feed(piece):
                assert len(message.payload) <= 1023
    except CorruptError:
        with pytest.raises(CorruptError):  # for good
            decoder.feed(b"")
    held, most = decoder.memory
    assert held <= most


def test_a_stream_changes_to_v2_and_never_back():
    decoder = wire.Decoder("game")
    (first,) = decoder.feed(plain.tick(STATE))
    assert (first.version, decoder.version) == (1, 1)
    (second,) = decoder.feed(plain.message(3, STATE, 7, 99))
    assert second == wire.Message(wire.MessageType.STATE, 2, 7, 99, STATE)
    assert wire.encode_message(wire.MessageType.STATE, STATE, sequence=7, time_ns=99) == (
        plain.message(3, STATE, 7, 99)
    )
    assert decoder.feed(plain.message(200, b"from the future")) == []
    assert decoder.unknown == 1
    with pytest.raises(CorruptError, match="magic"):
        decoder.feed(plain.tick(STATE))
    decoder.reset()
    assert decoder.feed(plain.tick(STATE))


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (struct.pack("<i", 0), "state length"),
        (struct.pack("<i", -1), "state length"),
        (struct.pack("<i", 262145), "state length"),
        (struct.pack("<i", 1) + b"x" + struct.pack("<i", -1), "frame length"),
        (struct.pack("<i", 1) + b"x" + struct.pack("<i", 4194305), "frame length"),
    ],
)
def test_lengths_outside_the_limits_are_protocol_errors(data, field):
    with pytest.raises(CorruptError, match=field):
        wire.Decoder("game").feed(data)


def test_limits_are_settings():
    frame = plain.raw_frame(1920, 1080, 3, bytes(1920 * 1080 * 3))
    with pytest.raises(CorruptError, match="frame length"):
        wire.Decoder("game").feed(plain.tick(STATE, frame))
    wide = wire.Decoder("game", frame_bytes=7 << 20)
    types = [m.type for m in wide.feed(plain.tick(STATE, frame))]
    assert types == [wire.MessageType.FRAME, wire.MessageType.STATE]


def test_a_promised_length_costs_no_memory():
    decoder = wire.Decoder("game", frame_bytes=256 << 20)
    decoder.feed(struct.pack("<i", 1) + b"x" + struct.pack("<i", 256 << 20) + bytes(100_000))
    assert decoder.memory[0] < 1 << 20


def test_the_newest_state_alone():
    stream = b"".join(plain.tick(bytes([i]) * 500, b"f" * 10) for i in range(200))
    assert wire.Decoder("game").newest_state(stream) == (200, bytes([199]) * 500)
    assert wire.Decoder("game").newest_state(b"\1") == (0, None)
