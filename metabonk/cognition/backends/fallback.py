"""A chain of backends: the first that answers in time, each behind its circuit breaker.

Knows backends, breakers, deadlines and the check of answers; does not know any backend. What an
earlier one failed at stands in `Answer.path`, is counted, and makes the reply a fallback: nothing
is swallowed. The last of a chain should be one that always answers (`rules`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Sequence

from metabonk.cognition.backends.breaker import Breaker
from metabonk.cognition.backends.fits import check
from metabonk.cognition.question import (
    Answer,
    Backend,
    Failure,
    Question,
    Undecided,
    metrics_of,
    sees,
)

SHARE = 0.6  # of the time left, for one model server while another waits behind it
RESERVE = 0.05  # seconds kept for one that answers at once, and for its answer to arrive
_AT_FAULT = frozenset(
    {Failure.UNREACHABLE, Failure.BROKEN, Failure.OVERLOADED, Failure.GARBAGE, Failure.LATE}
)
_FAIR = 2.0  # times its usual seconds: after less of silence, being late says nothing about it
_UNKNOWN = 1.0  # seconds that are taken for usual before there was an answer


class Link:
    """One backend of a chain, its breaker and what became of its questions.

    The breaker hears of what a backend is to blame for, so that one agent with bad pictures or
    hopeless deadlines cannot take it from the others. One that answers at once has no use for it.
    opening: what its server can is still being found out; it is passed over, which is no failure.
    """

    def __init__(self, backend: Backend, breaker: Breaker) -> None:
        self.backend, self.breaker = backend, breaker
        self.opening = False
        self.asked = 0
        self.answered = 0
        self.seconds = 0.0
        self.usual: float | None = None  # seconds of an answer, smoothed
        self._silent: float | None = None  # since when who gave it that long had no answer
        self.failures: Counter[Failure] = Counter()

    async def decide(self, question: Question) -> Answer:
        """A checked answer. Raises Undecided; the breaker hears of every outcome."""
        name = self.backend.name
        if self.backend.limit and question.left() <= 0.0:  # not its fault: nobody asked in time
            self.failures[Failure.LATE] += 1
            raise Undecided(Failure.LATE, "the deadline had passed before it was asked", name)
        if self.opening:
            self.failures[Failure.UNREACHABLE] += 1
            why = "what its server can is still being found out"
            raise Undecided(Failure.UNREACHABLE, why, name)
        ticket = self.breaker.allows()
        if not ticket:
            self.failures[Failure.OPEN] += 1
            wait = self.breaker.wait()
            raise Undecided(Failure.OPEN, f"left alone for another {wait:.1f} s", name)
        self.asked += 1
        started, given = time.monotonic(), question.left()
        settled = False
        try:
            answer = await self._in_time(question)
            self.breaker.succeeded(ticket)
            settled = True
            self._count(time.monotonic() - started)
            return answer
        except Undecided as error:
            self.failures[error.failure] += 1
            if self._to_blame(error.failure, started, given):
                self.breaker.failed(ticket, away=error.failure is Failure.UNREACHABLE)
                settled = True
            raise
        finally:
            if not settled:  # cancelled, or not to blame
                self.breaker.gave_up(ticket)

    def _count(self, seconds: float) -> None:
        self.answered += 1
        self.seconds += seconds
        self.usual = seconds if self.usual is None else self.usual + 0.1 * (seconds - self.usual)
        self._silent = None

    def _to_blame(self, failure: Failure, started: float, given: float) -> bool:
        """Whether the backend is, asked at `started` with `given` seconds left."""
        if not self.backend.limit or failure not in _AT_FAULT:
            return False
        fair = _UNKNOWN if self.usual is None else _FAIR * self.usual
        if failure is not Failure.LATE or given >= fair:
            return True
        if self.usual is None or given < self.usual:
            return False
        # Nobody may have as much time as would be fair to a slow one: its silence adds up.
        if self._silent is None:
            self._silent = started
        return started + given - self._silent >= fair

    async def _in_time(self, question: Question) -> Answer:
        if not self.backend.limit:  # it answers at once; whoever asks has an eye on the time, too
            return check(await self.backend.decide(question), question)
        left = question.left()
        try:
            async with asyncio.timeout(None if left == float("inf") else max(left, 0.0)):
                answer = await self.backend.decide(question)
        except TimeoutError as error:
            late = f"no answer within {max(left, 0.0):.2f} s"
            raise Undecided(Failure.LATE, late, self.backend.name) from error
        return check(answer, question)

    def metrics(self) -> dict[str, float]:
        """Counters and gauges under the backend's name."""
        name = self.backend.name
        values = {f"backend_{name}_{key}": value for key, value in metrics_of(self.backend).items()}
        values |= {
            f"backend_{name}_asked_total": float(self.asked),
            f"backend_{name}_answered_total": float(self.answered),
            f"backend_{name}_seconds_total": self.seconds,
            f"backend_{name}_breaker_state": float(self.breaker.state),
            f"backend_{name}_breaker_opened_total": float(self.breaker.opened),
        }
        for failure in Failure:
            values[f"backend_{name}_{failure.value}_total"] = float(self.failures[failure])
        return values


