"""The loop's ticks in suite `cognition`: as many are missed beside a System 2 that is late, garbled
or dead as without one.

Both are `metabonk play --proof`, in a process of its own: the native loop at 60 ticks a second with
a reference thread beside it, and a miss is excused where that was late, too. A value is one more
than the misses without an excuse, so that none against none is a ratio of 1.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from metabonk.errors import LinkError

from .case import Case, Evidence
from .swarm.odd import Manner, OddServer
from .swarm.services import plain_environment
from .versus import Contender

TICKS = 300
DELAY_SECONDS = 10.0  # by which late answers are late at most
MANNERS: tuple[Manner, ...] = ("late", "garbled", "dead")
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
            rounds=2,
            evidence=no_more,
        )
    ]


class Proved:
    """Misses without an excuse over several proofs, and one. manners: of the server of each; None:
    without System 2."""

    def __init__(self, manners: tuple[Manner | None, ...]) -> None:
        self._manners = manners
        self.missed = self.ticks = self.asked = 0

    def prepare(self) -> None:
        """Every proof finds its phase before it counts."""

    def measure(self) -> float:
        reports = [proof(manner) for manner in self._manners]
        missed: int = sum(report["missed"] - report["excused"] for report in reports)
        self.missed += missed
        self.ticks += sum(report["ticks"] for report in reports)
        return 1.0 + missed

    def close(self) -> None:
        """Holds nothing."""


def proof(manner: Manner | None, ticks: int = TICKS) -> dict[str, Any]:
    """The report of one proof. Raises LinkError where there is none."""
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


def no_more(ours: Any, peer: Any) -> Evidence:
    """Whether none was missed beyond what was missed without System 2."""
    told = (
        f"{ours.missed} of {ours.ticks:,} ticks, without System 2 {peer.missed} of {peer.ticks:,}"
    )
    return Evidence(ours.missed <= peer.missed, told)
