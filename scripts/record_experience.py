#!/usr/bin/env python3
"""Records a game while it is played, as `metabonk record` does; made for the running game.

    python scripts/record_experience.py --out-dir rollouts/onpolicy_npz --hz 10

Without --game this is the game that is reached over BonkLink, and whoever plays it goes on
undisturbed. Everything else is `metabonk record --help`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def words(given: Sequence[str]) -> list[str]:
    """The command line of `metabonk` that is meant."""
    named = any(word == "--game" or word.startswith("--game=") for word in given)
    return ["record", *given] if named else ["record", "--game", "bonklink", *given]


if __name__ == "__main__":
    from metabonk.cli.main import run

    run(words(sys.argv[1:]))
