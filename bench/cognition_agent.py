"""An agent's side in suite `cognition`: what the game's thread pays, what rules take, and where the
time from a capture to the directive goes.

Real clients ask a real broker about a stretch of the arena that goes by in real time. Where a model
answers it is the stand-in with a set latency, and that latency is taken out of what is compared:
what remains is ours.
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from metabonk.errors import LinkError

from .case import Case, Evidence
from .cognition_server import MODEL_SECONDS, Single, _Served
from .cognition_wire import clip
from .meter import Meter, Reading, Timed
from .swarm.clip import RATE, Clip
from .swarm.plan import Plan
from .swarm.soak import RECOVERY_SECONDS, Report, run
from .versus import Contender

COUNTS = (1, 2, 4, 8, 12, 16)
BLOCKED_US, RULES_US = 50.0, 50.0  # the goals
BUDGET_MS = 387.0  # of a strip's way: capture 5, encode 10, send 1, model 370, receive 1
MODEL_BUDGET_MS = 370.0  # vision 100, reasoning 250, decoding 20
EVERY = 1.0
ROUND_SECONDS = 5.0
PATIENCE = 2.0
SOAK = Plan(
    agents=8, seconds=24.0, period=0.25, broker_kills=4, model_kills=2, impostors=2, slow=1
)  # fmt: skip


def cases() -> list[Case]:
    return [_blocked(), _rules(), *_stages(), _recovery()]


def _blocked() -> Case:
    """60 ticks a second beside the client, against asking in the tick itself."""
    return Case(
        "cognition",
        "the game's thread is held by the client, p99 of ticks",
        "us",
        Contender("metabonk", Blocked),
        (
            Contender("50 us", lambda: Reading(lambda: BLOCKED_US)),
            Contender("asking in the tick", lambda: _Scaled(Single(), 1e3)),
        ),
        better="lower",
        rounds=5,
    )


def _rules() -> Case:
    return Case(
        "cognition",
        "the embedded strategist's decision",
        "us",
        Contender("metabonk", rules),
        (Contender("50 us", lambda: Reading(lambda: RULES_US)),),
        better="lower",
    )


def _stages() -> list[Case]:
    allowed = BUDGET_MS - MODEL_BUDGET_MS
    return [
        Case(
            "cognition",
            f"from a frame to its directive without the model's time, {count} agents, p50",
            "ms",
            Contender("metabonk", functools.partial(Staged, count)),
            (Contender(f"{allowed:g} ms of {BUDGET_MS:g}", lambda: Reading(lambda: allowed)),),
            better="lower",
            rounds=3,
            evidence=lambda ours, peer: Evidence(True, _stage_line(ours)),
        )
        for count in COUNTS
    ]


def _recovery() -> Case:
    return Case(
        "cognition",
        f"without an answer after a kill -9 of the server, p99 of {SOAK.agents} agents",
        "s",
        Contender("metabonk", Soaked),
        (Contender(f"{RECOVERY_SECONDS:g} s", lambda: Reading(lambda: RECOVERY_SECONDS)),),
        better="lower",
        rounds=1,
        evidence=lambda ours, peer: _judged(ours),
    )


class _Scaled:
    """Another meter's value in another unit."""

    def __init__(self, meter: Meter, factor: float) -> None:
        self._meter, self._factor = meter, factor

    def prepare(self) -> None:
        self._meter.prepare()

    def measure(self) -> float:
        return self._factor * self._meter.measure()

    def close(self) -> None:
        self._meter.close()


def rules() -> Meter:
    """Decisions of the embedded strategist on states of the arena."""
    from metabonk.cognition.backends.rules import Strategist

    states = [row.tobytes() for row in clip().states]
    strategist = Strategist()

    def decide() -> None:
        for packed in states:
            strategist.plan(packed)

    return _Scaled(Timed(decide), 1e6 / len(states))


class _Playing(_Served):
    """Real clients in this process that see a clip go by."""

    def __init__(self, count: int, *, latency: float | None) -> None:
        from metabonk.cognition.agent.client import Client, ClientSettings

        super().__init__(latency=latency)
        try:
            self._scene = Scene(clip())
            settings = ClientSettings(every=EVERY, patience=PATIENCE, outcome_seconds=EVERY)
            self.clients = [
                Client(f"omega-{i}", self.swarm.url, settings, look=self._scene.look)
                for i in range(count)
            ]
            for client in self.clients:
                client.start()
        except BaseException:
            self._shut()
            raise

    def close(self) -> None:
        for client in self.clients:
            client.stop()
        super().close()


