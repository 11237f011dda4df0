"""Core's codec against the golden vectors, our own codec, itself in pieces, and mutations."""

from __future__ import annotations

import io
import random
import struct
import zlib

import numpy as np
import pytest
from csharp import Peer
from states import whole_state

from metabonk.link import wire
from metabonk.records import Action

STATE = bytes.fromhex(
    "0000803f0000004000004040000080400000a0400000c040000096420000c842000048410100000000000847616d65"
    "706c617900000000"
)
ACTION = bytes.fromhex("0000003f000080bf000000000000000001000000")
CLICK = bytes.fromhex("0000003f000080bf000000000000000000000101a00000005a000000")


def text(value: str) -> bytes:
    raw = value.encode()
    assert len(raw) < 128
    return bytes([len(raw)]) + raw


def input_trailer() -> bytes:
    return b"HINP" + struct.pack("<i4f4B2f", 1, 0.5, -0.5, 0.25, 0, 1, 0, 1, 0, 0.5, 0.75)


def trailer(tag: bytes, payload: bytes, version: int = 1) -> bytes:
    return tag + struct.pack("<ii", version, len(payload)) + payload


def extra(enemies: int = 0, pickups: int = 0, widgets: int = 0, offers: int = 0) -> bytes:
    """MBX2 from the document's table, every number another one."""
    fixed = struct.pack(
        "<IHHQdf6fIHBBB3x", 0xFFF, 96, 0, 2**63 + 5, 12.5, 0.015625, *range(1, 7), 9, 10, 1, 2, 3
    )
    fixed += bytes(range(32))
    rows = [struct.pack("<IBBH4f", i + 1, 3, 1, 0, 1, 2, 3, 40 + i) for i in range(enemies)]
    out = fixed + struct.pack("<HH", enemies, 24) + b"".join(rows)
    rows = [struct.pack("<IB3x4f", i, i % 7, 1, 2, 3, 0.5) for i in range(pickups)]
    out += struct.pack("<HH", pickups, 24) + b"".join(rows)
    rows = [
        struct.pack("<4fBB2x48s", 0, 0.25, 0.5, 1, 1, i % 9, f"Schaltfläche {i}".encode())
        for i in range(widgets)
    ]
    out += struct.pack("<HH", widgets, 68) + b"".join(rows)
    rows = [
        struct.pack("<5B3x", i % 4, 4, 5, 6, 4)
        + b"".join(struct.pack("<BBHf", 7, j % 2, 0, 0.5 * j) for j in range(4))
        + f"offer {i}".encode().ljust(48, b"\0")
        for i in range(offers)
    ]
    return out + struct.pack("<HH", offers, 88) + b"".join(rows)


def state(enemies: int, offers: int, *trailers: bytes) -> bytes:
    out = STATE[:38] + struct.pack("<i", enemies)
    out += b"".join(struct.pack("<4f", i, 2, 3, 10 + i) for i in range(enemies))
    out += text("LevelUp") + struct.pack("<i", offers)
    out += b"".join(text(f"offer {i}") for i in range(offers))
    return out + b"".join(trailers)


FULL = state(
    3,
    2,
    input_trailer(),
    trailer(b"BNK2", struct.pack("<HHI", 2, 2, 0x2BF)),
    trailer(b"STEP", struct.pack("<f4BQI", 1.5, 1, 0, 1, 0, 77, 4)),
    trailer(b"MBX2", extra(3, 5, 4, 2)),
)


def test_golden_vectors(peer: Peer) -> None:
    assert peer.transcode("state", [STATE]) == [STATE]
    assert peer.transcode("action1:640:360", [ACTION, CLICK]) == [ACTION, CLICK]


def test_states_come_back_byte_for_byte(peer: Peer) -> None:
    whole = state(256, 8, trailer(b"MBX2", extra(256, 128, 32, 8)))
    states = [STATE, FULL, STATE + input_trailer(), state(0, 8), whole]
    assert peer.transcode("state", states) == states


def test_unitys_axes_are_turned_and_turned_back(peer: Peer) -> None:
    assert peer.transcode("unity", [STATE]) == [STATE]
    # With MBX2 the axes are ours, whatever was assumed.
    assert peer.transcode("unity", [FULL]) == [FULL]


def test_what_a_reader_does_not_know_is_passed_over(peer: Peer) -> None:
    unknown = trailer(b"NEWS", b"something", 3)
    step = struct.pack("<f4BQId", 1.5, 1, 0, 1, 0, 77, 4, 12.25)
    (seen,) = peer.transcode("state", [STATE + unknown + trailer(b"STEP", step + b"later") + b"\1"])
    assert seen == STATE + trailer(b"STEP", step)


def test_lists_beyond_ours_are_cut(peer: Peer) -> None:
    (seen,) = peer.transcode("state", [state(300, 64)])
    assert seen == state(256, 8)


