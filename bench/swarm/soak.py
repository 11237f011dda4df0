"""A soak: a swarm runs for minutes while its servers are killed and its agents misbehave.

Knows the plan, carries it out and hands ledgers and journal to the verdict; does not judge.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from metabonk.cognition.monitor.scrape import scrape
from metabonk.errors import CorruptError, LinkError, MissingExtraError

from . import books, ledger, picture, verdict
from .agent import LINGER, Attempt
from .plan import Event, Plan, events
from .services import Service, processor_seconds, resident_bytes
from .swarm import BACKEND, Swarm
from .verdict import Fault, Verdict

PICTURE = "soak.png"
RECOVERY_SECONDS = 1.5  # the goal for 99 % of recoveries
DECISION_BYTES = 2048  # the goal for the journal, per decision
ENOUGH_DECISIONS = 1000  # from which on the journal's own pages do not count any more
SETTLE_SECONDS = 2.0  # after a start of the broker, before anybody tries to take a name
ATTEMPT_SECONDS = 20.0
LONGER = 60.0  # seconds at most for agents' first answers; likewise for those after the last kill
SURE = 10.0  # faults that are drawn: of so many expected, none comes once in 20,000 soaks
_LOOK_SECONDS = 0.02
JOURNAL_AGAIN = "metabonk_cognition_journal_again_total"
JOURNAL_FAILURES = "metabonk_cognition_journal_failures_total"


class Report(msgspec.Struct, kw_only=True):
    """What a soak came to. starts: seconds that the broker needed after each kill until it was
    ready. drained: whether it ended in order at the end. resident: its memory at most, bytes.
    processor: share of one processor that it used. decisions, decision_bytes: rows of the
    journal, and bytes of its file per row, outcomes included. stopped: it was ended early, and not
    all that was planned happened. problems: what failed beside the verdict's faults."""

    plan: Plan
    seconds: float
    verdict: Verdict
    broker_kills: int = 0
    model_kills: int = 0
    impostors: list[Attempt] = []
    starts: list[float] = []
    drained: bool = False
    resident: int = 0
    processor: float = 0.0
    decisions: int = 0
    decision_bytes: float = 0.0
    stopped: bool = False
    problems: list[str] = []

    @property
    def passed(self) -> bool:
        """Whether nothing was lost, doubled or stale, and everything else held."""
        return self.verdict.passed and not self.problems


