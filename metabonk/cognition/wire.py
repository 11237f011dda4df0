"""The cognitive protocol, version 2: what an agent and the broker say to each other, as bytes.

Knows the messages, their limits and how to read them; does not know sockets, journals, directives
or models. A message is multipart: one header of MessagePack (a map whose `kind` names the message),
then one JPEG for every frame that the header lists. Version 1 (one part of JSON) is in legacy.py;
its first byte is never that of a map, so both arrive at one port.

    agent                                            broker
    Hello(agent, epoch, secret)  ────────────────►   binds the name to this connection
                                 ◄────────────────   Welcome(phase, limits)
    Request(id, state, frames…)  ────────────────►   decides, writes it down, then
                                 ◄────────────────   Reply(id, status, answer)
    Query(id): was my request answered? ─────────►   the Reply once more, or Ack "pending"
    Outcome(id, reward, …) until acknowledged ───►   writes it down once
                                 ◄────────────────   Ack(id, "outcome")
    Bye(agent, epoch)            ────────────────►   frees the name

Every request has an id (agent, epoch, sequence). epoch: larger at every start of the agent's
process, as its clock's nanoseconds are. sequence: larger with every request. Sending one id twice
is safe: it is decided and written down once, and the stored reply comes again (`replayed`).
A request that got no reply is asked for by Query, which costs a header; code `unknown` means that
it never arrived and may be sent again while there is time.

Times `*_ns` are those of the sender's monotonic clock; `left_ms` says the same deadline without
needing the other's clock. The broker counts from the capture: by the sender's clock if both have
the same boot id (Hello.clock), else by `left_ms` from the arrival.

Nothing here is trusted: reading gives a message or raises WireError, in bounded memory and time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from msgspec import Meta

from metabonk.errors import CorruptError
from metabonk.records import GAME_STATE, MAX_ENTITIES, MAX_OFFERS, MAX_PICKUPS, MAX_WIDGETS

VERSION = 2
HEADER_BYTES = 32 << 10  # of a header: a packed state takes half of it
FRAME_BYTES = 1 << 20  # of one JPEG: 640x360 takes 60 KiB
STRIP_BYTES = 4 << 20  # of all JPEGs of a request
MOST_FRAMES = 16
MOST_PIXELS = 1 << 22  # what one JPEG may unfold to
MOST_DEPTH = 8  # of maps and lists inside each other
LONGEST_MS = 60_000.0  # that a request may wait

Buffer: TypeAlias = bytes | bytearray | memoryview
Status = Literal["ok", "fallback", "stale", "rejected", "error"]
QuestionKind = Literal["strategy", "menu"]  # as question.Kind
Trigger = Literal["period", "health", "boss", "menu"]
Code = Literal[
    "",
    "malformed",  # cannot be read; `reason` names the field
    "version",  # of a protocol that is not spoken here
    "too_large",  # a limit of `Welcome.limits`
    "jpeg",  # a frame is none, is cut off or claims to be huge
    "unbound",  # no Hello on this connection yet, or the name is not this connection's
    "taken",  # another living connection has the name
    "denied",  # the connection's key may not use the name
    "full",  # as many agents as the broker takes
    "epoch",  # of an earlier start of the agent
    "superseded",  # a newer request of the agent took its place
    "late",  # the deadline cannot be met, or has passed
    "draining",  # the broker is about to end
    "backend",  # no backend answered
    "unknown",  # a Query for what never arrived
]

Counter = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # what SQLite's integers hold
AgentName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}\Z")]
Text = Annotated[str, Meta(max_length=2000)]
Finite = float  # checked by `_require_finite`: msgspec has no such bound


class RequestId(msgspec.Struct, frozen=True, array_like=True, order=True):
    """What one request is known by, on the wire and in the journal."""

    agent: AgentName
    epoch: Counter
    sequence: Counter

    def __str__(self) -> str:
        return f"{self.agent}/{self.epoch}/{self.sequence}"


class FrameInfo(msgspec.Struct, frozen=True, array_like=True):
    """What the header says of one JPEG. at_ns: when it was, or (predicted) will be, seen."""

    at_ns: Counter
    predicted: bool = False


class Message(msgspec.Struct, tag_field="kind", kw_only=True):
    """v: the protocol's version, in every message, so that a wrong one can be told."""

    v: int = VERSION


