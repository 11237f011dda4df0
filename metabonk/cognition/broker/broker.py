"""The broker: takes what agents say, knows who may say it, and sends each what is for it.

Knows the messages' meaning and the names; does not know sockets (door.py), files (journal.py) or
how a request comes to its end (answering.py). Everything here runs on one asyncio loop and nothing
waits, also not for an agent that does not read.

The reply to a request is kept, and what comes again is answered with it: from memory at first, then
from the journal, also after a restart.
"""

from __future__ import annotations

import math
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

from metabonk.cognition.broker.acks import Acks
from metabonk.cognition.broker.answered_v1 import AnsweredV1, Asker
from metabonk.cognition.broker.answering import BEHIND, Answering
from metabonk.cognition.broker.ask import Ask, question_of
from metabonk.cognition.broker.measures import Measures
from metabonk.cognition.broker.names import Binding, Names, phase
from metabonk.cognition.broker.pictures import Pictures, SharedView
from metabonk.cognition.log.journal import Journal
from metabonk.cognition.protocol import legacy, wire
from metabonk.cognition.protocol.keys import Allowed
from metabonk.cognition.protocol.wire import (
    Ack,
    Buffer,
    Bye,
    Hello,
    Limits,
    Outcome,
    Query,
    Reply,
    Request,
    RequestId,
    ToAgent,
    Welcome,
    WireError,
)
from metabonk.cognition.question import Backend, metrics_of, sees

RECENT = 8  # replies per agent that are kept in memory
TICK = 0.05  # seconds between looks for what is too late
WHOLE = 2**63 - 1  # the largest number of the protocol
OWN_ROUTE = b"\0"  # what routes begin with that the ROUTER gives; no other peer can know them


class Sender(Protocol):
    """What the broker needs of a door."""

    def send(self, route: bytes, parts: list[Buffer]) -> Literal["sent", "gone", "full"]: ...


