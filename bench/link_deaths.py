"""How soon a death is noticed, in suite `link`: one end of the frame ring is killed, and the other
looks until it sees that it is alone.

A value is the median of a round's kills, from just before SIGKILL until the end that is left says
so: a reader by `alive`, a writer by the readers it counts. The latest of all rounds has to keep the
budget too. Every victim is a process of its own, killed anywhere between two beats of its heart.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Literal

import numpy as np

from metabonk.errors import MetabonkError

from .case import Case, Evidence
from .exchange import own_name
from .meter import Meter, Reading
from .versus import Contender

Side = Literal["writer", "reader"]

KILLS = 5  # per round
ROUNDS = 7
BUDGET = 100.0  # milliseconds
SETTLED = (0.1, 0.2)  # seconds that both have lived together when one of them dies
LOOK = 0.0002  # seconds between two looks of the end that is left
PATIENCE = 20.0  # seconds until a process that does not come, or a death that nobody notices
_FRAME = (16, 16, 3)

_WRITER = """
import signal, sys
from metabonk.link.ring import RingWriter
ring = RingWriter(sys.argv[1], (16, 16, 3), readers=1)
print("ready", flush=True)
signal.pause()
"""
_READER = """
import signal, sys
from metabonk.link.ring import RingReader
ring = RingReader(sys.argv[1])
ring.latest(0.0)
print("ready", flush=True)
signal.pause()
"""


def cases() -> list[Case]:
    return [
        _case("a reader notices that its ring's writer was killed", "writer"),
        _case("a writer notices that its ring's reader was killed", "reader"),
    ]


def _case(name: str, killed: Side) -> Case:
    ours = Contender("metabonk", lambda: Deaths(killed))
    budget = Contender("100 ms", lambda: Reading(lambda: BUDGET))
    return Case("link", name, "ms", ours, (budget,), better="lower", rounds=ROUNDS, evidence=latest)


def latest(ours: Meter, budget: Meter) -> Evidence:
    """Whether the latest of all kills kept the budget, too."""
    assert isinstance(ours, Deaths)
    most = max(ours.seen, default=np.inf)
    return Evidence(most <= BUDGET, f"of {len(ours.seen)} kills the latest after {most:.1f} ms")


class Deaths:
    """A meter: milliseconds until the death of the `killed` side is noticed, the median of a round.

    seen: of every kill of the rounds that were measured.
    """

    def __init__(self, killed: Side, kills: int = KILLS) -> None:
        self.seen: list[float] = []
        self._kills = kills
        self._kill = self._kill_writer if killed == "writer" else self._kill_reader
        self._chance = random.Random(0)

    def prepare(self) -> None:
        self._kill()

    def measure(self) -> float:
        round_ = [self._kill() for _ in range(self._kills)]
        self.seen += round_
        return float(np.median(round_))

    def close(self) -> None:
        """Holds nothing between two kills."""

    def _kill_writer(self) -> float:
        from metabonk.link.ring import RingReader

        name = own_name("bench-deaths-")
        with _Victim(_WRITER, name) as victim, RingReader(name) as reader:
            reader.latest(0.0)
            return self._noticed(victim, lambda: reader.alive)

    def _kill_reader(self) -> float:
        from metabonk.link.ring import RingWriter

        name = own_name("bench-deaths-")
        with (
            RingWriter(name, _FRAME, readers=1) as writer,
            _Victim(_READER, name) as victim,
        ):
            return self._noticed(victim, lambda: writer.counts()["readers"] == 1)

    def _noticed(self, victim: _Victim, lives: Callable[[], bool]) -> float:
        _until(lives, "the end that was to be killed is not seen")
        time.sleep(self._chance.uniform(*SETTLED))
        if not lives():
            raise MetabonkError("link: the other end was given up while it lived")
        began = time.monotonic_ns()
        victim.kill()
        _until(lambda: not lives(), "a death was not noticed")
        return (time.monotonic_ns() - began) / 1e6


class _Victim:
    """Another process with one end of a ring."""

    def __init__(self, program: str, name: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, name], stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> _Victim:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            self.__exit__()
            raise MetabonkError("link: the process that was to be killed did not come")
        return self

    def kill(self) -> None:
        self._process.kill()

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()


def _until(condition: Callable[[], bool], why: str) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > ends:
            raise MetabonkError(f"link: {why} within {PATIENCE:.0f} s")
        time.sleep(LOOK)