class Hello(Message, tag="hello"):
    """The first message of a connection: binds the name to it.

    secret: 16 random bytes of the agent's process, the same in every Hello of it: who shows them
    may take the name over from a connection that still seems alive, and nobody else may.
    clock: the boot id (`boot_id()`), empty if unknown: with the broker's own, both clocks are one.
    log: the agent reports what comes of its decisions, so their frames are worth keeping.
    """

    agent: AgentName
    epoch: Counter
    secret: Annotated[bytes, Meta(min_length=16, max_length=32)]
    clock: Annotated[str, Meta(max_length=64)] = ""
    log: bool = False


class Request(Message, tag="request"):
    """A question about a situation; the parts behind the header are `frames`' JPEGs, in order.

    captured_ns: when the newest real frame and the state were seen. deadline_ns: when the answer is
    of no more use. left_ms: from the sending until then. trigger: why now; all but `period` go
    before it. episode: larger with every episode of the agent. state: the situation, as
    `records.GameState.pack()` writes it, finite numbers only; empty without. goal: what is wanted,
    in words, from the user and never from the screen. in_force: the directive that the agent
    follows now, as `vocabulary.spell` writes it. expected_ms: how long the agent thinks that the
    answer takes.
    """

    id: RequestId
    captured_ns: Counter
    deadline_ns: Counter
    left_ms: Annotated[float, Meta(ge=0.0, le=LONGEST_MS)]
    question: QuestionKind = "strategy"
    trigger: Trigger = "period"
    episode: Counter = 0
    state: Annotated[bytes, Meta(max_length=GAME_STATE.itemsize)] = b""
    frames: Annotated[list[FrameInfo], Meta(max_length=MOST_FRAMES)] = msgspec.field(
        default_factory=list
    )
    goal: Annotated[str, Meta(max_length=500)] = ""
    in_force: dict[str, Any] | None = None
    expected_ms: Annotated[float, Meta(ge=0.0, le=LONGEST_MS)] = 0.0

    @property
    def critical(self) -> bool:
        """Whether it goes before what is asked regularly."""
        return self.trigger != "period"


class Query(Message, tag="query"):
    """Asks for the reply to a request that was sent: a retry that costs a header."""

    id: RequestId


class Outcome(Message, tag="outcome"):
    """What happened in the `seconds` after a request, whatever became of it.

    Sent until Ack(of="outcome"); every request gets exactly one. applied: the agent followed the
    answer. age_ms: from capture to following it. reward: sum of the game's. health_change: in
    health points. xp: points gained. alive: at the end of the seconds.
    """

    id: RequestId
    applied: bool
    seconds: Annotated[float, Meta(ge=0.0, le=3600.0)]
    reward: Finite = 0.0
    health_change: Finite = 0.0
    kills: Annotated[int, Meta(ge=0, le=2**31)] = 0
    xp: Finite = 0.0
    alive: bool = True
    age_ms: Annotated[float, Meta(ge=0.0)] = 0.0
    status: Status | Literal["lost"] = "ok"  # of the reply as the agent had it; lost: none came


