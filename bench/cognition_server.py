"""The cognitive server in suite `cognition`: what it adds, carries and costs, for sixteen agents.

Every meter starts a broker of its own, as `metabonk serve cognitive` does, with journal and frame
store, and asks it about strips of nine encoded frames of 640x360. Where a model answers it is the
stand-in (SGLang's API, no model) with a set latency: the broker's share is measured, no model's
speed. A goal is a contender that answers in exactly that time. A round has several figures, as a
median and a high percentile of the same answers: each is a case, the round is measured once.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metabonk.cognition.agent.line import Keys
from metabonk.errors import LinkError

from .case import Case, Evidence
from .cognition_direct import (
    AGENTS,
    EVERY,
    MODEL_SECONDS,
    OVERLOAD_ROUND,
    PATIENCE,
    ROUND_SECONDS,
    SLOT_SECONDS,
    SLOTS,
    Bare,
    Capacity,
    percentiles,
)
from .cognition_wire import strip
from .meter import Meter, Plus, Reading
from .rounds import Round, Rounds, Shared
from .swarm.driver import DECIDED, Driver, Sample
from .swarm.services import processor_seconds
from .swarm.swarm import Swarm
from .versus import Contender

ROUNDS = 5
ADDED_MEDIAN, ADDED_P99 = 1.0, 5.0  # milliseconds: the goals
CURVE_ADDED = 0.5  # milliseconds: the goal
STRIPS_PER_SECOND = 500.0
PROCESSOR_MS = 0.5  # of the whole server, per strip: the goal
OVERLOAD = 4.0
GOODPUT, FAIRNESS = 0.9, 0.95


def cases() -> list[Case]:
    return [*_added(), *_carried(), _curve(), *_overloaded()]


def _added() -> list[Case]:
    """What the way over the broker adds to asking the model server oneself."""
    found = []
    for name, allowed in (("p50", ADDED_MEDIAN), ("p99", ADDED_P99)):
        bare = functools.partial(_shared, "asked directly", Bare, name)
        found.append(
            Case(
                "cognition",
                f"an answer of a model of {MODEL_SECONDS * 1e3:.0f} ms, {AGENTS} agents, {name}",
                "ms",
                Contender("metabonk", functools.partial(_shared, "asked", Asked, name)),
                (
                    Contender(
                        f"asked directly, and {allowed:g} ms",
                        functools.partial(_plus, bare, allowed),
                    ),
                ),
                better="lower",
                rounds=ROUNDS,
                evidence=lambda ours, peer: _told(ours),
            )
        )
    return found


def _shared(key: str, make: Callable[[], Rounds], figure: str) -> Shared:
    return Shared(f"cognition, {key}", make, figure, ROUNDS)


def _plus(make: Callable[[], Meter], allowance: float) -> Plus:
    return Plus(make(), allowance)


def _loaded(figure: str, *, v1: bool = False) -> Shared:
    return _shared(f"loaded, version {2 - v1}", functools.partial(Loaded, v1=v1), figure)


def _carried() -> list[Case]:
    """Without a model, as fast as answers come."""
    old = "JSON + base64 (version 1)"
    return [
        Case(
            "cognition",
            f"strips per second without a model, {AGENTS} agents",
            "1/s",
            Contender("metabonk", functools.partial(_loaded, "rate")),
            (
                Contender(old, functools.partial(_loaded, "rate", v1=True)),
                Contender("500 strips/s", lambda: Reading(lambda: STRIPS_PER_SECOND)),
            ),
            rounds=ROUNDS,
        ),
        Case(
            "cognition",
            "processor time of the whole server per strip, rules and journal included",
            "ms",
            Contender("metabonk", functools.partial(_loaded, "processor")),
            (
                Contender(old, functools.partial(_loaded, "processor", v1=True)),
                Contender(f"{PROCESSOR_MS:g} ms", lambda: Reading(lambda: PROCESSOR_MS)),
            ),
            better="lower",
            rounds=ROUNDS,
        ),
    ]


def _curve() -> Case:
    """Encrypted and authenticated against plain, both over TCP, one agent at a time."""
    return Case(
        "cognition",
        "a strip and its answer with CURVE, one agent, p50",
        "ms",
        Contender("metabonk", functools.partial(Single, curve=True)),
        (
            Contender(
                f"without CURVE, and {CURVE_ADDED:g} ms",
                functools.partial(_plus, Single, CURVE_ADDED),
            ),
        ),
        better="lower",
        rounds=ROUNDS,
    )


def _overloaded() -> list[Case]:
    """Four times as many questions as the model server can answer."""
    return [
        Case(
            "cognition",
            f"answers in time when {OVERLOAD:g} times as many are asked for as the model can give",
            "1/s",
            Contender("metabonk", functools.partial(_shared, "overload", Overloaded, "in time")),
            (
                Contender(
                    f"{GOODPUT:.0%} of what it answers alone", functools.partial(Capacity, GOODPUT)
                ),
            ),
            rounds=ROUNDS,
            evidence=lambda ours, peer: _told(ours),
        ),
        Case(
            "cognition",
            f"Jain's fairness over {AGENTS} agents when {OVERLOAD:g} times as many are asked for",
            "",
            Contender("metabonk", functools.partial(_shared, "overload", Overloaded, "fairness")),
            (Contender(f"{FAIRNESS:g}", lambda: Reading(lambda: FAIRNESS)),),
            rounds=ROUNDS,
            evidence=lambda ours, peer: _told(ours),
        ),
    ]


def _told(meter: Any) -> Evidence:
    return Evidence(meter.holds, f"replies of the last round: {meter.round.note}")


class Served:
    """A broker in a folder of its own, and what asks it."""

    def __init__(
        self, *, latency: float | None = None, slots: int = 0, words: Sequence[str] = ()
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="metabonk-bench-")
        where = Path(self._folder.name)
        self.swarm = Swarm(where, latency=latency, slots=slots, broker_words=words)
        try:
            self.swarm.start(clip=False)
        except BaseException:
            self._shut()
            raise

    def close(self) -> None:
        self._shut()

    def _shut(self) -> None:
        self.swarm.close()
        self._folder.cleanup()


class _Driven(Served):
    """A driver at a broker; `sample` is the last round's. With a model only its own answers are
    decisions: the rules' in its place would be there without it, and sooner."""

    def __init__(
        self, agents: int = AGENTS, *, v1: bool = False, keys: Keys | None = None, **served: Any
    ) -> None:
        super().__init__(**served)
        jpegs, state = strip()
        self.sample = Sample()
        counts = DECIDED if self.swarm.model is None else ("ok",)
        try:
            self.driver = Driver(
                self.swarm.url, agents, jpegs, state, v1=v1, keys=keys, counts=counts
            )
        except BaseException:
            self._shut()
            raise

    def close(self) -> None:
        self.driver.close()
        super().close()