class Soak:
    """Runs a plan under a folder. progress: called with a line now and then; stopped: asked whether
    to end early, which shortens the soak and changes nothing else."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        *,
        progress: Callable[[str], None] = lambda line: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.plan, self.folder = plan, folder
        self._progress, self._stopped = progress, stopped
        self._swarm = Swarm(folder, latency=plan.latency if plan.model else None)
        self._kills: list[int] = []
        self._model_kills: list[int] = []
        self._starts: list[float] = []
        self._down: float | None = None  # when the broker that is coming up was started
        self._ready = self._looked = 0.0
        self._impostors: list[Service] = []
        self._problems: list[str] = []
        self._processor = 0.0
        self._resident = 0
        self._again = 0  # decisions that the journal was handed a second time

    def run(self) -> Report:
        """The whole soak. Raises LinkError if something does not even start."""
        began = time.monotonic()
        with self._swarm as swarm:
            swarm.start()
            self._ready = time.monotonic()
            self._start_agents()
            self._gather()
            self._watch(events(self.plan))
            self._finish()
            drained = swarm.broker.stop() == 0
            if not drained:
                self._problems.append(f"the broker did not drain: {swarm.broker.tail()[-300:]}")
            for service in self._impostors:
                service.close()
        return self._report(time.monotonic() - began, drained)

    def _start_agents(self) -> None:
        plan, swarm = self.plan, self._swarm
        for index in range(plan.agents):
            settings = swarm.settings(
                f"omega-{index}", seconds=plan.seconds + 2.0 * LONGER, period=plan.period,
                deadline=plan.deadline, churn=plan.churn, slow=index >= plan.agents - plan.slow,
                seed=plan.seed,
            )  # fmt: skip
            service = swarm.agent(settings)
            service.start()
            swarm.agents.append(service)

    def _gather(self) -> None:
        """Waits until every agent is there: who never asked anything notices no kill."""
        end = time.monotonic() + LONGER
        while not self._stopped() and not self._settled():
            if time.monotonic() > end:
                self._problems.append(f"not every agent was answered within {LONGER:.0f} s")
                return
            self._revive()
            self._progress("agents come")
            time.sleep(_LOOK_SECONDS)

    def _watch(self, planned: Sequence[Event]) -> None:
        """Carries the plan out until its time is over, all of it is done, and everybody was
        answered since: a machine that is busy needs longer for the same."""
        began = time.monotonic()
        left = list(planned)
        while not self._stopped():
            passed = time.monotonic() - began
            over = passed >= self.plan.seconds
            if passed >= self.plan.seconds + LONGER or (over and not left and self._settled()):
                break
            self._revive()
            for event in [one for one in left if one.at <= passed]:
                if self._may(event):
                    self._carry_out(event)
                    left.remove(event)
            self._progress(self._line(passed))
            time.sleep(_LOOK_SECONDS)
        if left and not self._stopped():
            self._problems.append(f"{len(left)} of {len(planned)} planned faults found no time")

    def _may(self, event: Event) -> bool:
        """Whether it can be done now: not while the broker comes up, and names are only taken from
        agents that had time to come back."""
        if self._down is not None:
            return False
        return event.kind != "impostor" or self._lives(f"omega-{event.agent}")

    def _lives(self, agent: str) -> bool:
        """Whether an agent has been answered since the broker is there; looked up now and then."""
        now = time.monotonic()
        if now - max(self._ready, self._looked) < SETTLE_SECONDS:
            return False
        self._looked = now - 0.8 * SETTLE_SECONDS
        found = ledger.read(self._swarm.ledgers, agent)
        since = self._ready * 1e9
        return any(isinstance(entry, ledger.Answered) and entry.at_ns > since for entry in found)

    def _settled(self) -> bool:
        """Whether nothing is under way any more, and what was killed is seen to be back; looked up
        now and then."""
        now = time.monotonic()
        trying = any(service.alive for service in self._impostors)
        if self._down is not None or trying or now - self._looked < SETTLE_SECONDS / 4.0:
            return False
        self._looked = now
        quick = [f"omega-{index}" for index in range(self.plan.agents - self.plan.slow)]
        entries = ledger.read(self._swarm.ledgers)
        return verdict.all_back(entries, quick, self._kills, self._model_kills, BACKEND)

    def _carry_out(self, event: Event) -> None:
        swarm = self._swarm
        if event.kind == "kill_broker":
            self._account()
            self._kills.append(swarm.broker.kill())
            swarm.broker.start(wait=False)
            self._down = time.monotonic()
        elif event.kind == "kill_model" and swarm.model is not None:
            self._model_kills.append(swarm.model.kill())
            swarm.model.start(wait=False)
        elif event.kind == "impostor":
            name = f"omega-{event.agent}"
            service = swarm.agent(swarm.settings(name, impostor=True, seconds=ATTEMPT_SECONDS))
            service.start()
            self._impostors.append(service)

    def _revive(self) -> None:
        """Notices that the broker is ready again, or starts what ended by itself."""
        broker, model = self._swarm.broker, self._swarm.model
        if model is not None and not model.alive:
            self._problems.append(f"the model server ended by itself: {model.tail()[-300:]}")
            model.start(wait=False)
        if self._down is not None and self._swarm.ready():
            self._starts.append(time.monotonic() - self._down)
            self._ready, self._down = time.monotonic(), None
        elif not broker.alive:
            self._problems.append(f"the broker ended by itself: {broker.tail()[-300:]}")
            broker.start(wait=False)
            self._down = time.monotonic()

    def _finish(self) -> None:
        """Asks the agents to end, and waits: they do once everything is acknowledged."""
        for service in self._swarm.agents:
            service.ask_to_end()
        end = time.monotonic() + LINGER + 10.0
        while any(s.alive for s in self._swarm.agents) and time.monotonic() < end:
            self._revive()
            self._progress("agents wait for their last acknowledgements")
            time.sleep(_LOOK_SECONDS)
        for service in self._swarm.agents:
            status = service.wait(0.0)
            if status != 0:
                what = "did not end" if status is None else f"ended with status {status}"
                self._problems.append(f"{service.name} {what}: {service.tail()[-300:]}")
        self._account()

    def _account(self) -> None:
        """What the broker that is about to end has used, and wrote down a second time. Where its
        disk failed it may: what waits in memory is not found when a request comes again."""
        with contextlib.suppress(LinkError, CorruptError):
            page = scrape(f"{self._swarm.http}/metrics")
            if not page.total(JOURNAL_FAILURES):
                self._again += round(page.total(JOURNAL_AGAIN) or 0.0)
        pid = self._swarm.broker.pid
        self._processor += processor_seconds(pid)
        self._resident = max(self._resident, resident_bytes(pid))

    def _report(self, seconds: float, drained: bool) -> Report:
        swarm = self._swarm
        found = verdict.judge(
            ledger.read(swarm.ledgers),
            books.decisions(swarm.journal),
            books.outcomes(swarm.journal),
            self._kills,
            self._model_kills,
            BACKEND,
        )
        _written_again(found, self._again)
        size, count = books.sizes(swarm.journal)
        attempts = [attempt for s in self._impostors if (attempt := _attempt(s)) is not None]
        for attempt in attempts:
            entries = ledger.read(swarm.ledgers, attempt.agent)
            if attempt.bound and verdict.usurped(
                attempt.at_ns, attempt.agent, entries, self._kills
            ):
                why = "somebody else was given its name while it lived"
                found.faults.append(Fault("usurped", attempt.agent, why))
                found.fault_counts["usurped"] = found.fault_counts.get("usurped", 0) + 1
        report = Report(
            plan=self.plan, seconds=seconds, verdict=found, broker_kills=len(self._kills),
            model_kills=len(self._model_kills), impostors=attempts, starts=self._starts,
            drained=drained, resident=self._resident, processor=self._processor / seconds,
            decisions=count, decision_bytes=size / count if count else 0.0,
            stopped=self._stopped(), problems=self._problems,
        )  # fmt: skip
        report.problems += _goals(report) + _unhappened(report, len(self._impostors))
        with contextlib.suppress(MissingExtraError):
            entries = ledger.read(swarm.ledgers)
            picture.draw(self.folder / PICTURE, entries, self._kills, self._model_kills)
        return report

    def _line(self, passed: float) -> str:
        alive = sum(service.alive for service in self._swarm.agents)
        return (
            f"{passed:.0f} of {self.plan.seconds:.0f} s, {alive} agents, "
            f"{len(self._kills)} kills of the broker, {len(self._model_kills)} of the model server"
        )


def _attempt(service: Service) -> Attempt | None:
    lines = service.tail().splitlines()
    try:
        return msgspec.json.decode(lines[-1], type=Attempt) if lines else None
    except msgspec.DecodeError:
        return None


def _goals(report: Report) -> list[str]:
    """What was missed of the goals that are not matters of right and wrong."""
    missed = []
    found, quick = report.verdict, report.plan.agents - report.plan.slow
    if report.broker_kills and not found.recovery and quick:
        missed.append(f"no agent was seen to go on after {report.broker_kills} kills of the broker")
    for agent, seconds in found.silent.items():
        if seconds > RECOVERY_SECONDS:
            missed.append(
                f"{agent} went {seconds:.1f} s without an answer after a kill, to its end"
            )
    if report.model_kills and found.model_back is None:
        missed.append("no answer of the model server came after its last kill")
    recovery = report.verdict.recovered_within(0.99)
    if recovery is not None and recovery > RECOVERY_SECONDS:
        missed.append(f"99 % of recoveries within {recovery:.2f} s; goal {RECOVERY_SECONDS} s")
    if report.decisions >= ENOUGH_DECISIONS and report.decision_bytes > DECISION_BYTES:
        missed.append(f"{report.decision_bytes:.0f} bytes per decision; goal {DECISION_BYTES}")
    return missed


def _written_again(found: Verdict, count: int) -> None:
    """Decisions that the journal was handed twice: it kept one of each, and two were made."""
    if count:
        why = f"the journal was handed {count} decisions of requests that it had"
        found.faults.append(Fault("duplicated", "", why))
        found.fault_counts["duplicated"] = found.fault_counts.get("duplicated", 0) + count


def _unhappened(report: Report, started: int) -> list[str]:
    """What should have gone wrong and did not: a soak says nothing of it. started: impostors'
    processes."""
    plan, counts = report.plan, report.verdict.counts
    tried = sum(attempt.bound or bool(attempt.why) for attempt in report.impostors)
    missed = []
    if not report.stopped and (tried < started or (plan.impostors and not tried)):
        missed.append(f"{tried} of {plan.impostors} impostors got as far as trying to take a name")
    # Half of what happens by churn is cut, half made anew.
    if plan.churn * report.verdict.requests / 2.0 >= SURE:
        for what, name in (("connection was cut", "cut"), ("client was made anew", "remade")):
            if not counts.get(name):
                missed.append(f"no {what} in {report.verdict.requests} requests")
    return missed


def run(plan: Plan, folder: Path, **named: Callable[..., object]) -> Report:
    """Runs a soak in a folder, which must be empty; leaves journal, ledgers, logs and, where
    matplotlib is, a picture there. Raises LinkError, FileExistsError."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder}: not empty: give a soak a folder of its own")
    return Soak(plan, folder, **named).run()  # type: ignore[arg-type]
