"""The loop's ticks in suite `cognition`: as many are missed beside a System 2 that is late, garbled
or dead as without one.

Both are `metabonk play --proof`, in a process of its own: the native loop at 60 ticks a second with
a reference thread beside it, and a miss is excused where that was late, too. A value is one more
than the misses without an excuse, so that none against none is a ratio of 1. A proof takes half a
minute, three times as long as the latest answers: one beside a server that said nothing, or nothing
that came too late, shows nothing.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from metabonk.errors import LinkError

from .case import Case, Evidence
from .swarm.odd import Manner, OddServer
from .swarm.services import plain_environment
from .versus import Contender

TICKS = 1800  # of a proof; three beside System 2 and three without take three minutes
DELAY_SECONDS = 10.0  # by which late answers are late at most
LATE_SECONDS = 0.8 * DELAY_SECONDS  # that the latest one heard has to be
MANNERS: tuple[Manner, ...] = ("late", "garbled", "dead")
SPEAKING: tuple[Manner, ...] = ("late", "garbled")
PATIENCE = 120.0


def cases() -> list[Case]:
    return [
        Case(
            "cognition",
            "ticks missed beside a System 2 that is up to 10 s late, garbled or dead, and one",
            "",
            Contender("metabonk", functools.partial(Proved, MANNERS)),
            (Contender("without System 2", functools.partial(Proved, (None,) * len(MANNERS))),),
            better="lower",
            rounds=1,
            evidence=no_more,
        )
    ]


class Proved:
    """Misses without an excuse over several proofs, and one. manners: of the server of each; None:
    without System 2."""

    def __init__(self, manners: tuple[Manner | None, ...]) -> None:
        self._manners = manners
        self.missed = self.ticks = 0
        self.heard: dict[Manner, Heard] = {}

    def prepare(self) -> None:
        """Every proof finds its phase before it counts."""

    def measure(self) -> float:
        reports = [proof(manner, heard=self.heard) for manner in self._manners]
        missed: int = sum(report["missed"] - report["excused"] for report in reports)
        self.missed += missed
        self.ticks += sum(report["ticks"] for report in reports)
        return 1.0 + missed

    def close(self) -> None:
        """Holds nothing."""


class Heard(NamedTuple):
    """What a proof's server said: answers to requests, and by how many seconds one was late at
    most."""

    answered: int
    latest: float


def proof(
    manner: Manner | None, ticks: int = TICKS, heard: dict[Manner, Heard] | None = None
) -> dict[str, Any]:
    """The report of one proof; `heard` gets what its server said. Raises LinkError where there is
    none."""
    server = OddServer(manner, DELAY_SECONDS) if manner is not None else None
    try:
        with tempfile.TemporaryDirectory(prefix="metabonk-bench-") as folder:
            out = Path(folder) / "session"
            words = ["play", "--policy", "random", "--proof", str(ticks), "--out", str(out)]
            if server is not None:
                words += ["--system2", "--server", server.url, "--set", "cognition.every=0.25"]
            start = "from metabonk.cli.main import run; run()"
            done = subprocess.run(
                [sys.executable, "-c", start, *words, "--json"], capture_output=True, text=True,
                timeout=PATIENCE, env=plain_environment(), check=False,
            )  # fmt: skip
            report = out / "report.json"
            if not report.is_file():
                raise LinkError(f"play --proof gave no report: {done.stderr[-500:]}")
            found: dict[str, Any] = json.loads(report.read_text())
            return found
    finally:
        if server is not None:
            server.close()
            if heard is not None:
                heard[server.manner] = Heard(server.answered, server.latest)


def no_more(ours: Any, peer: Any) -> Evidence:
    """Whether none was missed beyond what was missed without System 2, beside servers that were
    what they should be: who speaks was heard, and the late one after requests had been given up."""
    told = [
        f"{ours.missed} of {ours.ticks:,} ticks, without System 2 {peer.missed} of {peer.ticks:,}"
    ]
    told += [
        f"{manner}: {heard.answered} answers, up to {heard.latest:.1f} s late"
        for manner, heard in ours.heard.items()
    ]
    silent = {manner for manner in SPEAKING if not ours.heard.get(manner, Heard(0, 0.0)).answered}
    prompt = ours.heard.get("late", Heard(0, 0.0)).latest < LATE_SECONDS
    told += [f"{manner}: nothing was heard of it" for manner in sorted(silent)]
    told += [f"late: nothing came later than {LATE_SECONDS:g} s"] if prompt else []
    return Evidence(ours.missed <= peer.missed and not silent and not prompt, "; ".join(told))