@pytest.mark.parametrize(
    ("bytes_", "field"),
    [
        (STATE[:30], "playerMaxHealth"),
        (STATE[:38] + struct.pack("<i", -1) + STATE[42:], "enemies"),
        (STATE[:38] + struct.pack("<i", 1 << 30) + STATE[42:], "enemies"),
        (STATE[:42] + b"\xff" * 6 + STATE[42:], "currentMenu"),
        (STATE[:-4] + struct.pack("<i", 9), "levelUpOptions"),
        (state(2, 0, trailer(b"MBX2", extra(3))), "enemies"),
        (state(0, 0, trailer(b"MBX2", extra()[:60])), "MBX2"),
        (state(0, 0, trailer(b"MBX2", extra().replace(b"\x60\0\0\0", b"\x5f\0\0\0", 1))), "size"),
    ],
)
def test_states_that_cannot_be_are_refused_by_name(peer: Peer, bytes_: bytes, field: str) -> None:
    (seen,) = peer.transcode("state", [bytes_])
    assert isinstance(seen, str)
    assert field in seen


def test_clicks_are_pixels_from_the_bottom_left(peer: Peer) -> None:
    (row,) = peer.transcode("action12:640:360", [CLICK])
    assert isinstance(row, bytes)
    click = np.frombuffer(row, "<f4", offset=8)[10:]
    np.testing.assert_allclose(click, [160.5 / 640, 1 - 90.5 / 360], rtol=1e-6)
    # Without a picture's size there is no click.
    (row,) = peer.transcode("action12:0:0", [CLICK])
    assert isinstance(row, bytes)
    assert (np.frombuffer(row, "<f4", offset=8)[10:] == -1).all()


def test_v2_actions_and_control_messages(peer: Peer) -> None:
    row = struct.pack("<Q12f", 2**40, *(i / 8 for i in range(12)))
    assert peer.transcode("action2", [row]) == [row]
    hello = struct.pack("<HHIIIHHHHQQ", 2, 3, 0x3FF, 262144, 4194304, 640, 360, 60, 0, 99, 0)
    hello += text("secret") + text("ring-1") + text("agent")
    assert peer.transcode("hello", [hello]) == [hello]
    assert peer.transcode("reset", [struct.pack("<QI", 5, 1)]) == [struct.pack("<QI", 5, 1)]
    assert peer.transcode("pong", [struct.pack("<QQQ", 1, 2, 3)]) == [struct.pack("<QQQ", 1, 2, 3)]
    bye = struct.pack("<H", 2) + text("wrong token")
    assert peer.transcode("bye", [bye]) == [bye]
    (refused,) = peer.transcode("hello", [hello[:30]])
    assert isinstance(refused, str)
    assert "hello" in refused


def test_frames(peer: Peer) -> None:
    pixels = bytes(range(2 * 3 * 3))
    first = b"MBRF" + struct.pack("<iii", 2, 3, 3) + pixels
    assert peer.transcode("frame1", [first]) == [first]
    second = struct.pack("<BBHIII", 1, 0, 0, 2, 3, 6) + pixels
    assert peer.transcode("frame2", [second]) == [second]
    # Gaps between rows are left out.
    padded = struct.pack("<BBHIII", 1, 0, 0, 2, 3, 8)
    padded += b"".join(pixels[i : i + 6] + b"xx" for i in range(0, 18, 6))
    assert peer.transcode("frame2", [padded]) == [second]
    refusals = peer.transcode(
        "frame1",
        [
            b"MBRF" + struct.pack("<iii", 2, 3, 5) + pixels,
            b"MBRF" + struct.pack("<iii", 40000, 40000, 4) + pixels,
            b"MBRF" + struct.pack("<iii", 20, 3, 3) + pixels,
            b"no picture at all",
        ],
    )
    for refused, word in zip(refusals, ["channels", "40000", "do not fit", "JPEG"], strict=True):
        assert isinstance(refused, str)
        assert word in refused


def test_our_jpegs_are_upright_and_near_the_picture(peer: Peer) -> None:
    image = pytest.importorskip("PIL.Image")
    height, width = 50, 70  # no multiples of a block
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([x * 3, y * 4, (x + y) * 2], axis=-1).astype(np.uint8)
    for quality, worst in ((50, 16.0), (85, 8.0), (100, 4.0)):
        raw = peer.run("jpeg", str(width), str(height), str(quality), data=picture.tobytes())
        seen = np.asarray(image.open(io.BytesIO(raw)).convert("RGB"))
        assert seen.shape == picture.shape
        error = np.abs(seen.astype(int) - picture).mean()
        assert error < worst
    noise = np.random.default_rng(1).integers(0, 256, picture.shape, dtype=np.uint8)
    raw = peer.run("jpeg", str(width), str(height), "100", data=noise.tobytes())
    seen = np.asarray(image.open(io.BytesIO(raw)).convert("L")).astype(float)
    wanted = np.asarray(image.fromarray(noise).convert("L")).astype(float)
    assert np.abs(seen - wanted).mean() < 3


