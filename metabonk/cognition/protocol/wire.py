"""The cognitive protocol, version 2, as bytes: written, read and checked.

Knows how messages (messages.py, whose names are here too) become parts and back; does not know
sockets. Nothing that is read is trusted: it gives a message or a WireError, in bounded memory and
time.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from metabonk.cognition.protocol.jpeg import check_jpeg
from metabonk.cognition.protocol.messages import (
    FRAME_BYTES,
    HEADER_BYTES,
    LIMITS,
    LONGEST_MS,
    MOST_DEPTH,
    MOST_FRAMES,
    MOST_PIXELS,
    STRIP_BYTES,
    VERSION,
    Ack,
    AgentName,
    Buffer,
    Bye,
    Code,
    Counter,
    Finite,
    FrameInfo,
    Handle,
    Hello,
    Limits,
    Message,
    Outcome,
    Query,
    QuestionKind,
    Reply,
    Request,
    RequestId,
    Status,
    ToAgent,
    ToBroker,
    Trigger,
    Welcome,
    WireError,
)
from metabonk.records import (
    GAME_STATE,
    MAX_ENTITIES,
    MAX_OFFERS,
    MAX_PICKUPS,
    MAX_STAT_CHANGES,
    MAX_WIDGETS,
)

__all__ = [
    "FRAME_BYTES",
    "HEADER_BYTES",
    "LIMITS",
    "LONGEST_MS",
    "MOST_DEPTH",
    "MOST_FRAMES",
    "MOST_PIXELS",
    "STRIP_BYTES",
    "VERSION",
    "Ack",
    "AgentName",
    "Buffer",
    "Bye",
    "Code",
    "Counter",
    "Finite",
    "FrameInfo",
    "Handle",
    "Hello",
    "Limits",
    "Message",
    "Outcome",
    "Query",
    "QuestionKind",
    "Reply",
    "Request",
    "RequestId",
    "Status",
    "ToAgent",
    "ToBroker",
    "Trigger",
    "Welcome",
    "WireError",
    "boot_id",
    "check_jpeg",
    "check_plain",
    "check_state",
    "decode",
    "decode_answer",
    "encode",
]

_Read = TypeVar("_Read", ToBroker, ToAgent)


class _Peek(msgspec.Struct):
    """As much of a header as is needed to tell its sender what is wrong."""

    v: int = VERSION
    id: Any = None

    @property
    def whose(self) -> RequestId | None:
        """The request's id if it is one of this version."""
        try:
            return msgspec.convert(self.id, RequestId)
        except msgspec.ValidationError:
            return None


_ENCODER = msgspec.msgpack.Encoder()
_TO_BROKER: msgspec.msgpack.Decoder[ToBroker] = msgspec.msgpack.Decoder(ToBroker)
_TO_AGENT: msgspec.msgpack.Decoder[ToAgent] = msgspec.msgpack.Decoder(ToAgent)
_PEEK = msgspec.msgpack.Decoder(_Peek)


def encode(message: ToBroker | ToAgent, frames: Sequence[Buffer] = ()) -> list[Buffer]:
    """The parts to send. frames: a Request's JPEGs, as many as it lists; none with a handle.

    Raises ValueError if they are not.
    """
    told = message.jpegs if isinstance(message, Request) else 0
    if told != len(frames):
        raise ValueError(f"frames: {len(frames)} JPEGs, the header lists {told}")
    return [_ENCODER.encode(message), *frames]


def decode(parts: Sequence[Buffer], limits: Limits = LIMITS) -> tuple[ToBroker, Sequence[Buffer]]:
    """What an agent sent and its JPEGs, which are those parts and no copies.

    Raises WireError for whatever breaks a limit, is not of the protocol, has numbers that are not
    finite, or whose JPEGs are none.
    """
    header = _header(parts, limits.header_bytes)
    message = _read(header, _TO_BROKER)
    frames = parts[1:]
    if isinstance(message, Request):
        _check_request(message, frames, limits)
    elif frames:
        raise WireError(
            "malformed", f"{len(frames)} parts behind the header, only a request has any",
            getattr(message, "id", None),
        )  # fmt: skip
    elif isinstance(message, Outcome):
        numbers = (message.reward, message.health_change, message.xp, message.age_ms)
        if not all(map(math.isfinite, numbers)):
            raise WireError("malformed", "outcome: a number is not finite", message.id)
    return message, frames


