"""The protocol's second version: whole messages come through, anything else is told and bounded."""

from __future__ import annotations

import contextlib
import re
import struct
import sys
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from metabonk.cognition.protocol import wire as w
from metabonk.records import GAME_STATE, MAX_STAT_CHANGES, Entity, FieldGroup, GameState, Offer

ID = w.RequestId("omega-0", 7, 3)
JPEG = simplejpeg.encode_jpeg(np.full((36, 64, 3), 90, np.uint8))
STATE = GameState(health=5.0, entities=[Entity(id=4, health=2.0)]).pack()


def request(**changes: object) -> w.Request:
    fields: dict = {"id": ID, "captured_ns": 10, "deadline_ns": 20, "left_ms": 5.0, "state": STATE}
    return w.Request(**(fields | changes))


HANDLE = w.Handle("strips-1", bytes(range(8)), 7)
MESSAGES = [
    w.Hello(agent="omega-0", epoch=7, secret=b"s" * 16, clock="boot"),
    request(frames=[w.FrameInfo(9), w.FrameInfo(12, True)], trigger="boss", in_force={"a": 1}),
    request(frames=[w.FrameInfo(9), w.FrameInfo(12, True)], handle=HANDLE),
    w.Query(id=ID),
    w.Outcome(id=ID, applied=True, seconds=4.0, reward=-1.5, kills=2, alive=False, age_ms=310.0),
    w.Bye(agent="omega-0", epoch=7),
]
ANSWERS = [
    w.Welcome(agent="a", epoch=1, session="s", phase=0.5),
    w.Reply(id=ID, status="ok", answer={"action": "hold"}, stages={"queue": 1.0}),
    w.Reply(id=None, status="error", code="malformed", reason="why"),
    w.Ack(id=ID, of="outcome"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_what_agents_send_comes_through(message: w.ToBroker) -> None:
    frames = [JPEG] * getattr(message, "jpegs", 0)
    found, jpegs = w.decode(w.encode(message, frames))
    assert found == message
    assert list(jpegs) == frames


@pytest.mark.parametrize("message", ANSWERS, ids=lambda m: type(m).__name__)
def test_what_the_broker_sends_comes_through(message: w.ToAgent) -> None:
    assert w.decode_answer(w.encode(message)) == message


def test_critical_is_everything_but_the_period() -> None:
    assert not request().critical
    assert all(request(trigger=t).critical for t in ("health", "boss", "menu"))


def test_a_header_must_fit_its_frames() -> None:
    with pytest.raises(ValueError, match="1 JPEGs, the header lists 0"):
        w.encode(request(), [JPEG])
    parts = w.encode(request(frames=[w.FrameInfo(1)]), [JPEG])
    assert refusal([parts[0]]) == "malformed"
    assert refusal([*parts, JPEG]) == "malformed"
    assert refusal([*w.encode(w.Query(id=ID)), JPEG]) == "malformed"


def test_a_handle_stands_for_all_jpegs_or_for_none() -> None:
    frames = [w.FrameInfo(1)] * 2
    with pytest.raises(ValueError, match="2 JPEGs, the header lists 0"):
        w.encode(request(frames=frames, handle=HANDLE), [JPEG] * 2)
    (header,) = w.encode(request(frames=frames, handle=HANDLE))
    assert w.decode([header])[0].handle == HANDLE  # type: ignore[union-attr]
    assert refusal([header, JPEG]) == "malformed"
    assert refusal([header, JPEG, JPEG]) == "malformed"
    assert refusal(w.encode(request(handle=HANDLE))) == "malformed", "which lists no frames"
    assert refusal([header], w.Limits(frames=1)) == "too_large"
    bare = msgspec.msgpack.decode(w.encode(request(frames=frames), [JPEG] * 2)[0])
    assert "handle" not in bare, "agents that know of none see the header that they always saw"


def refusal(parts: list, limits: w.Limits = w.LIMITS) -> str:
    with pytest.raises(w.WireError) as caught:
        w.decode(parts, limits)
    assert str(caught.value)
    return caught.value.code


def packed(**changes: object) -> bytes:
    """A request's header as a map, with fields that no Request could have."""
    fields = msgspec.msgpack.decode(w.encode(request())[0]) | changes
    return msgspec.msgpack.encode(fields)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (b"", "malformed"),
        (b"\xc1", "malformed"),
        (b"\x80", "malformed"),  # a map without anything
        (b"\x91" * 30_000, "malformed"),  # nested beyond any stack
        (b"\x81\xa1v" * 9_000, "malformed"),
        (b"\xdd\xff\xff\xff\xff", "malformed"),  # a list of four billion
        (b"\xdf\xff\xff\xff\xff", "malformed"),
        (b"\xc6\xff\xff\xff\xff", "malformed"),  # four gigabytes of bytes
        (w.encode(request())[0][:-1], "malformed"),
        (w.encode(request())[0] + b"\x00", "malformed"),
        (packed(kind="launch"), "malformed"),
        (packed(left_ms=-1.0), "malformed"),
        (packed(left_ms=float("nan")), "malformed"),
        (packed(left_ms=1e12), "malformed"),
        (packed(id=["", 1, 1]), "malformed"),
        (packed(id=["a b", 1, 1]), "malformed"),
        (packed(id=["a" * 65, 1, 1]), "malformed"),
        (packed(id=["a\n", 1, 1]), "malformed"),
        (packed(id=["a", -1, 1]), "malformed"),
        (packed(id=["a", 2**63, 1]), "malformed"),
        (packed(id=["a", 1]), "malformed"),
        (packed(question="sql"), "malformed"),
        (packed(goal="x" * 501), "malformed"),
        (packed(in_force={"a": [[[[[[[[[1]]]]]]]]]}), "malformed"),
        (packed(in_force={"a": float("inf")}), "malformed"),
        (packed(frames=[[1, False]] * 17), "malformed"),
        (packed(frames=[[1]], handle=["../x", b"12345678", 1]), "malformed"),
        (packed(frames=[[1]], handle=["a/b", b"12345678", 1]), "malformed"),
        (packed(frames=[[1]], handle=["a" * 65, b"12345678", 1]), "malformed"),
        (packed(frames=[[1]], handle=["a", b"1234567", 1]), "malformed"),
        (packed(frames=[[1]], handle=["a", b"12345678", -1]), "malformed"),
        (packed(frames=[[1]], handle=["a", b"12345678", 1, 0]), "malformed"),
        (packed(frames=[[1]], handle=["a", b"12345678"]), "malformed"),
        (packed(frames=[[1]], handle="a"), "malformed"),
        (packed(frames=[[1]], handle=None), "malformed"),
        (packed(state=STATE[:-1]), "malformed"),
        (packed(state=b"x"), "malformed"),
        (packed(v=1), "version"),
        (packed(v=3, kind="later", id={"new": "form"}), "version"),
        (packed(goal="x" * 40_000), "too_large"),
    ],
)  # fmt: skip
def test_what_is_no_message_is_told_so(header: bytes, code: str) -> None:
    assert refusal([header]) == code


