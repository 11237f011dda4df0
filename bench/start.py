"""Suite `start`: how long until the command line and the package are there.

Durations. What may be lost is written as a peer: the installed command and a second more, or a
budget in milliseconds; a ratio of 1 means that all of it was used up.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from .case import Case
from .meter import Plus, Reading
from .versus import AbsentError, Contender

ROOT = Path(__file__).resolve().parent.parent
LAUNCH_SECONDS = 1.0  # that ./scripts/metabonk may take over the installed command
IMPORT_MILLISECONDS = 150.0

IMPORT = """
import time
began = time.perf_counter()
import metabonk
print((time.perf_counter() - began) * 1e3)
"""


def cases() -> list[Case]:
    launch = Case(
        "start",
        "./scripts/metabonk --help",
        "s",
        Contender("./scripts/metabonk", lambda: _launch(ROOT / "scripts/metabonk")),
        (
            Contender(
                ".venv/bin/metabonk and 1 s",
                lambda: Plus(_launch(ROOT / ".venv/bin/metabonk"), LAUNCH_SECONDS),
            ),
        ),
        better="lower",
    )
    package = Case(
        "start",
        "import metabonk",
        "ms",
        Contender("metabonk", lambda: Reading(_import_milliseconds)),
        (Contender("150 ms", lambda: Reading(lambda: IMPORT_MILLISECONDS)),),
        better="lower",
    )
    return [launch, package]


def _launch(command: Path) -> Reading:
    """Seconds of `COMMAND --help`, in a process of its own."""
    if not command.is_file():
        raise AbsentError(f"{command} is not there: only a checkout has it")
    if not (ROOT / ".venv/.metabonk-hash").is_file():
        raise AbsentError("there is no environment made by ./scripts/metabonk: run it once")

    def seconds() -> float:
        began = time.perf_counter()
        subprocess.run([command, "--help"], check=True, capture_output=True, cwd=ROOT)
        return time.perf_counter() - began

    return Reading(seconds)


def _import_milliseconds() -> float:
    """`import metabonk` in a fresh interpreter, measured from inside."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True
    )
    return float(done.stdout)
