"""Kills in suite `cognition`: how long agents are without an answer, and that nothing is lost.

As `metabonk soak cognition` with as many kills in less time: the broker twenty times, its model
server ten times, connections cut, an agent that looks away, others that come with its name.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .case import Case, Evidence
from .meter import Reading
from .swarm.plan import Plan
from .swarm.soak import RECOVERY_SECONDS, Report, run
from .versus import Contender

SOAK = Plan(agents=16, seconds=240.0, broker_kills=20, model_kills=10, churn=0.02, slow=1)


def cases() -> list[Case]:
    return [
        Case(
            "cognition",
            f"without an answer after a kill -9 of the server, p99 of {SOAK.agents} agents",
            "s",
            Contender("metabonk", Soaked),
            (Contender(f"{RECOVERY_SECONDS:g} s", lambda: Reading(lambda: RECOVERY_SECONDS)),),
            better="lower",
            rounds=1,
            evidence=lambda ours, peer: judged(ours),
        )
    ]


class Soaked:
    """A soak; its value is the 99th percentile of recoveries."""

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


def judged(meter: Any) -> Evidence:
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