def test_no_parts_are_no_message() -> None:
    assert refusal([]) == "malformed"
    with pytest.raises(w.WireError, match="the broker sends one"):
        w.decode_answer([])


@pytest.mark.parametrize("change", [{"goal": "x" * 501}, {"left_ms": -1.0}, {"v": 9}])
def test_a_refusal_names_the_request_where_it_can_be_read(change: dict) -> None:
    with pytest.raises(w.WireError) as caught:
        w.decode([packed(**change)])
    assert caught.value.id == ID


def with_float(field: str, value: float) -> bytes:
    data = bytearray(STATE)
    offset = GAME_STATE.fields[field][1]  # type: ignore[index]
    data[offset : offset + 4] = struct.pack("<f", value)
    return bytes(data)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_numbers_of_a_state_are_finite(bad: float) -> None:
    for field in ("dt", "health", "score", "yaw"):
        assert refusal([packed(state=with_float(field, bad))]) == "malformed"
    assert refusal([packed(state=GameState(time=bad).pack())]) == "malformed"
    inside = GameState(entities=[Entity(velocity=(0.0, bad, 0.0))]).pack()
    assert refusal([packed(state=inside)]) == "malformed"
    w.decode([packed(state=b"")])  # none at all is fine
    outcome = w.Outcome(id=ID, applied=False, seconds=1.0, reward=bad)
    assert refusal(w.encode(outcome)) == "malformed"