def v1_stream() -> tuple[bytes, list[tuple[int, str, int, bytes]]]:
    out, expected = b"", []
    for i, (body, frame) in enumerate([(STATE, b""), (FULL, b"\xff\xd8picture"), (STATE, b"x")], 1):
        out += struct.pack("<i", len(body)) + body + struct.pack("<i", len(frame)) + frame
        if frame:
            expected.append((1, "Frame", i, frame))
        expected.append((1, "State", i, body))
    return out, expected


def v2_message(kind: int, payload: bytes, sequence: int = 1) -> bytes:
    return struct.pack("<4sHHIQQ", b"BNK2", 2, kind, len(payload), sequence, 5) + payload


def lines(expected: list[tuple[int, str, int, bytes]]) -> list[str]:
    return [f"{v} {t} {s} {len(b)} {zlib.crc32(b):08x}" for v, t, s, b in expected]


@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_streams_in_pieces_of_any_size(peer: Peer, piece: int) -> None:
    stream, expected = v1_stream()
    stream += v2_message(2, b"ack") + v2_message(99, b"future") + v2_message(3, FULL, 4)
    expected += [(2, "HelloAck", 1, b"ack"), (2, "State", 4, FULL)]
    out = peer.run("decode", "game", "auto", str(piece), data=stream).decode().splitlines()
    assert out[:-1] == lines(expected)
    assert out[-1].endswith("unknown 1")


@pytest.mark.parametrize(
    ("sender", "protocol", "stream", "word"),
    [
        ("game", "auto", struct.pack("<i", 0), "state.length"),
        ("game", "auto", struct.pack("<i", 262145), "state.length"),
        ("game", "auto", struct.pack("<i", -5), "state.length"),
        ("game", "v2", v1_stream()[0], "v1"),
        ("game", "v1", v2_message(3, STATE), "v2"),
        ("game", "auto", v2_message(3, STATE) + v1_stream()[0], "v1"),
        ("agent", "auto", struct.pack("<i", 1024) + b"x" * 2000, "action.length"),
        ("agent", "auto", struct.pack("<4sHHIQQ", b"BNK2", 3, 1, 0, 1, 1), "version"),
        ("agent", "auto", struct.pack("<4sHHIQQ", b"BNK2", 2, 1, 16385, 1, 1), "length"),
        ("agent", "auto", struct.pack("<4sHHIQQ", b"BNK2", 2, 77, 1 << 31, 1, 1), "length"),
    ],
)
def test_violations_end_a_connection(
    peer: Peer, sender: str, protocol: str, stream: bytes, word: str
) -> None:
    *_, error, capacity = (
        peer.run("decode", sender, protocol, "64", data=stream).decode().split("\n")[:-1]
    )
    assert error.startswith("error ")
    assert word in error
    assert int(capacity.split()[1]) <= 16384  # nothing is reserved for what a length promises


def test_mutated_states_give_a_state_or_a_refusal(peer: Peer) -> None:
    random.seed(5)
    whole = state(4, 3, input_trailer(), trailer(b"MBX2", extra(4, 3, 2, 3)))
    mutants = []
    for _ in range(3000):
        mutant = bytearray(whole)
        for _ in range(random.randint(1, 6)):
            mutant[random.randrange(len(mutant))] = random.randrange(256)
        mutants.append(bytes(mutant[: random.randint(0, len(mutant))]))
    seen = peer.transcode("state", mutants)
    assert len(seen) == len(mutants)
    assert 0 < sum(isinstance(one, bytes) for one in seen) < len(mutants)


def test_both_codecs_write_the_same_bytes(peer: Peer) -> None:
    states, actions = [], []
    for seed in range(40):
        step = wire.StepResult(0.5, True, False, True, 7, 2, 3.25)
        state = whole_state(seed)
        trailers = wire.Trailers(step=step if seed % 3 else None, extra=True)
        states.append(wire.encode_state(state, trailers))
        states.append(wire.encode_state(state, wire.Trailers()))
        row = np.random.default_rng(seed).uniform(-1, 1, 12).astype(np.float32)
        actions.append(wire.encode_action(row, answers=seed))
    assert peer.transcode("state", states) == states
    assert peer.transcode("action2", actions) == actions


def test_clicks_fall_on_the_same_pixels(peer: Peer) -> None:
    rows, wanted = [], []
    for i in range(200):
        x, y = (float(v) for v in np.random.default_rng(i).uniform(0, 1, 2).astype(np.float32))
        action = Action((0.5, -1.0), click=(x, y), fire=i % 2 == 0)
        rows.append(wire.encode_action(action.row(), answers=0))
        wanted.append(wire.encode_action(action, version=1, capture=(640, 360)))
    assert peer.transcode("action21:640:360", rows) == wanted
    back = peer.transcode("action12:640:360", wanted)
    for raw, body in zip(wanted, back, strict=True):
        assert isinstance(body, bytes)
        ours, _ = wire.decode_action(raw, version=1, capture=(640, 360))
        assert body[8:] == ours.tobytes()