@dataclass(eq=False)
class Broker:
    """One broker. Its door hands messages to `handle`; call `tick` every TICK seconds.

    most: questions at once with a backend that says no limit of its own. agents: at most. lease:
    seconds of silence after which it is looked whether an agent is gone. explain: ask for reasons
    in words. allowed: which key may use which name; None without keys.
    """

    backend: Backend
    journal: Journal
    door: Sender
    most: int = 16
    agents: int = 256
    lease: float = 15.0
    limits: Limits = wire.LIMITS
    allowed: Allowed | None = None
    explain: bool = False
    clock: Callable[[], float] = time.monotonic
    measures: Measures = field(default_factory=Measures)
    session: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.answering = Answering(
            self.backend, self.journal, self.measures, self._deliver,
            most=self.most, clock=self.clock,
        )  # fmt: skip
        self.names = Names(self._alive, most=self.agents, lease=self.lease)
        self.pictures = Pictures(self.measures.events, most=self.agents)
        self._answered_v1 = AnsweredV1(self.agents)
        self._acks = Acks()
        self._recent: dict[str, OrderedDict[RequestId, Reply]] = {}
        self._boot = wire.boot_id()

    def handle(self, route: bytes, parts: Sequence[Buffer], key: str = "") -> None:
        """One message of a connection; key: its public key where there are keys."""
        held = self.names.of(route)
        if held is not None and held.key != key:  # an identity that its peer chose says not who
            self.names.release(held)
            self._leave(held)
        old = legacy.is_v1(parts)
        try:
            if old:
                self._legacy(route, parts, key)
                return
            message, frames = wire.decode(parts, self.limits)
            if isinstance(message, Request):
                self._request(route, message, frames)
            elif isinstance(message, Outcome):
                self._outcome(route, message)
            elif isinstance(message, Hello):
                self._hello(route, message, key)
            elif isinstance(message, Query):
                self._query(route, message.id)
            else:
                self._bye(route, message)
        except WireError as error:
            self.measures.refused[(error.code,)] += 1
            reply = Reply(id=error.id, status="error", code=error.code, reason=str(error))
            if old:
                envelope = len(parts) == 2
                self._put(route, legacy.write("", reply, None, None, envelope))
            else:
                self._send(route, reply)

    def tick(self) -> None:
        """Ends what is too late, and frees the names of who is gone."""
        self.answering.tick()
        self._acknowledge(self._acks.due(self.clock()))
        for binding in self.names.expire(self.clock()):
            self._leave(binding)

    async def drain(self, seconds: float) -> None:
        """Ends everything that is on its way, within `seconds` where the backend has it."""
        await self.answering.drain(seconds)
        self._acknowledge(self._acks.due(math.inf))

    def close(self) -> None:
        """Lets go of agents' shared memory; safe to call twice."""
        self.pictures.close()

    def metrics(self) -> str:
        """The page of metrics."""
        scheduler, journal = self.answering.scheduler, self.journal
        gauges = {
            "agents": ("Agents that are connected.", len(self.names)),
            "in_flight": ("Questions with the backend.", scheduler.flying),
            "pending": ("Requests that wait for their turn.", scheduler.waiting),
            "window": ("Questions that may be with the backend.", scheduler.window.size),
            "backend_limit": ("Questions that it takes at once; 0: any.", self.backend.limit),
            "service_seconds": ("Smoothed time of an answer.", scheduler.service.mean),
            "unrecorded": ("Decisions that the journal could not take yet.", journal.waiting),
            "journal_failing": ("1 while its disk takes nothing.", bool(journal.problem)),
            "draining": ("1 while the broker is about to end.", self.answering.draining),
        }
        counts: Mapping[str, Any] = journal.counts
        others = {f"journal_{name}_total": float(value) for name, value in counts.items()}
        others |= metrics_of(self.backend)
        return self.measures.page(gauges, others)

    def welcome_all(self) -> None:
        """Tells every agent anew what is wanted of it: the backend turned out to be another one
        than was thought when it came."""
        for binding in self.names.agents():
            if binding.protocol != 1:
                self._welcome(binding)

    def _hello(self, route: bytes, hello: Hello, key: str) -> None:
        self._welcome(self._bind(route, hello, key))

    def _welcome(self, binding: Binding) -> None:
        # Pictures that nobody would look at or keep are not asked for: coding them is most of what
        # an agent spends. Where nobody looks, those of the log come as JPEGs.
        looks = sees(self.backend)
        binding.handles = looks and binding.shared_clock and self.pictures.possible
        wanted = self._wants_pictures(binding)
        limits = self.limits if wanted else msgspec.structs.replace(self.limits, frames=0)
        welcome = Welcome(
            agent=binding.agent, epoch=binding.epoch, session=self.session,
            phase=phase(binding.seat), shared_clock=binding.shared_clock,
            next_sequence=binding.newest + 1, backend=self.backend.name, limits=limits,
            handles=binding.handles,
        )  # fmt: skip
        self._send(binding.route, welcome)

    def _wants_pictures(self, binding: Binding) -> bool:
        """Whether anybody would look at an agent's pictures, or keep them."""
        return sees(self.backend) or binding.log

    def _bind(self, route: bytes, hello: Hello, key: str) -> Binding:
        if self.allowed is not None and not self.allowed.may(key, hello.agent):
            raise WireError("denied", f"{hello.agent}: this key may not use the name (--allow)")
        before = self.names.agent(hello.agent)
        newest = self.journal.newest(hello.agent)
        binding, left = self.names.bind(route, hello, newest, self.clock(), self._boot, key)
        for other in left:
            self._leave(other)
        if before is not None and before.epoch != binding.epoch:
            self._recent.pop(binding.agent, None)
            self.pictures.forget(binding.agent)
            self._acks.forget(binding.agent)
            self.answering.withdraw(binding.agent, "epoch", "the agent began anew")
        return binding

    def _bye(self, route: bytes, bye: Bye) -> None:
        found = self.names.of(route)
        if found is None or (found.agent, found.epoch) != (bye.agent, bye.epoch):
            raise WireError("unbound", f"{bye.agent}: this connection does not have the name")
        self.names.release(found)
        self._leave(found)
        self._send(route, Ack(id=None, of="bye"))

    def _request(self, route: bytes, request: Request, frames: Sequence[Buffer]) -> None:
        now, id = self.clock(), request.id
        binding = self.names.check(route, id, now)
        old = id.sequence <= binding.newest
        if old and self._again(route, id):
            return
        deadline = now + request.left_ms / 1e3
        if binding.shared_clock:
            deadline = min(deadline, request.deadline_ns / 1e9)
        view = self._view(binding, request)
        # What came although nobody wants it was checked, and goes with the message it came in.
        kept = [bytes(frame) for frame in frames] if self._wants_pictures(binding) else []
        question = question_of(request, kept, deadline, self.explain, view)
        ask = Ask(request, question, now, route, binding.log)
        self.measures.requests[(self.measures.label(id.agent),)] += 1
        self._acks.asked(id.agent)
        binding.newest = max(binding.newest, id.sequence)
        self.answering.offer(ask, deadline, overtaken=old)

    def _view(self, binding: Binding, request: Request) -> SharedView | None:
        """The frames that a handle names. Raises WireError where it may not, or cannot be read."""
        if request.handle is msgspec.UNSET:
            return None
        if not binding.handles:
            reason = "handle: frames of this agent are not read from shared memory; send JPEGs"
            raise WireError("handle", reason, request.id)
        return self.pictures.take(request, self.limits.pixels)

    def _query(self, route: bytes, id: RequestId) -> None:
        self.names.check(route, id, self.clock())
        self.measures.events["queries"] += 1
        if not self._again(route, id):
            raise WireError("unknown", f"{id}: never arrived; send it again if there is time", id)

    def _outcome(self, route: bytes, outcome: Outcome) -> None:
        """Also of earlier epochs: what came of a decision is told by whoever has the name."""
        found = self.names.of(route)
        if found is None or found.agent != outcome.id.agent:
            raise WireError("unbound", f"{outcome.id.agent}: say Hello first", outcome.id)
        found.seen = self.clock()

        def written(new: bool) -> None:
            if new and outcome.applied:
                self.measures.age.add(outcome.age_ms / 1e3)
            if not self._acks.hold(outcome.id, self.clock()):
                self._send(route, Ack(id=outcome.id, of="outcome"))

        self._join(outcome, written)

    def _join(self, outcome: Outcome, written: Callable[[bool], None]) -> None:
        """Hands an outcome to the journal; counted once, or as refused where that cannot take it.
        written: called when it is there; False: it was before."""
        if self.journal.behind > BEHIND:
            self.measures.events["outcomes_refused"] += 1
            return

        def told(safe: bool) -> None:
            self.measures.events["outcomes" if safe else "outcomes_refused"] += 1
            if safe:
                written(True)

        self.journal.outcome(outcome, told, lambda safe: written(False))

    def _legacy(self, route: bytes, parts: Sequence[Buffer], key: str) -> None:
        now, binding = self.clock(), self.names.of(route)
        asked = legacy.read(parts, self.limits, points=binding is not None and binding.points)
        if binding is None or binding.agent != asked.agent:
            binding = self._bind(route, self._hello_v1(asked.agent), key)
        binding.seen, binding.protocol, binding.points = now, 1, asked.said.points
        if asked.came is not None:
            binding.log = True  # who tells what came of decisions logs them, and says it so alone
            self._outcome_v1(asked, asked.came, (route, key), now)
        if not asked.asks:
            return
        binding.newest += 1
        now_ns, deadline = int(now * 1e9), now + legacy.PATIENCE
        request = Request(
            id=RequestId(binding.agent, binding.epoch, binding.newest), captured_ns=now_ns,
            deadline_ns=int(deadline * 1e9), left_ms=legacy.PATIENCE * 1e3,
            state=asked.said.state.pack(), frames=legacy.infos(asked, now_ns),
        )  # fmt: skip
        question = question_of(
            request, asked.frames, deadline, self.explain, crowd=asked.said.crowd
        )
        ask = Ask(
            request, question, now, route, binding.log, 1, asked.enveloped, asked.said, key=key
        )
        self.measures.events["v1"] += 1
        self.measures.requests[(self.measures.label(binding.agent),)] += 1
        self.answering.offer(ask, deadline)

    def _hello_v1(self, agent: str) -> Hello:
        """What version 1 does not say: it began now, and after every start of its name, also where
        the clock was set back since."""
        epoch, _ = self.names.latest(agent, self.journal.newest(agent))
        return Hello(agent=agent, epoch=max(time.time_ns(), min(epoch + 1, WHOLE)), secret=b"")

    def _again(self, route: bytes, id: RequestId) -> bool:
        """Answers what came before with what became of it; False for what never did."""
        recent = self._recent.get(id.agent)
        found = recent.get(id) if recent else None
        if found is None and self.answering.holds(id):
            self._send(route, Ack(id=id, of="pending"))
            return True
        found = found or self.journal.reply(id)
        if found is None:
            return False
        self.measures.events["replayed"] += 1
        found.replayed = True
        self._send(route, found)
        return True

    def _deliver(self, ask: Ask, reply: Reply) -> None:
        """Keeps a request's reply for when it is asked for again, and sends it."""
        id = ask.request.id
        binding = self.names.agent(id.agent)
        if binding is None or binding.epoch != id.epoch:
            if self.allowed is None:  # else its route may be somebody else's by now
                self._deliver_left(ask, reply)
        elif ask.protocol == 1:
            self._deliver_v1(ask, reply)
        else:
            recent = self._recent.setdefault(id.agent, OrderedDict())
            recent[id] = reply
            if len(recent) > RECENT:
                recent.popitem(last=False)
            self._send(binding.route, reply)  # it may have come back on another one
        if ask.protocol != 1:
            self._acknowledge(self._acks.answered(id.agent))
        if binding is None:  # it left while the backend had its request: now its turn can go
            self.answering.scheduler.forget(id.agent)

    def _deliver_left(self, ask: Ask, reply: Reply) -> None:
        """To who has left the name meanwhile, where it was."""
        if ask.protocol == 1:
            self._deliver_v1(ask, reply)
        else:
            self._send(ask.route, reply)

    def _deliver_v1(self, ask: Ask, reply: Reply) -> None:
        """Its timestamp is what an outcome can name this decision by."""
        agent, at = ask.request.id.agent, time.time()
        self._answered_v1.add(
            reply, at, ask.arrived, directive=bool(legacy.says(reply, ask.said)),
            asker=(ask.route, ask.key),
        )  # fmt: skip
        self._put(ask.route, legacy.write(agent, reply, ask.said, ask.answer, ask.enveloped, at))

    def _outcome_v1(self, asked: legacy.Asked, came: legacy.Came, asker: Asker, now: float) -> None:
        """Version 1 has no acknowledgement; a refusal is told unless it would cost a request."""
        try:
            outcome = self._answered_v1.outcome(asked.agent, came, asker, now)
        except WireError:
            self.measures.events["outcomes_v1_refused"] += 1
            if not asked.asks:
                raise
        else:
            self._join(outcome, lambda new: None)

    def _acknowledge(self, outcomes: Iterable[RequestId]) -> None:
        """Sends what was held back, to where its agent is now."""
        for id in outcomes:
            binding = self.names.agent(id.agent)
            if binding is not None:
                self._send(binding.route, Ack(id=id, of="outcome"))

    def _leave(self, binding: Binding) -> None:
        self._recent.pop(binding.agent, None)
        self._acks.forget(binding.agent)
        self.pictures.forget(binding.agent)
        self.answering.withdraw(binding.agent, "unbound", "the agent is gone")
        self.answering.scheduler.forget(binding.agent)

    def _alive(self, binding: Binding) -> bool:
        """Whether a connection is there: a message that means nothing cannot be sent to who is not.

        Version 1 knows no such message; there silence alone decides. So it does where there are
        keys and the route is an identity that a peer chose: another peer may have it by now, who
        says nothing, and a message would get there.
        """
        chosen = self.allowed is not None and not binding.route.startswith(OWN_ROUTE)
        if binding.protocol == 1 or chosen:
            return self.clock() - binding.seen <= self.lease
        return self.door.send(binding.route, wire.encode(Ack(id=None, of="pending"))) != "gone"

    def _send(self, route: bytes, message: ToAgent) -> None:
        self._put(route, wire.encode(message))

    def _put(self, route: bytes, parts: list[Buffer]) -> None:
        if self.door.send(route, parts) != "sent":
            self.measures.events["unsent"] += 1