def floats(dtype: np.dtype, at: int = 0) -> list[int]:
    """At which bytes of a record single floats begin."""
    if dtype.subdtype:
        base, shape = dtype.subdtype
        return [x for i in range(int(np.prod(shape))) for x in floats(base, at + i * base.itemsize)]
    if dtype.names:
        return [x for n in dtype.names for x in floats(dtype.fields[n][0], at + dtype.fields[n][1])]  # type: ignore[index]  # fmt: skip
    return [at] if dtype == np.float32 else []


def test_no_number_of_a_full_state_goes_unseen() -> None:
    """And what lies behind a list's last part is none of the state's."""
    counts = {"entity": 256, "pickup": 128, "widget": 32, "offer": 8}
    full, half = (np.zeros((), GAME_STATE) for _ in range(2))
    for name, most in counts.items():
        full[f"{name}_count"], half[f"{name}_count"] = most, most // 2
    lists = [GAME_STATE.fields[name] for name in ("entities", "pickups", "widgets", "offers")]  # type: ignore[index]
    spare = [(at + d.itemsize // 2, at + d.itemsize) for d, at in lists]
    places = floats(GAME_STATE)
    assert len(places) == 15 + 256 * 8 + 128 * 4 + 32 * 4 + 8 * 4
    behind = 0
    for at in places:
        unread = any(begin <= at < end for begin, end in spare)
        behind += unread
        for state, refused in ((full, True), (half, not unread)):
            data = bytearray(state.tobytes())
            data[at : at + 4] = b"\x00\x00\xc0\x7f"
            if refused:
                with pytest.raises(w.WireError, match="finite"):
                    w.check_state(data)
            else:
                w.check_state(data)
    assert behind == 128 * 8 + 64 * 4 + 16 * 4 + 4 * 4


@pytest.mark.parametrize("count", ["entity_count", "pickup_count", "widget_count", "offer_count"])
def test_counts_of_a_state_are_within_their_lists(count: str) -> None:
    data = bytearray(STATE)
    offset = GAME_STATE.fields[count][1]  # type: ignore[index]
    data[offset : offset + 2] = struct.pack("<H", 60_000)
    assert refusal([packed(state=bytes(data))]) == "malformed"


def test_an_offer_changes_no_more_than_it_can() -> None:
    given = GameState(fields=FieldGroup.EVERYTHING, offers=[Offer(text="a"), Offer(text="b")])
    data = bytearray(given.pack())
    w.check_state(data)
    offers, at = GAME_STATE["offers"].base, GAME_STATE.fields["offers"][1]  # type: ignore[index]
    data[at + offers.itemsize + offers.fields["change_count"][1]] = MAX_STAT_CHANGES + 1
    with pytest.raises(w.WireError, match=r"offers\.change_count: 5, at most 4"):
        w.check_state(data)
    data[GAME_STATE.fields["offer_count"][1]] = 1  # type: ignore[index]  # behind the last
    w.check_state(data)


def claiming(height: int, width: int) -> bytes:
    """A real JPEG whose header says another size."""
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\xff\xd8\xff\xd9",
        b"GIF89a" + b"\x00" * 100,
        b"\x89PNG" + b"\x00" * 100,
        JPEG[:-2],
        JPEG[: len(JPEG) // 2],
        b"\xff\xd8" + b"\x00" * 100 + b"\xff\xd9",
        claiming(65_535, 65_535),
        claiming(4_000, 4_000),
        claiming(0, 64),
    ],
    ids=["empty", "hollow", "gif", "png", "no end", "half", "zeros", "4 Gpx", "16 Mpx", "no rows"],
)
def test_jpegs_that_are_none_or_claim_to_be_huge(bad: bytes) -> None:
    parts = w.encode(request(frames=[w.FrameInfo(1)] * 2), [JPEG, bad])
    with pytest.raises(w.WireError) as caught:
        w.decode(parts)
    assert caught.value.code == "jpeg"
    assert caught.value.id == ID
    assert w.check_jpeg(JPEG) == (36, 64)


def test_every_size_has_its_limit() -> None:
    small = w.Limits(frame_bytes=len(JPEG) - 1)
    parts = w.encode(request(frames=[w.FrameInfo(1)]), [JPEG])
    assert refusal(parts, small) == "too_large"
    assert refusal(parts, w.Limits(header_bytes=100)) == "too_large"
    parts = w.encode(request(frames=[w.FrameInfo(1)] * 3), [JPEG] * 3)
    assert refusal(parts, w.Limits(strip_bytes=2 * len(JPEG))) == "too_large"
    assert refusal(parts, w.Limits(frames=2)) == "too_large"
    assert refusal(parts, w.Limits(pixels=36 * 64 - 1)) == "jpeg"
    w.decode(parts, w.Limits(strip_bytes=3 * len(JPEG), frames=3, pixels=36 * 64))


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=200), max_size=4))
def test_any_bytes_give_a_message_or_an_error(parts: list[bytes]) -> None:
    for read in (w.decode, w.decode_answer):
        with contextlib.suppress(w.WireError):
            read(parts)


