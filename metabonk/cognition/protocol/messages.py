"""The cognitive protocol, version 2: what an agent and the broker say to each other.

Knows the messages and their limits; does not know bytes (wire.py), sockets, journals, directives or
models. A message is multipart: one header of MessagePack (a map whose `kind` names the message),
then one JPEG for every frame that the header lists, or none where a handle says where in shared
memory they lie. Version 1 (one part of JSON) is in legacy.py; its first byte is never that of a
map, so both arrive at one port.

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
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from metabonk.cognition.protocol.sizes import FRAME_BYTES as FRAME_BYTES
from metabonk.cognition.protocol.sizes import HEADER_BYTES as HEADER_BYTES
from metabonk.cognition.protocol.sizes import LONGEST_MS as LONGEST_MS
from metabonk.cognition.protocol.sizes import MOST_DEPTH as MOST_DEPTH
from metabonk.cognition.protocol.sizes import MOST_FRAMES as MOST_FRAMES
from metabonk.cognition.protocol.sizes import MOST_PIXELS as MOST_PIXELS
from metabonk.cognition.protocol.sizes import STRIP_BYTES as STRIP_BYTES
from metabonk.errors import CorruptError
from metabonk.records import GAME_STATE

VERSION = 2

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
    "handle",  # frames cannot be read by it: send the request again, with JPEGs
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
Finite = float  # checked by `_require_finite`: msgspec has no such bound


class RequestId(msgspec.Struct, frozen=True, array_like=True, order=True):
    """What one request is known by, on the wire and in the journal."""

    agent: AgentName
    epoch: Counter
    sequence: Counter

    def __str__(self) -> str:
        return f"{self.agent}/{self.epoch}/{self.sequence}"


class FrameInfo(msgspec.Struct, frozen=True, array_like=True):
    """What the header says of one frame. at_ns: when it was, or (predicted) will be, seen."""

    at_ns: Counter
    predicted: bool = False


class Handle(msgspec.Struct, frozen=True, array_like=True):
    """Where a request's frames lie: one frame of a ring in shared memory (docs/frame_ring.md).

    ring: its name, never a path. session: the ring's own random one, 8 bytes, little-endian: only
    who may read the ring knows it. number: the frame's `step`, larger with every strip. quality: of
    the JPEGs that the broker makes of what a backend looks at.
    """

    ring: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
    session: Annotated[bytes, Meta(min_length=8, max_length=8)]
    number: Counter
    quality: Annotated[int, Meta(ge=1, le=100)] = 85


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
    """A question about a situation; the parts behind the header are `frames`' JPEGs, in order, and
    none where there is a handle.

    captured_ns: when the state was seen; the newest real frame was not later, and its own `at_ns`
    says when. deadline_ns: when the answer is of no more use. left_ms: from the sending until then.
    trigger: why now; all but `period` go before it. episode: larger with every episode of the
    agent. state: the situation, as `records.GameState.pack()` writes it, finite numbers only; empty
    without. goal: what is wanted, in words, from the user and never from the screen. in_force: the
    directive that the agent follows now, as `vocabulary.spell` writes it. expected_ms: how long the
    agent thinks that the answer takes. handle: where the frames lie; only if the Welcome said
    `handles`.
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
    handle: Handle | msgspec.UnsetType = msgspec.UNSET

    @property
    def jpegs(self) -> int:
        """How many parts stand behind the header."""
        return len(self.frames) if self.handle is msgspec.UNSET else 0

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
    this epoch. backend: who answers. handles: frames may lie in shared memory (Request.handle)."""

    agent: str
    epoch: int
    session: str
    phase: float
    shared_clock: bool = False
    next_sequence: int = 0
    backend: str = ""
    limits: Limits = LIMITS
    handles: bool = False


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


class WireError(CorruptError):
    """A message that cannot be taken. code: what a Reply says; id: whose it was, if it says so."""

    def __init__(self, code: Code, reason: str, id: RequestId | None = None) -> None:
        super().__init__(reason)
        self.code: Code = code
        self.id = id