class Bye(Message, tag="bye"):
    """The agent ends; its name is free at once."""

    agent: AgentName
    epoch: Counter


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a message may be at most; more is refused with code `too_large`. frames: 0 in a Welcome
    says that nobody would look at any, and states do; they are not refused."""

    header_bytes: int = HEADER_BYTES
    frame_bytes: int = FRAME_BYTES
    strip_bytes: int = STRIP_BYTES
    frames: int = MOST_FRAMES
    pixels: int = MOST_PIXELS


LIMITS = Limits()


class Welcome(Message, tag="welcome"):
    """The answer to Hello. session: of this start of the broker. phase: 0..1, the part of its
    period by which this agent should be late, so that agents do not ask all at once. shared_clock:
    whether the broker reads this agent's clock. next_sequence: one more than the largest it has of
    this epoch. backend: who answers."""

    agent: str
    epoch: int
    session: str
    phase: float
    shared_clock: bool = False
    next_sequence: int = 0
    backend: str = ""
    limits: Limits = LIMITS


class Reply(Message, tag="reply"):
    """The end of a request, the same one however often it is asked for.

    id: None only where the message could not be read so far. answer: of status ok and fallback,
    else empty: a directive as `vocabulary.spell` writes it (`vocabulary.read` checks it), or a
    menu's press by the fields of `question.Press`. code, reason: why not. backend: who answered.
    recorded: False if the journal could not take it yet. server_ms: from arrival until this was
    sent. stages: milliseconds by name (queue, vision, reasoning, decode, …).
    """

    id: RequestId | None
    status: Status
    answer: dict[str, Any] = msgspec.field(default_factory=dict)
    code: Code = ""
    reason: str = ""
    backend: str = ""
    confidence: float = 0.0
    reasoning: str = ""
    server_ms: float = 0.0
    stages: dict[str, float] = msgspec.field(default_factory=dict)
    recorded: bool = True
    replayed: bool = False


class Ack(Message, tag="ack"):
    """of `outcome`: it is written down, stop sending it. of `pending`: the request arrived and is
    not answered yet. of `bye`: the name is free."""

    id: RequestId | None
    of: Literal["outcome", "pending", "bye"]


ToBroker: TypeAlias = Hello | Request | Query | Outcome | Bye
ToAgent: TypeAlias = Welcome | Reply | Ack
_Read = TypeVar("_Read", ToBroker, ToAgent)


class WireError(CorruptError):
    """A message that cannot be taken. code: what a Reply says; id: whose it was, if it says so."""

    def __init__(self, code: Code, reason: str, id: RequestId | None = None) -> None:
        super().__init__(reason)
        self.code: Code = code
        self.id = id


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
    """The parts to send. frames: a Request's JPEGs, as many as it lists.

    Raises ValueError if they are not.
    """
    told = len(message.frames) if isinstance(message, Request) else 0
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


def check_jpeg(data: Buffer, most_pixels: int = MOST_PIXELS) -> tuple[int, int]:
    """Height and width of a whole JPEG, read from its header without unfolding it.

    Raises WireError (code `jpeg`) for other bytes, a cut-off end, or more pixels than allowed.
    """
    view = memoryview(data)
    if view.nbytes < 4 or bytes(view[:2]) != b"\xff\xd8":
        raise WireError("jpeg", f"{view.nbytes} bytes that are not a JPEG")
    if bytes(view[-2:]) != b"\xff\xd9":
        raise WireError("jpeg", f"a JPEG cut off after {view.nbytes} bytes")
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(view)
    except ValueError as error:
        raise WireError("jpeg", f"a JPEG with a damaged header ({error})") from error
    if not 0 < height * width <= most_pixels:
        raise WireError("jpeg", f"a JPEG of {width}x{height} pixels, {most_pixels:,} are allowed")
    return int(height), int(width)


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
    """Raises WireError unless these are a packed GameState of finite numbers, or nothing."""
    if not len(packed):
        return
    if len(packed) != GAME_STATE.itemsize:
        size = GAME_STATE.itemsize
        raise WireError("malformed", f"state: {len(packed):,} bytes, a packed one has {size:,}")
    row = np.frombuffer(packed, GAME_STATE)[0]
    for name, most in _MOST.items():
        if row[f"{name}_count"] > most:
            raise WireError(
                "malformed", f"state.{name}_count: {row[f'{name}_count']}, at most {most}"
            )
    words = np.frombuffer(packed, np.float32)[_FLOAT_WORDS]
    if not (np.isfinite(words).all() and math.isfinite(row["time"])):
        raise WireError("malformed", "state: a number is not finite")


def boot_id() -> str:
    """What tells whether two processes have one monotonic clock; empty where nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _float_words(dtype: np.dtype[Any], at: int = 0) -> Iterator[int]:
    """Which 32-bit words of a record are single floats."""
    for name in dtype.names or ():
        field, offset = dtype.fields[name][:2]  # type: ignore[index]
        base, count = field.base, int(np.prod(field.shape, dtype=np.int64))
        for index in range(count):
            start = at + offset + index * base.itemsize
            if base.names:
                yield from _float_words(base, start)
            elif base == np.float32:
                yield start // 4


_FLOAT_WORDS = np.fromiter(_float_words(GAME_STATE), np.intp)
_MOST = {
    "entity": MAX_ENTITIES, "pickup": MAX_PICKUPS, "widget": MAX_WIDGETS, "offer": MAX_OFFERS,
}  # fmt: skip


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
    if len(sizes) != len(message.frames):
        told = len(message.frames)
        raise WireError("malformed", f"{len(sizes)} JPEGs came, the header lists {told}", id)
    if len(sizes) > limits.frames:
        raise WireError("too_large", f"{len(sizes)} frames, {limits.frames} are allowed", id)
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
