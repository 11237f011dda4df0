"""Who is answered next: one request in flight and the newest one waiting, per agent.

Knows deadlines, urgency and fairness; does not know sockets, models, journals or the clock: every
call is told the time (seconds, monotonic), so a test can play any history. Never blocks, and holds
at most two requests per agent.

Order: what is critical first, then round-robin over agents, then the earliest deadline. Round-robin
is start-time fair queueing with unit cost: a request gets the larger of its agent's turn and the
current round, the smallest goes next, and an agent's turn rises with each answer. Who comes back
after a pause gets no credit for it; who was refused keeps its turn, else in an overload the same
agents would always come at the wrong moment. After `CRITICAL_RUN` critical requests in a row one
that is not goes before: an agent that always cries cannot starve the others.

A request that cannot be answered in time by what answers take now is refused at once, so that its
agent falls back while there is time, and nobody's work is thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from metabonk.cognition.broker.pace import ServiceTime, Window
from metabonk.cognition.protocol.wire import RequestId

How = Literal["answered", "missed", "failed", "withdrawn"]
CRITICAL_RUN = 4
CREDIT = 1  # rounds that an agent which was refused may be behind


@dataclass(eq=False, slots=True)
class Job:
    """One request. arrived, deadline: on the scheduler's clock. payload: the caller's."""

    id: RequestId
    arrived: float
    deadline: float
    critical: bool = False
    payload: Any = None
    started: float = 0.0
    left: float = 0.0  # seconds to the deadline when it was handed out


@dataclass(eq=False, slots=True)
class _Lane:
    """An agent's place. owed: its last request was refused or dropped for want of time."""

    turn: int = 0
    owed: bool = False
    flying: Job | None = None
    waiting: Job | None = None


@dataclass(slots=True)
class Verdict:
    """What became of an offer. taken: it waits or goes next; else it is too late for it.
    displaced: the request whose place it took."""

    taken: bool
    displaced: Job | None = None


