"""The agent's side of version 1, for deployed cognitive servers: what to send, what to believe.

Knows v1's JSON and its one weakness that matters: replies name no request. Only one request is
under way, replies come in the order of requests, and one that came after its deadline is counted
and thrown away when it comes at last; until then nothing new is asked, so that it cannot be taken
for the answer to something newer. A server that owes a reply for too long gets another connection.
Does not know sockets, threads or clocks; the doors are those of dialogue.Dialogue.

Sent as ["", JSON], which is what deployed servers wait for; replies are read with or without the
empty part before them. Deployed servers have no use for outcomes: they are counted and go nowhere.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from metabonk.cognition.agent.decision import Decision, DialogueCounts, Verdict
from metabonk.cognition.agent.dialogue import Spare
from metabonk.cognition.agent.tally import record_of
from metabonk.cognition.agent.wishes import NS, Wishes
from metabonk.cognition.protocol import state_v1, verbs_v1, wire
from metabonk.cognition.protocol.wire import Buffer, Outcome, QuestionKind, RequestId, Trigger
from metabonk.cognition.vocabulary import Directive
from metabonk.errors import CorruptError

MOST_FRAMES = 9
REPLY_BYTES = 64 << 10
OWED = 5.0  # times the patience that a late reply is waited for before the connection is renewed
_WEIGHT = 0.2


class _Reply(msgspec.Struct):
    agent_id: Annotated[str, Meta(max_length=256)] = ""
    reasoning: str = ""
    directive: dict[str, Any] = {}
    confidence: float = 0.0
    inference_time_ms: float = 0.0
    error: Any = None
    status: str = ""


class _Asked(msgspec.Struct):
    id: RequestId
    trigger: Trigger
    captured_ns: int
    sent_ns: int
    state: bytes
    given_up: bool = False


class DialogueV1:
    """One agent's conversation with a v1 server; the arguments are those of dialogue.Dialogue."""

    def __init__(self, agent: str, *, every: float = 2.0, patience: float = 4.0) -> None:
        self.agent, self.epoch, self.patience = agent, time.time_ns(), patience
        self.counts = DialogueCounts()
        self.wishes = Wishes(every)
        self.latency = 0.0
        self.why = ""
        self.backend = "v1"
        self.limits = wire.LIMITS
        self.handles = False  # v1 has frames as text and in no other way
        self.renew = False  # whether the connection is to be replaced by another one
        self._connected = False
        self._sequence = 0
        self._asked: _Asked | None = None
        self._cut = False  # the connection ended that owes a reply: it will not come

    def connected(self, now: int) -> None:
        """A connection is there: v1 has no greeting, so it can be used."""
        self._connected = True
        # Agents ask at places of their own in the period, which v1 has nobody to give out.
        self.wishes.begin(_place_of(self.agent), now)

    def disconnected(self) -> None:
        self._connected, self._cut, self.renew = False, self._asked is not None, False

    @property
    def bound(self) -> bool:
        return self._connected

    @property
    def under_way(self) -> int:
        return int(self._asked is not None and not self._asked.given_up)

    @property
    def waiting_outcomes(self) -> int:
        return 0

    def wanted(self, now: int, question: QuestionKind = "strategy") -> Trigger | None:
        """Why a request is to be made now; None while a reply is owed."""
        if not self._connected:
            return None
        trigger = self.wishes.newest(now, question)
        return None if self._asked is not None else trigger

    def request(
        self,
        now: int,
        captured_ns: int,
        state: bytes,
        frames: Sequence[wire.FrameInfo],
        jpegs: Sequence[Buffer],
        *,
        handle: wire.Handle | None = None,
        spare: Spare | None = None,
        in_force: Directive | None = None,
        goal: str = "",
        menu_goal: str = "",
        episode: int = 0,
    ) -> tuple[RequestId, list[Buffer]]:
        """The request that is wanted: its id, which stays here, and the parts to send. Version 1
        has no word for a goal, a directive in force, an episode or a handle."""
        trigger, _ = self.wishes.take()
        self._sequence += 1
        id = RequestId(self.agent, self.epoch, self._sequence)
        self._asked = _Asked(id, trigger, captured_ns, now, state)
        self.counts.requests += 1
        self.counts.critical += trigger != "period"
        text = msgspec.json.encode(
            {
                "agent_id": self.agent,
                "frames": [base64.b64encode(j).decode("ascii") for j in jpegs[-MOST_FRAMES:]],
                "state": state_v1.spell(record_of(state)) if state else {},
                "timestamp": time.time(),
            }
        )
        return id, [b"", text]

    def take(self, parts: Sequence[Buffer], now: int) -> list[Decision]:
        """A reply, with or without an empty part before it; the decision that it ends."""
        if len(parts) == 1 and not len(parts[0]):
            return []  # the envelope alone: the reply is yet to come
        asked, self._asked = self._asked, None
        if asked is None or asked.given_up:
            self.counts.late += 1
            return []
        seconds = (now - asked.captured_ns) / NS
        self.latency += (_WEIGHT if self.latency else 1.0) * (seconds - self.latency)
        return [self._decide(asked, parts, now)]

    def _decide(self, asked: _Asked, parts: Sequence[Buffer], now: int) -> Decision:
        reply, directive, reason = _Reply(), None, ""
        status: Verdict = "ok"
        try:
            reply = _read(parts)
            if reply.error or reply.status in ("stale", "rejected", "error"):
                status, reason = "error", str(reply.error)[:200]
            else:
                status = "fallback" if reply.status == "fallback" else "ok"
                if reply.directive:  # {} asks for nothing: v1 has no words for every directive
                    directive = verbs_v1.read(reply.directive, record_of(asked.state))
        except (CorruptError, ValueError) as error:
            status, reason = "error", str(error)
            self.counts.unreadable += 1
        until = 0
        if directive is not None:
            until = asked.captured_ns + round(directive.seconds * NS)
            if now >= min(until, asked.captured_ns + round(self.patience * NS)):
                status, directive, reason = "stale", None, "it came too late"
        setattr(self.counts, status, getattr(self.counts, status) + 1)
        return Decision(
            asked.id, status, asked.trigger, asked.captured_ns, asked.sent_ns, now, directive,
            None, until, "", reason, self.backend, reply.confidence, reply.reasoning[:2000],
            reply.inference_time_ms,
        )  # fmt: skip

    def expired(self, now: int) -> list[Decision]:
        """The request whose deadline has passed; its reply is still owed. One that a connection
        took with it is given up at once."""
        asked, patience = self._asked, round(self.patience * NS)
        if asked is None:
            return []
        if self._cut:
            self._asked, self._cut = None, False
            gone = "the connection ended"
            return [] if asked.given_up else [self._end(asked, "lost", gone, now)]
        if asked.given_up:
            self.renew = self._connected and now >= asked.captured_ns + round(OWED * patience)
            return []
        if now < asked.captured_ns + patience:
            return []
        asked.given_up = True
        return [self._end(asked, "lost", "no reply before the deadline", now)]

    def part(self, now: int) -> list[Decision]:
        """The run that the request asks about is over; its reply is still owed."""
        asked = self._asked
        if asked is None or asked.given_up:
            return []
        asked.given_up = True
        return [self._end(asked, "stale", "its run is over", now)]

    def _end(self, asked: _Asked, status: Verdict, reason: str, now: int) -> Decision:
        setattr(self.counts, status, getattr(self.counts, status) + 1)
        return Decision(
            asked.id, status, asked.trigger, asked.captured_ns, asked.sent_ns, now, reason=reason
        )

    def due(self, now: int) -> list[list[Buffer]]:
        return []

    def report(self, outcome: Outcome, now: int) -> None:
        """Counts an outcome; a deployed server has nowhere to put it."""
        self.counts.outcomes += 1
        self.counts.dropped += 1

    def hurry(self, now: int) -> None:
        """Nothing waits to be sent."""

    def next_ns(self, now: int) -> int:
        """When something may be due, if nothing comes before."""
        times = [self.wishes.next_ns] if self._connected else []
        if self._asked is not None:
            times.append(self._asked.captured_ns + round(self.patience * NS))
        return min([time for time in times if time > now], default=now + NS)

    def goodbye(self) -> list[Buffer] | None:
        return None


def _read(parts: Sequence[Buffer]) -> _Reply:
    """Raises CorruptError for what is no v1 reply."""
    if len(parts) > 2 or (len(parts) == 2 and len(parts[0])):
        raise CorruptError(f"reply: {len(parts)} parts; wanted JSON, perhaps behind an empty part")
    text = parts[-1]
    if len(text) > REPLY_BYTES:
        raise CorruptError(f"reply: {len(text):,} bytes; wanted at most {REPLY_BYTES:,}")
    try:
        return msgspec.json.decode(text, type=_Reply)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CorruptError(f"reply: {error}") from error


def _place_of(agent: str) -> float:
    """0..1 by an agent's name, the same in every process; `omega-0`, `omega-1`, ... lie apart."""
    digits = "".join(c for c in agent if c.isdigit())[-9:]
    number = int(digits) if digits else sum(agent.encode())
    return number * 0.6180339887498949 % 1.0
