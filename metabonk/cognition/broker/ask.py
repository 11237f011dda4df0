"""One request on its way through the broker, and the reply that it ends with.

Knows how a message becomes a question for a backend and an answer a reply; does not know queues,
connections or journals.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from metabonk.cognition import vocabulary
from metabonk.cognition.broker.pictures import SharedView, frames_of
from metabonk.cognition.log.journal import Decision
from metabonk.cognition.protocol.state_v1 import Said
from metabonk.cognition.protocol.wire import Code, Reply, Request, Status, WireError
from metabonk.cognition.question import Answer, Question, View
from metabonk.errors import CorruptError

MOST_REASON = 500  # characters of a reply
MOST_REASONING = 1000
MOST_NAME = 100


@dataclass(eq=False, slots=True)
class Ask:
    """arrived, ended: seconds on the broker's clock. queued, decided: seconds that it waited for
    its turn, and for the backend. keep: its frames, beside the journal. said: by version 1,
    whose targets are places. sent: the reply is out. key: of who asks, where there are keys."""

    request: Request
    question: Question
    arrived: float
    route: bytes
    keep: bool = False
    protocol: int = 2
    enveloped: bool = False
    said: Said | None = None
    answer: Answer | None = None
    queued: float = 0.0
    decided: float = 0.0
    ended: float = 0.0
    sent: bool = False
    key: str = ""


def question_of(
    request: Request,
    jpegs: Sequence[bytes],
    deadline: float,
    explain: bool,
    view: SharedView | None = None,
    crowd: int = 0,
) -> Question:
    """What a backend is asked. jpegs: as many as the request lists, or none where nobody wants any.
    deadline: monotonic seconds. view: the frames, where a handle names them and they are still
    there. Raises WireError for a directive in force that is none."""
    try:
        in_force = None if request.in_force is None else vocabulary.read(request.in_force)
    except CorruptError as error:
        raise WireError("malformed", f"in_force.{error}", request.id) from error
    strip = view.frames if view else frames_of(request, jpegs) if jpegs else ()
    return Question(
        agent=request.id.agent, kind=request.question, packed=request.state, frames=strip,
        deadline=deadline, in_force=in_force, latency=request.expected_ms / 1e3,
        critical=request.critical, goal=request.goal, explain=explain, crowd=crowd,
        view=view,
    )  # fmt: skip


def reply_of(ask: Ask, status: Status, code: Code, reason: str) -> Reply:
    """What the agent is told; `server_ms` and `recorded` are set when it goes."""
    reply = Reply(id=ask.request.id, status=status, code=code, reason=_said(reason, MOST_REASON))
    answer = ask.answer
    if answer is None:
        return reply
    reply.backend, reply.reasoning = answer.backend, answer.reasoning
    sure = answer.confidence
    reply.confidence = min(max(sure, 0.0), 1.0) if math.isfinite(sure) else 0.0
    stages = {"queue": ask.queued, "backend": ask.decided, **answer.stages}
    reply.stages = {k: round(v * 1e3, 3) for k, v in stages.items() if math.isfinite(v)}
    if answer.directive is not None:
        reply.answer = vocabulary.spell(answer.directive)
    elif answer.press is not None:
        reply.answer = dataclasses.asdict(answer.press)
    return reply


def row_of(ask: Ask, reply: Reply) -> Decision:
    """What the journal keeps of it."""
    request, answer, held = ask.request, ask.answer, ask.question.in_force
    decision = Decision(
        reply=reply, at=time.time(), question=request.question, cause=request.trigger,
        episode=request.episode, goal=request.goal, protocol=ask.protocol, state=request.state,
        crowd=ask.question.crowd,
        in_force=None if held is None else vocabulary.spell(held),
        frames=[(f.jpeg, f.time, f.predicted) for f in ask.question.seen()] if ask.keep else (),
    )  # fmt: skip
    if answer is not None:
        decision.model, decision.mode = answer.model, answer.mode
        kept = {k: round(v, 4) for k, v in answer.probabilities.items() if math.isfinite(v)}
        decision.probabilities = kept
    return decision


def readable(answer: Answer, view: View | None = None) -> Answer:
    """An answer whose words can be sent and kept, whatever a model wrote. view: what was looked at
    for it, which took some of its time."""
    words = (answer.reasoning, answer.goal, answer.strategy, answer.model)
    said = tuple(map(_said, words, (MOST_REASONING, MOST_REASON, MOST_REASON, MOST_NAME)))
    looked = {"encode": view.seconds} if view is not None and view.seconds else {}
    if said == words and not looked:
        return answer
    reasoning, goal, strategy, model = said
    return dataclasses.replace(
        answer, stages={**answer.stages, **looked}, reasoning=reasoning, goal=goal,
        strategy=strategy, model=model,
    )  # fmt: skip


def _said(text: str, most: int) -> str:
    """Foreign text that can be written everywhere: halves of characters become question marks."""
    if len(text) <= most and text.isascii():
        return text
    return text[:most].encode("utf-8", "replace").decode()