@dataclass(slots=True)
class Scheduler:
    """most: requests with the backend at once at most; fewer while answers come late."""

    most: int = 16
    service: ServiceTime = field(default_factory=ServiceTime)
    window: Window = field(init=False)
    flying: int = 0
    waiting: int = field(default=0, init=False)  # requests that are not with the backend yet
    _lanes: dict[str, _Lane] = field(default_factory=dict)
    _round: int = 0
    _run: int = 0  # critical requests in a row

    def __post_init__(self) -> None:
        self.window = Window(self.most)

    def holds(self, id: RequestId) -> bool:
        """Whether a request waits or is being answered."""
        lane = self._lanes.get(id.agent)
        return lane is not None and any(j and j.id == id for j in (lane.flying, lane.waiting))

    def offer(self, job: Job, now: float) -> Verdict:
        """Takes a request in; the agent's waiting one gives way, whatever becomes of the new one.

        An older request must never live on behind the back of a newer one.
        """
        lane = self._lanes.setdefault(job.id.agent, _Lane())
        displaced = self._out(lane)
        lane.turn = max(lane.turn, self._round - (CREDIT if lane.owed else 0))
        if now + self._delay(job, lane, now) + self.service.expected(now) > job.deadline:
            lane.owed = True
            return Verdict(False, displaced)
        lane.waiting = job
        self.waiting += 1
        return Verdict(True, displaced)

    def take(self, now: float) -> tuple[Job | None, list[Job]]:
        """The next request for the backend, or None while the window is full or nobody waits; and
        those that were dropped on the way because they would be late."""
        dropped: list[Job] = []
        if not self.waiting:  # most often, as it is asked after every answer, too
            return None, dropped
        expected = self.service.expected(now)
        while self.flying < self.window.size:
            lane = self._next()
            job = None if lane is None else self._out(lane)
            if lane is None or job is None:
                break
            if now + expected > job.deadline:
                dropped.append(job)
                lane.owed = True
                continue
            lane.flying, lane.owed = job, False
            self._round = max(self._round, lane.turn)
            lane.turn += 1
            self._run = self._run + 1 if job.critical else 0
            self.flying += 1
            job.started, job.left = now, job.deadline - now
            return job, dropped
        return None, dropped

    def in_flight(self, agent: str) -> Job | None:
        """What the backend has of an agent."""
        lane = self._lanes.get(agent)
        return lane.flying if lane else None

    def finish(self, job: Job, now: float, how: How) -> None:
        """A request that `take` gave is done. answered: in time. missed: too late. failed: the
        backend refused it, which says nothing of how long answers take. withdrawn: nobody wants it
        any more, which says nothing at all."""
        lane = self._lanes[job.id.agent]
        if lane.flying is not job:
            raise ValueError(f"{job.id} is not with the backend")
        full = self.flying >= self.window.size
        lane.flying = None
        self.flying -= 1
        seconds = now - job.started
        if how in ("answered", "missed"):
            self.service.add(seconds, now)
        if how == "answered":
            self.window.answered(seconds, job.left, full)
        elif how != "withdrawn":
            self.window.missed(now, self.service.mean)
        self._tidy(job.id.agent, lane)

    def overdue(self, now: float) -> list[Job]:
        """Takes out what waits and can no longer be in time."""
        out: list[Job] = []
        for lane in self._lanes.values() if self.waiting else ():
            if lane.waiting is not None and lane.waiting.deadline <= now:
                out.append(lane.waiting)
                self._out(lane)
                lane.owed = True
        return out

    def withdraw(self, agent: str | None = None) -> list[Job]:
        """Takes out what waits, of one agent or of all."""
        names = list(self._lanes) if agent is None else [agent]
        out: list[Job] = []
        for name in names:
            lane = self._lanes.get(name)
            job = None if lane is None else self._out(lane)
            if lane is not None and job is not None:
                out.append(job)
                self._tidy(name, lane)
        return out

    def forget(self, agent: str) -> None:
        """Drops the turn of an agent that is gone and has nothing here."""
        lane = self._lanes.get(agent)
        if lane is not None and lane.flying is None and lane.waiting is None:
            del self._lanes[agent]

    def _out(self, lane: _Lane) -> Job | None:
        """Takes what waits out of a lane."""
        job, lane.waiting = lane.waiting, None
        self.waiting -= job is not None
        return job

    def _next(self) -> _Lane | None:
        """The lane whose waiting request goes next."""
        best: dict[bool, tuple[tuple[bool, int, float], _Lane]] = {}
        for lane in self._lanes.values():
            job = lane.waiting
            if job is None or lane.flying is not None:
                continue
            key = _place(job, lane)
            found = best.get(job.critical)
            if found is None or key < found[0]:
                best[job.critical] = (key, lane)
        first = self._run < CRITICAL_RUN
        chosen = best.get(first) or best.get(not first)
        return chosen[1] if chosen else None

    def _delay(self, job: Job, lane: _Lane, now: float) -> float:
        """Seconds until this request would reach the backend, by what is known.

        What is urgent does not wait for its own agent's calmer question: the caller withdraws it.
        """
        each = self.service.expected(now)
        own, flying = 0.0, self.flying
        if lane.flying is not None and job.critical and not lane.flying.critical:
            flying -= 1
        elif lane.flying is not None:
            own = max(0.0, lane.flying.started + each - now)
        mine = _place(job, lane)
        before = sum(
            1
            for other in self._lanes.values()
            if other.waiting is not None and _place(other.waiting, other) < mine
        )
        ahead = flying + before - self.window.size + 1
        return max(own, max(0, ahead) * each / self.window.size)

    def _tidy(self, agent: str, lane: _Lane) -> None:
        """Forgets an agent that has nothing here and whose turn would not matter."""
        if not (lane.flying or lane.waiting or lane.owed) and lane.turn <= self._round:
            del self._lanes[agent]


def _place(job: Job, lane: _Lane) -> tuple[bool, int, float]:
    """What requests are ordered by."""
    return (not job.critical, lane.turn, job.deadline)
