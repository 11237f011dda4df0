"""How requests come to their one end: a turn, an answer in time, a row in the journal, a reply.

Knows the scheduler, the backend and the journal, and in what order things happen; does not know
agents' names, connections or messages: who asks hands in an `Ask` and is called with its reply.
Nothing waits here: not for the backend, not for the disk.

An end is ok, fallback, stale, rejected or error. It is written down before it is told; a disk that
takes nothing, or hangs for longer than `PATIENCE`, delays no reply and is told in it (`recorded`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections import OrderedDict
from collections.abc import Callable

from metabonk.cognition.backends.fits import check
from metabonk.cognition.broker.ask import Ask, readable, reply_of, row_of
from metabonk.cognition.broker.measures import Measures
from metabonk.cognition.broker.schedule import How, Job, Scheduler
from metabonk.cognition.log.journal import Journal
from metabonk.cognition.protocol.wire import Code, Reply, RequestId, Status
from metabonk.cognition.question import Backend, Failure, Undecided, checks

BEHIND = 10_000  # rows that may wait for the journal's thread; then requests are refused
PATIENCE = 0.25  # seconds that a reply waits for a disk that hangs
INSTANT = 256  # questions at once for a backend that answers at once

End = tuple[Status, Code, str]


class Answering:
    """deliver: called once for every request that came in, with its reply. most: questions at once
    with a backend that has no limit of its own."""

    def __init__(
        self,
        backend: Backend,
        journal: Journal,
        measures: Measures,
        deliver: Callable[[Ask, Reply], None],
        *,
        most: int,
        clock: Callable[[], float],
    ) -> None:
        self.backend, self.journal = backend, journal
        self._measures, self._deliver, self._clock = measures, deliver, clock
        if backend.limit:
            self.scheduler = Scheduler(min(most, backend.limit))
        else:  # nothing is gained by waiting, so nobody does
            self.scheduler = Scheduler(INSTANT)
            self.scheduler.window.size = INSTANT
        self._writing: OrderedDict[RequestId, tuple[Ask, Reply]] = OrderedDict()
        self._tasks: dict[Job, asyncio.Task[None]] = {}
        self._overtaken: set[asyncio.Task[None]] = set()
        self.draining = False

    def offer(self, ask: Ask, deadline: float, *, overtaken: bool = False) -> None:
        """Takes a request in. deadline: seconds on the clock. overtaken: a newer one of its agent
        came before it. However it would end, it does not add to what is too much already."""
        if self.journal.behind > BEHIND:
            reason = f"{BEHIND:,} decisions wait to be written down"
            reply = reply_of(ask, "rejected", "full", reason)
            reply.recorded = False
            self._tell(ask, reply)
            return
        if self.draining:
            self.end(ask, "rejected", "draining", "the broker is about to end")
            return
        if overtaken:
            self.end(ask, "rejected", "superseded", "a newer request came before it")
            return
        job = Job(ask.request.id, ask.arrived, deadline, ask.request.critical, ask)
        verdict = self.scheduler.offer(job, self._clock())
        if verdict.displaced is not None:
            self.end(verdict.displaced.payload, "rejected", "superseded", "a newer request came")
        if not verdict.taken:
            self.end(ask, "rejected", "late", "answers take longer now than there is time")
        elif ask.request.critical:
            self._make_way(ask.request.id.agent)
        self._pump()

    def holds(self, id: RequestId) -> bool:
        """Whether a request is on its way: waiting, being answered or being written down."""
        return id in self._writing or self.scheduler.holds(id)

    def withdraw(self, agent: str, code: Code, reason: str) -> None:
        """Ends what an agent has waiting."""
        for job in self.scheduler.withdraw(agent):
            self.end(job.payload, "rejected", code, reason)

    def end(self, ask: Ask, status: Status, code: Code, reason: str) -> None:
        """The one end of a request: written down, then told."""
        ask.ended = self._clock()
        reply = reply_of(ask, status, code, reason)
        reply.server_ms = round((ask.ended - ask.arrived) * 1e3, 3)  # as it is written down
        self._writing[ask.request.id] = ask, reply
        row = row_of(ask, reply)
        if ask.question.view is not None:
            ask.question.view.release()
        ask.question = dataclasses.replace(ask.question, frames=(), view=None)  # a disk may hang
        self.journal.record(row, lambda safe: self._written(ask, reply, safe))

    def tick(self) -> None:
        """Ends what is too late, and sends what a hanging disk holds up."""
        now = self._clock()
        for job in self.scheduler.overdue(now):
            self.end(job.payload, "rejected", "late", "no turn came in time")
        for ask, reply in list(self._writing.values()):
            if now - ask.ended < PATIENCE:
                break
            if not ask.sent:
                reply.recorded = False
                self._tell(ask, reply)
        self._pump()

    async def drain(self, seconds: float) -> None:
        """Takes nothing new, and ends what is there: what waits at once, what is with the backend
        within `seconds`. Every request has its reply when this returns."""
        self.draining = True
        for job in self.scheduler.withdraw():
            self.end(job.payload, "rejected", "draining", "the broker is about to end")
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=max(0.0, seconds))
        while self._tasks:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.wait(self._tasks.values())
        while not all(ask.sent for ask, _ in self._writing.values()):
            self.tick()
            await asyncio.sleep(0.005)

    def _make_way(self, agent: str) -> None:
        """What is urgent does not wait for its own agent's calmer question: that one is aborted."""
        job = self.scheduler.in_flight(agent)
        task = self._tasks.get(job) if job is not None and not job.critical else None
        if task is not None:
            self._overtaken.add(task)
            task.cancel()

    def _pump(self) -> None:
        """Hands to the backend what it may have now."""
        while True:
            job, dropped = self.scheduler.take(self._clock())
            for late in dropped:
                self.end(late.payload, "rejected", "late", "its turn came too late")
            if job is None:
                return
            task = asyncio.get_running_loop().create_task(self._decide(job))
            self._tasks[job] = task
            task.add_done_callback(functools.partial(self._ran, job))

    async def _decide(self, job: Job) -> None:
        self._finish(job, *await self._asked(job, job.payload))

    def _ran(self, job: Job, task: asyncio.Task[None]) -> None:
        """A task that was cancelled before its first step never ran: its request ends here."""
        if job in self._tasks:
            self._finish(job, *self._withdrawn(task))
        self._overtaken.discard(task)

    def _finish(self, job: Job, how: How, end: End) -> None:
        del self._tasks[job]
        ask: Ask = job.payload
        now = self._clock()
        ask.queued, ask.decided = job.started - ask.arrived, now - job.started
        self.scheduler.finish(job, now, how)
        self._measures.stage("queue", ask.queued)
        self.end(ask, *end)
        self._pump()

    def _withdrawn(self, task: asyncio.Task[None] | None) -> tuple[How, End]:
        if task in self._overtaken:
            return "withdrawn", ("rejected", "superseded", "a newer, urgent request came")
        return "withdrawn", ("rejected", "draining", "the broker ended before the answer came")

    async def _asked(self, job: Job, ask: Ask) -> tuple[How, End]:
        """The backend's answer, put into `ask`, or why there is none."""
        try:
            async with asyncio.timeout(max(0.0, job.deadline - self._clock())):
                answer = await self.backend.decide(ask.question)
                if not checks(self.backend):
                    answer = check(answer, ask.question)
        except TimeoutError:
            return "missed", ("stale", "late", "no answer in time")
        except Undecided as error:
            if error.failure is Failure.LATE:
                return "missed", ("stale", "late", str(error))
            return "failed", ("error", "backend", f"{error.failure.value}: {error}")
        except asyncio.CancelledError:
            return self._withdrawn(asyncio.current_task())
        except Exception as error:  # noqa: BLE001 - a backend's fault is counted, told, recorded
            self._measures.events["backend_faults"] += 1
            return "failed", ("error", "backend", f"{self.backend.name} failed: {error!r}")
        if self._clock() > job.deadline:
            return "missed", ("stale", "late", "the answer came too late")
        ask.answer = readable(answer, ask.question.view)
        return "answered", ("fallback" if answer.path else "ok", "", "; ".join(answer.path))

    def _written(self, ask: Ask, reply: Reply, safe: bool) -> None:
        """The journal has the decision, or (not `safe`) keeps it until the disk takes it."""
        found = self._writing.get(ask.request.id)
        if found is not None and found[0] is ask:
            del self._writing[ask.request.id]
        if not ask.sent:
            reply.recorded = safe
            self._tell(ask, reply)

    def _tell(self, ask: Ask, reply: Reply) -> None:
        ask.sent = True
        now, measures = self._clock(), self._measures
        reply.server_ms = round((now - ask.arrived) * 1e3, 3)
        measures.replies[(measures.label(ask.request.id.agent), reply.status)] += 1
        if reply.code:
            measures.codes[(reply.code,)] += 1
        if not reply.recorded:
            measures.events["unrecorded_replies"] += 1
        measures.server.add(now - ask.arrived)
        if ask.answer is not None:
            measures.added.add(now - ask.arrived - ask.queued - ask.decided)
            for name, seconds in ask.answer.stages.items():
                measures.stage(name, seconds)
        self._deliver(ask, reply)