def decode_answer(parts: Sequence[Buffer]) -> ToAgent:
    """What the broker sent. Raises WireError."""
    if len(parts) != 1:
        raise WireError("malformed", f"{len(parts)} parts, the broker sends one")
    return _read(_header(parts, HEADER_BYTES), _TO_AGENT)


def check_plain(value: Any, where: str, depth: int = 0) -> None:
    """Raises WireError unless `value` is plain data of finite numbers, not nested too deep."""
    if depth > MOST_DEPTH:
        raise WireError("malformed", f"{where}: nested deeper than {MOST_DEPTH}")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise WireError("malformed", f"{where}: {value} is not a finite number")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise WireError("malformed", f"{where}: the key {key!r} is not text")
            check_plain(item, f"{where}.{key}"[:200], depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_plain(item, f"{where}[{index}]"[:200], depth + 1)
    elif not isinstance(value, str | int | bool | None):
        raise WireError("malformed", f"{where}: a {type(value).__name__} is not plain data")


def check_state(packed: Buffer) -> None:
    """Raises WireError unless these are a packed GameState of finite numbers, or nothing. What lies
    behind a list's last part is nothing that anybody reads."""
    if not len(packed):
        return
    if len(packed) != GAME_STATE.itemsize:
        size = GAME_STATE.itemsize
        raise WireError("malformed", f"state: {len(packed):,} bytes, a packed one has {size:,}")
    counts = _COUNTS.unpack_from(packed, _COUNTS_AT)
    for (name, most), count in zip(_MOST.items(), counts, strict=True):
        if count > most:
            raise WireError("malformed", f"state.{name}_count: {count}, at most {most}")
    for at in range(_CHANGES_AT, _CHANGES_AT + counts[3] * _OFFER, _OFFER):
        if packed[at] > MAX_STAT_CHANGES:
            raise WireError(
                "malformed", f"state.offers.change_count: {packed[at]}, at most {MAX_STAT_CHANGES}"
            )
    finite = all(map(math.isfinite, _NUMBERS.unpack_from(packed)))
    for count, (at, strides, shape) in zip(counts, _LISTS, strict=True):
        if count and finite:
            numbers = np.ndarray((count, *shape), _FLOAT, packed, at, strides)
            finite = bool(np.isfinite(numbers).all())
    if not finite:
        raise WireError("malformed", "state: a number is not finite")


def boot_id() -> str:
    """What tells whether two processes have one monotonic clock; empty where nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


_MOST = {
    "entity": MAX_ENTITIES, "pickup": MAX_PICKUPS, "widget": MAX_WIDGETS, "offer": MAX_OFFERS,
}  # fmt: skip
_FLOAT = np.dtype("<f4")


def _floats(dtype: np.dtype[Any]) -> list[tuple[int, int]]:
    """Where a record's numbers stand that can be none: byte and size, single or double."""
    found: list[tuple[int, int]] = []
    for name in dtype.names or ():
        field, offset = dtype.fields[name][:2]  # type: ignore[index]
        base, count = field.base, math.prod(field.shape)
        inside = _floats(base) if base.names else [(0, base.itemsize)] if base.kind == "f" else []
        found += [
            (offset + base.itemsize * i + at, size) for i in range(count) for at, size in inside
        ]
    return found


def _list_of(name: str) -> tuple[int, tuple[int, int], tuple[int]]:
    """Where the numbers of a list's parts stand: the first one's byte, the steps from part to part
    and from one number of a part to the next, and how many a part has."""
    field, begin = GAME_STATE.fields[name][:2]  # type: ignore[index]
    found = [at for at, size in _floats(field.base) if size == _FLOAT.itemsize]
    steps = {after - before for before, after in itertools.pairwise(found)}
    if len(steps) != 1:
        raise TypeError(
            f"state.{name}: its numbers stand {sorted(steps)} bytes apart; wanted one step"
        )
    return begin + found[0], (field.base.itemsize, steps.pop()), (len(found),)


def _single() -> struct.Struct:
    """Reads the numbers of a packed state that stand in no list."""
    parts, end = [], 0
    for at, size in _floats(GAME_STATE[_SINGLE]):
        parts.append(f"{at - end}x{'f' if size == _FLOAT.itemsize else 'd'}")
        end = at + size
    return struct.Struct("<" + "".join(parts))


# Read from the bytes, and only as far as the lists are filled: every request is looked at, and a
# field of a record costs a microsecond. The counts lie side by side.
_LIST_NAMES = ("entities", "pickups", "widgets", "offers")
_SINGLE = [name for name in GAME_STATE.names or () if name not in _LIST_NAMES]
_LISTS = [_list_of(name) for name in _LIST_NAMES]
_NUMBERS = _single()
_OFFER = GAME_STATE["offers"].base.itemsize
_CHANGES_AT = (
    GAME_STATE.fields["offers"][1]  # type: ignore[index]
    + GAME_STATE["offers"].base.fields["change_count"][1]  # type: ignore[index]
)
_COUNTS, _COUNTS_AT = struct.Struct("<4H"), GAME_STATE.fields["entity_count"][1]  # type: ignore[index]


def _header(parts: Sequence[Buffer], most: int) -> Buffer:
    if not parts:
        raise WireError("malformed", "a message without parts")
    size = len(parts[0])
    if size > most:
        raise WireError("too_large", f"header: {size:,} bytes, {most:,} are allowed")
    return parts[0]


def _read(header: Buffer, decoder: msgspec.msgpack.Decoder[_Read]) -> _Read:
    try:
        message = decoder.decode(header)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        peek = _peek(header)
        if peek.v != VERSION:
            raise _wrong_version(peek.v, peek.whose) from error
        raise WireError("malformed", f"header: {error}", peek.whose) from error
    if message.v != VERSION:
        raise _wrong_version(message.v, getattr(message, "id", None))
    return message


def _peek(header: Buffer) -> _Peek:
    try:
        return _PEEK.decode(header)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _Peek()


def _wrong_version(version: int, id: RequestId | None) -> WireError:
    return WireError("version", f"protocol version {version}; version {VERSION} is spoken here", id)


def _check_request(message: Request, frames: Sequence[Buffer], limits: Limits) -> None:
    sizes = [len(frame) for frame in frames]
    id = message.id
    told, by_handle = len(message.frames), message.handle is not msgspec.UNSET
    if len(sizes) != message.jpegs:
        beside = " beside a handle" if by_handle else f", the header lists {told}"
        raise WireError("malformed", f"{len(sizes)} JPEGs came{beside}", id)
    if by_handle and not told:
        raise WireError("malformed", "handle: the header lists no frames", id)
    if told > limits.frames:
        raise WireError("too_large", f"{told} frames, {limits.frames} are allowed", id)
    if max(sizes, default=0) > limits.frame_bytes:
        raise WireError(
            "too_large", f"a frame of {max(sizes):,} bytes, {limits.frame_bytes:,} are allowed", id
        )
    if sum(sizes) > limits.strip_bytes:
        raise WireError(
            "too_large", f"frames of {sum(sizes):,} bytes, {limits.strip_bytes:,} are allowed", id
        )
    try:
        check_state(message.state)
        check_plain(message.in_force or {}, "in_force")
        for frame in frames:
            check_jpeg(frame, limits.pixels)
    except WireError as error:
        raise WireError(error.code, str(error), id) from error
