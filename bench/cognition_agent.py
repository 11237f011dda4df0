"""An agent's side in suite `cognition`: what the game's thread pays beside a client, and what the
rules take that answer where no server does.
"""

from __future__ import annotations

import time

import numpy as np

from .case import Case
from .cognition_playing import Playing
from .cognition_server import Single
from .cognition_wire import clip
from .meter import Meter, Reading, Timed
from .versus import Contender

BLOCKED_US, RULES_US = 50.0, 50.0  # the goals


def cases() -> list[Case]:
    return [_blocked(), _rules()]


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


class Blocked(Playing):
    """What 99 % of ticks pay at most for showing the newest moment and reading what is in force,
    microseconds."""

    def __init__(self) -> None:
        super().__init__(1)

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
            sight = self.scene.look()
            before = time.perf_counter_ns()
            client.show(sight)
            client.directive()
            found.append(time.perf_counter_ns() - before)
        return found
