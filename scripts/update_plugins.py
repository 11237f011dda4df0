#!/usr/bin/env python3
"""Puts MetaBonk's plugins into the game's folder, as `metabonk plugins` does.

    python scripts/update_plugins.py --game-dir "/path/to/steamapps/common/Megabonk"

Builds them against that game first unless plugins/build or --built has them. Everything else is
`metabonk plugins --help`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from checkout import use_own_python

BUILT = Path(__file__).resolve().parent.parent / "plugins" / "build" / "BonkLink.dll"
CHOICES = ("--built", "--build", "--remove", "--help", "-h")


def words(given: Sequence[str], built: bool) -> list[str]:
    """The command line of `metabonk` that is meant."""
    chosen = built or any(word.split("=", 1)[0] in CHOICES for word in given)
    return ["plugins", *given] if chosen else ["plugins", "--build", *given]


if __name__ == "__main__":
    use_own_python()
    from metabonk.cli.main import run

    run(words(sys.argv[1:], BUILT.is_file()))
