#!/usr/bin/env python3
"""Records a game while it is played, as `metabonk record` does; made for the running game.

    python scripts/record_experience.py --out-dir rollouts/onpolicy_npz --hz 10

Without --game this is the game that METABONK_USE_RESEARCH_SHM or the like name, else the one behind
BonkLink, and whoever plays it goes on undisturbed. The rest is `metabonk record --help`.
"""

import sys

from metabonk.cli.main import run
from metabonk.cli.record import of_the_running_game

if __name__ == "__main__":
    run(of_the_running_game(sys.argv[1:]))