@settings(max_examples=300)
@given(st.integers(0, len(MESSAGES) - 1), st.data())
def test_a_changed_byte_gives_a_message_or_an_error(which: int, data: st.DataObject) -> None:
    message = MESSAGES[which]
    parts = [bytes(p) for p in w.encode(message, [JPEG] * getattr(message, "jpegs", 0))]
    part = data.draw(st.integers(0, len(parts) - 1))
    at = data.draw(st.integers(0, len(parts[part]) - 1))
    value = data.draw(st.integers(0, 255))
    parts[part] = parts[part][:at] + bytes([value]) + parts[part][at + 1 :]
    try:
        found, _ = w.decode(parts)
    except w.WireError:
        return
    w.encode(found, parts[1:] if isinstance(found, w.Request) else [])


def test_reading_what_claims_to_be_huge_takes_no_memory() -> None:
    claims = [b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"]
    for claim in claims:
        body = b"\x81\xa4kind" + claim
        before = sys.getallocatedblocks()
        for _ in range(100):
            assert refusal([body]) == "malformed"
        assert sys.getallocatedblocks() - before < 5_000


def test_the_boot_id_tells_clocks_apart() -> None:
    assert w.boot_id() == w.boot_id()
    assert len(w.boot_id()) <= 64


DOC = (Path(__file__).parents[3] / "docs" / "cognitive_protocol.md").read_text()


def test_the_document_names_every_field_and_code() -> None:
    kinds = [*w.ToBroker.__args__, *w.ToAgent.__args__]
    for kind in kinds:
        fields = {field.name for field in msgspec.structs.fields(kind)} - {"v"}
        assert f"`{kind.__struct_config__.tag}`" in DOC
        assert not {name for name in fields if f"`{name}`" not in DOC}, kind
    assert not {name for name in msgspec.structs.fields(w.Limits) if f"`{name.name}`" not in DOC}
    codes = set(get_args(w.Code)) - {""}
    assert not {code for code in codes if f"`{code}`" not in DOC}


def test_golden_vectors() -> None:
    id = w.RequestId("omega-0", 1_700_000_000_000_000_000, 3)
    hello = w.Hello(agent="omega-0", epoch=id.epoch, secret=bytes(range(16)))
    asked = w.Request(id=id, captured_ns=5 * 10**9, deadline_ns=9 * 10**9, left_ms=3990.0)
    came = w.Outcome(id=id, applied=True, seconds=4.0, reward=1.5, kills=2, age_ms=310.0)
    named = w.Request(
        id=id, captured_ns=5 * 10**9, deadline_ns=9 * 10**9, left_ms=3990.0,
        frames=[w.FrameInfo(5 * 10**9)],
        handle=w.Handle("strips-0123456789abcdef", bytes(range(8)), 7),
    )  # fmt: skip
    expected = [hello, asked, named, w.Query(id=id), came, w.Ack(id=id, of="outcome")]
    found = re.findall(r"^(\w+) +([0-9a-f]{40,})$", DOC, re.MULTILINE)
    assert [name for name, _ in found] == [m.__struct_config__.tag for m in expected]
    for message, (_, text) in zip(expected, found, strict=True):
        data = bytes.fromhex(text)
        assert bytes(w.encode(message)[0]) == data
        read = w.decode_answer([data]) if isinstance(message, w.Ack) else w.decode([data])[0]
        assert read == message


def test_absent_fields_have_their_defaults_and_unknown_ones_are_ignored() -> None:
    told = {"kind": "request", "id": ["a", 1, 2], "captured_ns": 1, "deadline_ns": 2, "left_ms": 3}
    found, _ = w.decode([msgspec.msgpack.encode(told | {"later": [1, {"x": 2}]})])
    assert found == w.Request(id=w.RequestId("a", 1, 2), captured_ns=1, deadline_ns=2, left_ms=3.0)