class Chain:
    """Backends in the order in which they are asked; itself a backend.

    Raises ValueError for no backends or two of one name.
    """

    checks = True  # every link's answer, before it is believed

    def __init__(
        self, backends: Sequence[Backend], breaker: Callable[[], Breaker] = Breaker
    ) -> None:
        names = [backend.name for backend in backends]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"backends: {names}; wanted at least one, and no name twice")
        self.links = [Link(backend, breaker()) for backend in backends]
        self.name = names[0]
        self.limit = max(backend.limit for backend in backends)

    @property
    def sees(self) -> bool:
        """Whether any of them looks at pictures; servers say so when they are opened."""
        return any(sees(link.backend) for link in self.links)

    async def open(self) -> None:
        """Opens every backend, those that answer at once first: while servers are found out about,
        questions pass them over and are answered behind them. Raises BackendError of the first that
        is not there, with those that were opened closed again."""
        for link in self.links:
            link.opening = link.backend.limit > 0
        try:
            for link in sorted(self.links, key=lambda link: link.opening):
                await link.backend.open()
                link.opening = False
        except BaseException:
            await self.close()
            raise

    async def decide(self, question: Question) -> Answer:
        """The first answer. Raises Undecided with every backend's reason if there is none."""
        path: list[str] = []
        failure = Failure.UNREACHABLE
        for index, link in enumerate(self.links):
            try:
                answer = await link.decide(self._with_budget(question, index))
            except Undecided as error:
                failure = error.failure
                path.append(f"{link.backend.name}: {error.failure.value}: {_short(error)}")
                continue
            return dataclasses.replace(answer, path=(*path, *answer.path)) if path else answer
        raise Undecided(failure, "; ".join(path))

    def _with_budget(self, question: Question, index: int) -> Question:
        """The question with a deadline that leaves time for those behind."""
        behind = [
            link.backend
            for link in self.links[index + 1 :]
            if not link.opening and link.breaker.wait() == 0.0
        ]
        left = question.left()
        if not behind or left == float("inf"):
            return question
        # One that answers at once is asked even when the deadline has passed: its answer is what
        # says that the others are late.
        keep = RESERVE
        if any(backend.limit for backend in behind):
            keep = max(keep, (1.0 - SHARE) * left)
        return dataclasses.replace(question, deadline=time.monotonic() + left - keep)

    async def close(self) -> None:
        for link in self.links:
            await link.backend.close()

    def metrics(self) -> dict[str, float]:
        """Of every backend, and how many answers came from which place of the chain."""
        values: dict[str, float] = {}
        for link in self.links:
            values |= link.metrics()
        first, *others = self.links
        values["backend_first_answers_total"] = float(first.answered)
        values["backend_fallback_answers_total"] = float(sum(one.answered for one in others))
        return values


def _short(error: Exception) -> str:
    text = str(error)
    return text if len(text) <= 160 else text[:157] + "..."
