"""`python -m metabonk`: the command line of this interpreter, wherever its scripts are."""

from __future__ import annotations

from metabonk.cli.main import run

run()