class Scene:
    """A clip as a game that goes by in real time, over and over."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._packed = [state.tobytes() for state in clip.states]
        self._began = time.monotonic_ns()

    def look(self) -> Any:
        """The newest moment, with the time at which it became it."""
        from metabonk.cognition.agent.client import Sight

        step = 1e9 / RATE
        number = int((time.monotonic_ns() - self._began) / step)
        index = number % len(self._packed)
        captured = self._began + int(number * step)
        return Sight(self._packed[index], captured, np.asarray(self._clip.frames[index]))


class Staged(_Playing):
    """Milliseconds from taking a frame up until its directive is in force, less the model's: a
    round's median. stages: medians by name, of the last round; `age` is how old the newest frame
    was when it was asked about, which is the game's and not ours."""

    def __init__(self, count: int) -> None:
        super().__init__(count, latency=MODEL_SECONDS)
        self.stages: dict[str, float] = {}
        self._capture = 0.0

    def prepare(self) -> None:
        self._capture = capture_milliseconds(self._scene)
        self.measure()

    def measure(self) -> float:
        before = [self._seen(client) for client in self.clients]
        time.sleep(ROUND_SECONDS)
        parts: dict[str, list[float]] = {}
        totals = []
        for client, (newest, encode_s, requests) in zip(self.clients, before, strict=True):
            _, encoded, asked = self._seen(client)
            encode = (encoded - encode_s) * 1e3 / max(asked - requests, 1)
            for decision in list(client.decisions):
                if decision.id.sequence <= newest or decision.directive is None:
                    continue
                found = {"capture": self._capture, **stages_of(decision, encode)}
                totals.append(_ours(found))
                for name, value in found.items():
                    parts.setdefault(name, []).append(value)
        if not totals:
            raise LinkError("no directive came of any client")
        self.stages = {name: float(np.median(values)) for name, values in parts.items()}
        return float(np.median(totals))

    @staticmethod
    def _seen(client: Any) -> tuple[int, float, int]:
        newest = max((d.id.sequence for d in list(client.decisions)), default=0)
        counts = client.counts()
        return newest, counts["encode_s"], counts["requests"]


def capture_milliseconds(scene: Scene) -> float:
    """What taking a frame up costs: the median of many."""
    from metabonk.cognition.strips.strip import StripRing

    ring, found = StripRing(), []
    for number in range(120):
        pixels = scene.look().pixels
        before = time.perf_counter_ns()
        ring.add(pixels, number * 16_666_667 + 1)
        found.append((time.perf_counter_ns() - before) / 1e6)
    return float(np.median(found))


def stages_of(decision: Any, encode: float) -> dict[str, float]:
    """Where a decision's time went, milliseconds. send and receive are one figure: a message's way
    there is not told from the way back."""
    trip = (decision.received_ns - decision.sent_ns) / 1e6
    model = float(decision.stages.get("wait", 0.0))
    return {
        "age": max((decision.sent_ns - decision.captured_ns) / 1e6 - encode, 0.0),
        "encode": encode,
        "send and receive": max(trip - decision.server_ms, 0.0),
        "server": max(decision.server_ms - model, 0.0),
        "model": model,
    }


def _ours(stages: dict[str, float]) -> float:
    return sum(v for name, v in stages.items() if name not in ("age", "model"))


def _stage_line(meter: Any) -> str:
    told = ", ".join(f"{name} {value:.1f}" for name, value in meter.stages.items())
    whole = _ours(meter.stages) + MODEL_BUDGET_MS
    return f"{told} ms; with a model that takes {MODEL_BUDGET_MS:g} ms {whole:.0f} ms"


class Blocked(_Playing):
    """What 99 % of ticks pay at most for showing the newest moment and reading what is in force,
    microseconds."""

    def __init__(self) -> None:
        super().__init__(1, latency=None)

    def prepare(self) -> None:
        self._ticks(60)

    def measure(self) -> float:
        return float(np.percentile(self._ticks(300), 99)) / 1e3

    def _ticks(self, count: int) -> list[int]:
        client, found = self.clients[0], []
        due = time.monotonic_ns()
        for _ in range(count):
            due += 16_666_667
            time.sleep(max(due - time.monotonic_ns(), 0) / 1e9)
            sight = self._scene.look()
            before = time.perf_counter_ns()
            client.show(sight)
            client.directive()
            found.append(time.perf_counter_ns() - before)
        return found


class Soaked:
    """A short soak; its value is the 99th percentile of recoveries."""

    def __init__(self, plan: Plan = SOAK, soak: Callable[[Plan, Path], Report] = run) -> None:
        self._plan, self._soak = plan, soak
        self.report: Report | None = None

    def prepare(self) -> None:
        """A soak warms up by itself."""

    def measure(self) -> float:
        with tempfile.TemporaryDirectory(prefix="metabonk-bench-") as folder:
            self.report = self._soak(self._plan, Path(folder) / "soak")
        return self.report.verdict.recovered_within(0.99) or float("inf")

    def close(self) -> None:
        """Holds nothing."""


def _judged(meter: Any) -> Evidence:
    report: Report | None = meter.report
    if report is None:
        return Evidence(False, "no soak was run")
    faults = ", ".join(f"{n} {kind}" for kind, n in report.verdict.fault_counts.items())
    told = [
        f"{report.verdict.requests} requests, {report.broker_kills} kills",
        faults or "nothing lost, doubled or stale",
        *report.problems,
    ]
    return Evidence(report.passed, "; ".join(told))
