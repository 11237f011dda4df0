"""A process that is over."""

from __future__ import annotations

import subprocess
import sys


def over_and_gone() -> int:
    """The number of a process that was."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid
