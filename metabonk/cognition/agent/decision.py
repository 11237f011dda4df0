"""What becomes of one request, as the agent sees it, and how an answer of a server is read.

Knows the statuses, directives and presses; does not know when anything is sent, nor by what.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from metabonk.cognition import vocabulary
from metabonk.cognition.protocol.wire import Code, QuestionKind, RequestId, Trigger
from metabonk.cognition.question import PRESSES, Press
from metabonk.cognition.vocabulary import Directive
from metabonk.errors import CorruptError

Verdict = Literal["ok", "fallback", "stale", "rejected", "error", "lost"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one request.

    status: the reply's, or `stale` where it came too late for this agent or its run is over, or
    `lost`. directive: to be put in force until `until_ns`; press: of a menu. None of either unless
    the status is ok or fallback. times: monotonic nanoseconds. stages: milliseconds by name, as the
    server says.
    """

    id: RequestId
    status: Verdict
    trigger: Trigger
    captured_ns: int
    sent_ns: int
    received_ns: int
    directive: Directive | None = None
    press: Press | None = None
    until_ns: int = 0
    code: Code = ""
    reason: str = ""
    backend: str = ""
    confidence: float = 0.0
    reasoning: str = ""
    server_ms: float = 0.0
    question: QuestionKind = "strategy"
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass
class DialogueCounts:
    """What was counted; every request ends as exactly one of ok … lost.

    late: replies to what was given up or replaced. unreadable: messages that are none. dropped:
    outcomes that found no room or were refused. handles_refused: requests whose frames the server
    could not read from shared memory; they went again, as JPEGs.
    """

    requests: int = 0
    critical: int = 0
    ok: int = 0
    fallback: int = 0
    stale: int = 0
    rejected: int = 0
    error: int = 0
    lost: int = 0
    late: int = 0
    unreadable: int = 0
    hellos: int = 0
    refused: int = 0
    queries: int = 0
    sent_again: int = 0
    handles_refused: int = 0
    outcomes: int = 0
    acknowledged: int = 0
    dropped: int = 0


@dataclass
class ClientCounts:
    """What the client counted itself; the dialogue and the strip count, too.

    blind: wishes that found no sight younger than a second. unread: states that are none. full:
    messages that found the socket's queue full, which a Query makes good. applied: directives that
    the game took; not_taken: those that it did not. local: directives of the local
    strategist, while the server gave none. by_handle: strips that lay in shared memory;
    not_shared: that should have, where there was no room. encode_s: seconds of processor time for
    JPEGs and for copying into shared memory; predict_s: for predictions.
    """

    sights: int = 0
    blind: int = 0
    unread: int = 0
    full: int = 0
    connects: int = 0
    disconnects: int = 0
    applied: int = 0
    not_taken: int = 0
    local: int = 0
    by_handle: int = 0
    not_shared: int = 0
    encode_s: float = 0.0
    predict_s: float = 0.0


def read_answer(
    answer: Mapping[str, Any], question: QuestionKind
) -> tuple[Directive | None, Press | None]:
    """A reply's answer: a directive or a press, checked. Raises CorruptError."""
    if question == "strategy":
        return vocabulary.read(answer), None
    return None, read_press(answer)


def read_press(answer: Mapping[str, Any]) -> Press:
    """A menu's press by the fields of `question.Press`. Raises CorruptError.

    Every number is checked for every kind: a NaN where a `noop` has nothing to say is no number
    either, and would break whoever reads it later.
    """
    kind, choice, x, y = (answer.get(name, 0) for name in ("kind", "choice", "x", "y"))
    if kind not in PRESSES:
        raise CorruptError(f"press.kind: {_short(kind)}; wanted {', '.join(PRESSES)}")
    least = 1 if kind == "click" else 0
    whole = isinstance(choice, int) and not isinstance(choice, bool)
    if not whole or not least <= choice <= vocabulary.WIDGETS:
        raise CorruptError(
            f"press.choice: {_short(choice)}; wanted {least} to {vocabulary.WIDGETS}"
        )
    # A click's place says where its widget is, which may reach over the edge.
    most = 1.0 if kind == "click_xy" else math.inf
    if not (_within(x, most) and _within(y, most)):
        wanted = "0 to 1 from the top left" if kind == "click_xy" else "finite numbers"
        raise CorruptError(f"press.x, press.y: {_short(x)}, {_short(y)}; wanted {wanted}")
    text = answer.get("text", "")
    return Press(kind, choice, float(x), float(y), text[:80] if isinstance(text, str) else "")


def _within(value: object, most: float) -> bool:
    """Whether it is a finite number from 0 to `most`; without a `most`, of either sign."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) if most == math.inf else 0.0 <= value <= most


def _short(value: object) -> str:
    """A value for an error's text; lists and the like, which may be deep, by their type alone."""
    if isinstance(value, str):
        return repr(value[:20])
    return repr(value) if isinstance(value, int | float | None) else type(value).__name__
