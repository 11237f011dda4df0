"""What a backend is asked and what it answers: typed, whole, without transport.

Knows the records and the vocabulary; does not know who asks (the broker), who answers (rules, a
model server, a distilled policy) or how bytes travel. A backend never raises anything but
`Undecided` for what can go wrong with a question; cancelling its coroutine aborts the work.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol

from metabonk import protocols
from metabonk.errors import MetabonkError
from metabonk.records import GameState

if TYPE_CHECKING:
    from metabonk.cognition.vocabulary import Directive

Kind = Literal["strategy", "menu"]
PRESSES = ("noop", "click", "click_xy")


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a strip.

    jpeg: its bytes; empty while it lies in shared memory only, until somebody looks
    (Question.look). time: seconds from the current frame's capture; negative in the past, positive
    if predicted. predicted: whether a predictor drew it. number: its place in the strip.
    """

    jpeg: bytes
    time: float
    predicted: bool = False
    number: int = 0


class View(Protocol):
    """A strip that lies in shared memory until somebody looks at it. seconds: that looking took."""

    seconds: float

    async def look(self, frames: Sequence[Frame]) -> tuple[Frame, ...]:
        """These frames of it as JPEGs, those left out that were overwritten meanwhile. Others of
        the loop go on while it is read."""

    def seen(self) -> tuple[Frame, ...]:
        """The frames that somebody looked at so far, as they were shown."""

    def release(self) -> None:
        """Nobody will look any more: the memory can go, what was looked at stays."""


@dataclass(frozen=True)
class Question:
    """One request as backends see it.

    kind: `strategy` asks for a directive, `menu` for what to press. agent: who asks. packed: the
    state as records.GameState.pack() bytes [16376], empty where the sender had none. frames: the
    strip, oldest first; empty without pictures. view: reads them where they are not JPEGs yet; a
    backend gets the frames that it shows by `look`. deadline: time.monotonic() seconds after which
    nobody wants the answer. in_force: the directive that is being executed. latency: seconds from
    capture until an answer is expected to be applied. critical: health, boss or menu made it
    urgent. goal: in words, from the operator and never from the screen. explain: also give reasons
    in words, outside of control. crowd: enemies that are near beside those of the state, as who
    asks knows how many and not where (version 1).
    """

    agent: str
    kind: Kind = "strategy"
    packed: bytes = b""
    frames: tuple[Frame, ...] = ()
    deadline: float = float("inf")
    in_force: Directive | None = None
    latency: float = 0.0
    critical: bool = False
    goal: str = ""
    explain: bool = False
    crowd: int = 0
    view: View | None = None

    @cached_property
    def state(self) -> GameState:
        """The state, unpacked once; an empty one without. Raises CorruptError."""
        return GameState.unpack(self.packed) if self.packed else GameState()

    async def look(self, frames: Sequence[Frame]) -> tuple[Frame, ...]:
        """Some of `frames` with their JPEGs: all of them, unless they lie in shared memory and were
        overwritten meanwhile."""
        return tuple(frames) if self.view is None else await self.view.look(frames)

    def seen(self) -> tuple[Frame, ...]:
        """The frames whose JPEGs are here: in shared memory, those that were looked at."""
        return self.frames if self.view is None else self.view.seen()

    def left(self) -> float:
        """Seconds until the deadline; negative when it has passed."""
        return self.deadline - time.monotonic()


@dataclass(frozen=True, slots=True)
class Press:
    """A menu's answer. choice: 1..32 of a `click`, the widget. x, y: 0..1 from the top left of a
    `click_xy`. text: the widget's, for the log."""

    kind: Literal["noop", "click", "click_xy"] = "noop"
    choice: int = 0
    x: float = 0.0
    y: float = 0.0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a backend decided. Exactly one of directive and press is set, after the question's kind.

    backend, model: who. mode: how (`rules`, `score`, `schema`, `policy`). confidence: 0..1,
    probability of the chosen action. probabilities: of every action where the backend has them.
    reasoning, goal, strategy: words for people and the log; control never reads them. stages:
    seconds by name (`prompt`, `queue`, `server`, `parse`, ...). tokens, cached_tokens: of the
    prompt, as the server says; 0 unknown. path: failures of earlier backends of a chain, as
    `name: reason`; a non-empty one makes the reply a `fallback`.
    """

    backend: str
    directive: Directive | None = None
    press: Press | None = None
    mode: str = ""
    model: str = ""
    confidence: float = 0.0
    probabilities: Mapping[str, float] = field(default_factory=dict)
    reasoning: str = ""
    goal: str = ""
    strategy: str = ""
    stages: Mapping[str, float] = field(default_factory=dict)
    tokens: int = 0
    cached_tokens: int = 0
    path: tuple[str, ...] = ()


class Failure(enum.StrEnum):
    """Why there is no answer; each is counted under its name."""

    UNREACHABLE = "unreachable"  # no connection, or it broke
    LATE = "late"  # the deadline passed; the work was aborted
    REFUSED = "refused"  # the question cannot be taken (4xx): its state, its pictures
    BROKEN = "broken"  # the server is at fault (5xx), or lost its model or its key
    OVERLOADED = "overloaded"  # 429 or 503: not now
    GARBAGE = "garbage"  # an answer outside the vocabulary, or that fits no state
    OPEN = "open"  # the circuit breaker keeps away from a backend that fails
    UNSUPPORTED = "unsupported"  # this backend never answers this kind of question


class Undecided(MetabonkError, RuntimeError):
    """A backend has no answer to one question; the message says what was got and wanted."""

    def __init__(self, failure: Failure, message: str, backend: str = "") -> None:
        self.failure = failure
        self.backend = backend
        super().__init__(f"{backend}: {message}" if backend else message)


Backend = protocols.Backend[Question, Answer]


def sees(backend: Backend) -> bool:
    """Whether anything of a question's pictures reaches its answers; backends that decide by states
    alone say `sees = False`."""
    return bool(getattr(backend, "sees", True))


def checks(backend: Backend) -> bool:
    """Whether its answers were held against their questions already (`fits.check`), as a chain does
    after each of its own; who asks any other has to."""
    return bool(getattr(backend, "checks", False))


def metrics_of(backend: Backend) -> Mapping[str, float]:
    """Counters and gauges by Prometheus name, of backends that keep any (`metrics` method)."""
    read = getattr(backend, "metrics", None)
    return dict(read()) if callable(read) else {}