class Asked(_Driven):
    """From asking the broker until the model's answer, which every request is to have: one that the
    rules answered waited for nothing."""

    def __init__(self) -> None:
        super().__init__(latency=MODEL_SECONDS)

    def prepare(self) -> None:
        self.measured()

    def measured(self) -> Round:
        self.sample = self.driver.paced(ROUND_SECONDS, EVERY, PATIENCE, finish=True)
        need(self.sample)
        figures = percentiles(self.sample.waited_ms(PATIENCE)).figures
        return Round(figures, told(self.sample), unaided(self.sample))


class Loaded(_Driven):
    """Agents that ask again at once. rate: strips per second. processor: the server's milliseconds
    for one."""

    def __init__(self, *, v1: bool = False) -> None:
        super().__init__(v1=v1)

    def prepare(self) -> None:
        self.measured()

    def measured(self) -> Round:
        before = processor_seconds(self.swarm.broker.pid)
        self.sample = self.driver.closed(ROUND_SECONDS)
        spent = processor_seconds(self.swarm.broker.pid) - before
        need(self.sample)
        count, seconds = self.sample.count, self.sample.seconds
        return Round({"rate": count / seconds, "processor": spent / count * 1e3})


class Single(_Driven):
    """Milliseconds from asking until the answer, one agent without a model: a round's median."""

    def __init__(self, *, curve: bool = False) -> None:
        self._keys = tempfile.TemporaryDirectory(prefix="metabonk-bench-")
        try:
            words, keys = curve_keys(Path(self._keys.name)) if curve else ((), None)
            super().__init__(1, keys=keys, words=words)
        except BaseException:
            self._keys.cleanup()
            raise

    def prepare(self) -> None:
        self.measure()

    def close(self) -> None:
        super().close()
        self._keys.cleanup()

    def measure(self) -> float:
        self.sample = self.driver.closed(ROUND_SECONDS / 2)
        need(self.sample)
        return float(np.median(self.sample.latencies_ms))


def curve_keys(folder: Path) -> tuple[list[str], Keys]:
    """Keys of a broker and of one agent: the broker's words, and what the agent is given."""
    from metabonk.cognition.protocol import keys

    broker_key, broker_public = keys.new("broker", folder)
    agent_key, agent_public = keys.new("agent", folder)
    allow = folder / "allow.toml"
    allow.write_text(f'[agents]\n"bench-*" = "{keys.read_public(agent_public)}"\n')
    pair = keys.read_pair(agent_key)
    words = ["--key", str(broker_key), "--allow", str(allow)]
    return words, Keys(keys.read_public(broker_public), pair.public, pair.secret)


class Overloaded(_Driven):
    """More questions than the model can answer. in time: its answers per second. fairness: how
    evenly agents got them. What is refused, late or left to the rules counts for neither; where
    nothing was, there was no overload to measure in."""

    def __init__(self) -> None:
        super().__init__(latency=SLOT_SECONDS, slots=SLOTS)

    def prepare(self) -> None:
        self.measured()

    def measured(self) -> Round:
        from metabonk.cognition.monitor.monitor import jain

        every = AGENTS / (OVERLOAD * SLOTS / SLOT_SECONDS)  # more yet if a decision takes several
        self.sample = self.driver.paced(OVERLOAD_ROUND, every, PATIENCE)
        need(self.sample)
        figures = {
            "in time": self.sample.count / self.sample.seconds,
            "fairness": jain(self.sample.decided.values()) or 0.0,
        }
        return Round(figures, told(self.sample), self.sample.count < self.sample.asked / 2.0)


def told(sample: Sample) -> str:
    """Its replies by status."""
    return ", ".join(f"{count} {status}" for status, count in sorted(sample.statuses.items()))


def unaided(sample: Sample) -> bool:
    """Whether the model gave all answers itself, and the rules none in its place."""
    return not sample.statuses.get("fallback")


def need(sample: Sample) -> None:
    """Raises LinkError where there is nothing to take a figure of."""
    if not sample.latencies_ms:
        raise LinkError(f"no request was decided: {sample.statuses}")
