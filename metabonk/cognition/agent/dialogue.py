"""The agent's side of the cognitive protocol 2: what to send when, and what to believe.

Knows ids, deadlines, retries and which replies may still be applied; does not know sockets, threads
or clocks (the time is an argument, monotonic nanoseconds), nor who plays. client.py carries out
what this says, and a test can walk through years of it in a moment.

One request is under way at a time; a critical one may follow it at once, and the broker then keeps
the newer of the two. What else is wanted meanwhile is remembered as one wish and becomes a request
of the then newest sight. A reply counts if it names a request that is under way, comes before that
request's deadline, is newer than the last one applied, says a directive of the vocabulary, and the
directive's validity, which runs from the capture, is not over. A request that gets no reply is
asked for by a Query that costs a header, sent once more if it never arrived, and given up at its
deadline, or when the run that it asks about is over. Outcomes go with the next request, and until
they are acknowledged.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from metabonk.cognition import vocabulary
from metabonk.cognition.agent.decision import Decision, DialogueCounts, Verdict, read_answer
from metabonk.cognition.agent.outbox import Outbox
from metabonk.cognition.agent.wishes import NS, Wishes, is_critical
from metabonk.cognition.protocol import wire
from metabonk.cognition.protocol.wire import (
    Ack,
    Buffer,
    Hello,
    Outcome,
    Query,
    QuestionKind,
    Reply,
    Request,
    RequestId,
    ToAgent,
    Trigger,
    Welcome,
    WireError,
)
from metabonk.cognition.question import Press
from metabonk.cognition.vocabulary import Directive
from metabonk.errors import CorruptError

HELLO_AGAIN = 1 * NS  # between two Hellos that are not answered
HELLO_REFUSED = 3 * NS  # after one that was refused
QUERY_LEAST, QUERY_MOST = NS // 4, 2 * NS
MOST_SEQUENCE = 2**60
SENT_AGAIN = 2  # times that a request is sent anew
TOGETHER = 2 * NS  # that an outcome waits at most for a request to go with: each costs less so
Spare = Callable[[], Sequence[Buffer]]
_WEIGHT = 0.2  # of the newest latency in the smoothed one


@dataclass(slots=True)
class _Flight:
    """A request under way. spare: makes the JPEGs that are sent if the broker refuses the handle.
    ask_ns: when to ask for its reply. missing: the broker never had it. again: times that it was
    sent anew."""

    request: Request
    jpegs: list[Buffer]
    spare: Spare | None
    sent_ns: int
    ask_ns: int
    missing: bool = False
    again: int = 0


class Dialogue:
    """One agent's conversation with a broker.

    agent: its name. epoch: larger at every start of the process. secret: 16 random bytes of it.
    every: seconds between regular requests. patience: seconds from capture until an answer is of no
    use. clock: boot id, so that the broker can read this machine's times.
    """

    renew = False  # never needs another connection than the one that comes back by itself

    def __init__(
        self,
        agent: str,
        epoch: int,
        secret: bytes,
        *,
        every: float = 2.0,
        patience: float = 4.0,
        clock: str = "",
        log: bool = False,
    ) -> None:
        self.agent, self.epoch, self.patience = agent, epoch, patience
        self.counts = DialogueCounts()
        self.wishes = Wishes(every)
        self.latency = 0.0  # seconds from capture to reply, smoothed; 0 before the first
        self.why = ""  # why the broker refuses us; empty if it does not
        self.limits = wire.LIMITS
        self.handles = False  # whether the broker reads frames by handles
        self.backend = ""
        self._secret, self._clock, self._log = secret, clock, log
        self._connected = self._bound = False
        self._session = ""
        self._hello_ns = 0
        self._sequence = 0
        self._applied = -1  # sequence of the newest reply that was applied
        self._flights: OrderedDict[int, _Flight] = OrderedDict()
        self._outbox = Outbox()

    # What the connection says ---------------------------------------------------------------

    def connected(self, now: int) -> None:
        """A connection is there: the name has to be bound to it."""
        self._connected, self._bound, self._hello_ns = True, False, now

    def disconnected(self) -> None:
        self._connected = self._bound = False

    @property
    def bound(self) -> bool:
        """Whether the broker knows who speaks."""
        return self._bound

    @property
    def under_way(self) -> int:
        return len(self._flights)

    @property
    def waiting_outcomes(self) -> int:
        return len(self._outbox)

    # Requests -------------------------------------------------------------------------------

    def wanted(self, now: int, question: QuestionKind = "strategy") -> Trigger | None:
        """Why a request is to be made of the newest sight now; None if none is.

        question: of regular requests, which become due at this agent's place in the period.
        """
        if not self._bound:
            return None
        trigger = self.wishes.newest(now, question)
        room = not self._flights or (len(self._flights) == 1 and is_critical(trigger or "period"))
        return trigger if room else None

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
        """The request that is wanted, about a sight: its id and the parts to send. handle: where
        the frames lie, instead of JPEGs, which `spare` makes should it be refused. goal, menu_goal:
        of the game and of menus; the one that the question is about is told. Raises LookupError
        where none is wanted."""
        trigger, question = self.wishes.take()
        self._sequence += 1
        deadline = captured_ns + round(self.patience * NS)
        id = RequestId(self.agent, self.epoch, self._sequence)
        made = Request(
            id=id,
            captured_ns=captured_ns,
            deadline_ns=deadline,
            left_ms=self._left_ms(deadline, now),
            question=question,
            trigger=trigger,
            episode=episode,
            state=state,
            frames=list(frames),
            goal=menu_goal if question == "menu" else goal,
            in_force=None if in_force is None else vocabulary.spell(in_force),
            expected_ms=min(self.latency * 1e3, wire.LONGEST_MS),
            handle=handle or msgspec.UNSET,
        )
        flight = _Flight(made, list(jpegs), spare, now, now + self._patient())
        self._flights[self._sequence] = flight
        self.counts.requests += 1
        self.counts.critical += made.critical
        self._outbox.along()
        return id, wire.encode(made, jpegs)

    # What comes -----------------------------------------------------------------------------

    def take(self, parts: Sequence[Buffer], now: int) -> list[Decision]:
        """What the broker sent; the decisions that it ends."""
        try:
            message = wire.decode_answer(parts)
        except WireError:
            self.counts.unreadable += 1
            return []
        return self._take(message, now)

    def _take(self, message: ToAgent, now: int) -> list[Decision]:
        if isinstance(message, Welcome):
            self._welcome(message, now)
        elif isinstance(message, Ack):
            self._acknowledge(message, now)
        elif message.id is None:
            self._refused(message, now)
        elif message.id.agent == self.agent and message.id.epoch == self.epoch:
            return self._reply(message, message.id.sequence, now)
        else:
            self.counts.late += 1
        return []

    def _welcome(self, message: Welcome, now: int) -> None:
        sound = math.isfinite(message.phase) and 0 <= message.next_sequence <= MOST_SEQUENCE
        if message.agent != self.agent or message.epoch != self.epoch or not sound:
            self.counts.unreadable += 1
            return
        restarted = bool(self._session) and message.session != self._session
        self._bound, self._session, self.why = True, message.session, ""
        self._sequence = max(self._sequence, message.next_sequence - 1)
        self.limits, self.backend = message.limits, message.backend
        self.handles = message.handles
        self.wishes.begin(message.phase, now)
        for flight in self._flights.values():
            flight.ask_ns = now  # what was said to another connection may be lost
        self._outbox.hurry(now, anew=restarted)

    def _acknowledge(self, message: Ack, now: int) -> None:
        if message.id is None:
            return
        if message.of == "outcome":
            self.counts.acknowledged += self._outbox.remove(message.id)
        elif message.of == "pending" and message.id.sequence in self._flights:
            self._flights[message.id.sequence].ask_ns = now + self._patient()

    def _refused(self, message: Reply, now: int) -> None:
        """A refusal that names no request: of a Hello, or of what could not be read."""
        self.counts.refused += 1
        self.why = f"{message.code}: {message.reason}"
        if not self._bound:
            self._hello_ns = now + HELLO_REFUSED

    def _reply(self, reply: Reply, sequence: int, now: int) -> list[Decision]:
        if reply.code == "unbound":  # the broker began anew, or lost sight of us
            if self._bound:
                self._bound, self._hello_ns = False, now
            return []
        flight = self._flights.get(sequence)
        if flight is None:
            self._unasked(reply)
            return []
        if reply.code == "handle" and flight.spare is not None:
            self._send_jpegs(flight, flight.spare, now)
            return []
        if reply.code == "unknown" and flight.again < SENT_AGAIN:
            flight.missing, flight.ask_ns = True, now
            return []
        if reply.code == "draining":
            self._bound, self._hello_ns = False, now + HELLO_AGAIN
        del self._flights[sequence]
        return [self._decide(flight, reply, now)]

    def _send_jpegs(self, flight: _Flight, spare: Spare, now: int) -> None:
        """The broker cannot read our memory: the request is sent as JPEGs, under the same id, and
        those after it until another Welcome."""
        self.handles = False
        self.counts.handles_refused += 1
        flight.request.handle = msgspec.UNSET
        flight.jpegs, flight.spare = list(spare()), None
        flight.missing, flight.ask_ns = True, now

    def _unasked(self, reply: Reply) -> None:
        """A reply to what was given up before, or the refusal of an outcome, which no repetition
        would change."""
        if reply.status == "error" and reply.code in ("malformed", "version", "epoch"):
            assert reply.id is not None
            self.counts.dropped += self._outbox.remove(reply.id)
        self.counts.late += 1

    def _decide(self, flight: _Flight, reply: Reply, now: int) -> Decision:
        seconds = (now - flight.request.captured_ns) / NS
        self.latency += (_WEIGHT if self.latency else 1.0) * (seconds - self.latency)
        status: Verdict = reply.status
        code, reason = reply.code, reply.reason
        directive: Directive | None = None
        press: Press | None = None
        until = 0
        if status in ("ok", "fallback"):
            try:
                directive, press = read_answer(reply.answer, flight.request.question)
            except CorruptError as error:
                status, code, reason = "error", "malformed", str(error)
        sequence = flight.request.id.sequence
        if directive is not None:
            until = flight.request.captured_ns + round(directive.seconds * NS)
        if directive is not None or press is not None:
            over = now >= flight.request.deadline_ns or (directive is not None and now >= until)
            if over or sequence < self._applied:
                status, code, directive, press = "stale", "late", None, None
                reason = "it came too late" if over else "a newer one was applied before"
            else:
                self._applied = sequence
        self._count(status)
        return Decision(
            flight.request.id, status, flight.request.trigger, flight.request.captured_ns,
            flight.sent_ns, now, directive, press, until, code, reason, reply.backend,
            reply.confidence, reply.reasoning, reply.server_ms, flight.request.question,
            reply.stages,
        )  # fmt: skip

    # What is due ----------------------------------------------------------------------------

    def expired(self, now: int) -> list[Decision]:
        """The requests whose deadline has passed without a reply; they are given up."""
        over = [s for s, f in self._flights.items() if now >= f.request.deadline_ns]
        return [self._give_up(s, "lost", "no reply before the deadline", now) for s in over]

    def part(self, now: int) -> list[Decision]:
        """The run is over that all requests under way ask about: they are given up as stale."""
        return [self._give_up(s, "stale", "its run is over", now) for s in list(self._flights)]

    def _give_up(self, sequence: int, status: Verdict, reason: str, now: int) -> Decision:
        flight = self._flights.pop(sequence)
        self._count(status)
        request = flight.request
        return Decision(
            request.id, status, request.trigger, request.captured_ns, flight.sent_ns, now,
            reason=reason, question=request.question,
        )  # fmt: skip

    def due(self, now: int) -> list[list[Buffer]]:
        """Everything else that is to be sent now: Hello, Queries, requests anew, outcomes."""
        if not self._connected:
            return []
        if not self._bound:
            if now < self._hello_ns:
                return []
            self._hello_ns = now + HELLO_AGAIN
            self.counts.hellos += 1
            return [wire.encode(Hello(agent=self.agent, epoch=self.epoch, secret=self._secret,
                                      clock=self._clock, log=self._log))]  # fmt: skip
        reports = [wire.encode(outcome) for outcome in self._outbox.due(now)]
        return [*self._questions(now), *reports]

    def _questions(self, now: int) -> list[list[Buffer]]:
        found = []
        for flight in self._flights.values():
            if now < flight.ask_ns:
                continue
            flight.ask_ns = now + self._patient()
            if flight.missing:
                flight.request.left_ms = self._left_ms(flight.request.deadline_ns, now)
                found.append(wire.encode(flight.request, flight.jpegs))
                flight.missing = False
                flight.again += 1
                self.counts.sent_again += 1
            else:
                found.append(wire.encode(Query(id=flight.request.id)))
                self.counts.queries += 1
        return found

    def report(self, outcome: Outcome, now: int) -> None:
        """Hands over an outcome, to be sent with the next request, which may have to wait for the
        one under way, and then until it is acknowledged. Where no more fit, the oldest one is
        dropped and counted."""
        self.counts.dropped += not self._outbox.add(outcome, now + TOGETHER)
        self.counts.outcomes += 1

    def hurry(self, now: int) -> None:
        """There will be no more requests for outcomes to go with: all are due."""
        self._outbox.hurry(now, anew=False)

    def next_ns(self, now: int) -> int:
        """When `due`, `expired` or `wanted` may have something, if nothing comes before."""
        times = [flight.request.deadline_ns for flight in self._flights.values()]
        if self._connected and not self._bound:
            times.append(self._hello_ns)
        if self._bound:
            # What is wished for while a request is under way waits for its end, which wakes anyway.
            times += [f.ask_ns for f in self._flights.values()] or [self.wishes.next_ns]
            outcome = self._outbox.next_ns
            times += [] if outcome is None else [outcome]
        return min(times, default=now + NS)

    def goodbye(self) -> list[Buffer] | None:
        """What is said before the connection is closed; None if nobody listens."""
        return wire.encode(wire.Bye(agent=self.agent, epoch=self.epoch)) if self._bound else None

    # ----------------------------------------------------------------------------------------

    def _patient(self) -> int:
        """How long a reply is waited for before it is asked for."""
        return min(max(round(2 * self.latency * NS), QUERY_LEAST), QUERY_MOST)

    def _left_ms(self, deadline: int, now: int) -> float:
        return min(max((deadline - now) / 1e6, 0.0), wire.LONGEST_MS)

    def _count(self, status: Verdict) -> None:
        setattr(self.counts, status, getattr(self.counts, status) + 1)
