"""The checkout's own Python, for a script of this folder that another one was started with."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path


def use_own_python() -> None:
    """Goes on in .venv, which is made where it is not there, if this Python has no MetaBonk."""
    if importlib.util.find_spec("metabonk") is not None:
        return
    scripts = Path(__file__).resolve().parent
    made = subprocess.run([str(scripts / "metabonk"), "--version"], stdout=subprocess.DEVNULL)
    if made.returncode:  # which has said why
        sys.exit(made.returncode)
    own = scripts.parent / ".venv" / "bin" / "python"
    os.execv(own, [str(own), *sys.argv])
