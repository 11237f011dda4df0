#!/usr/bin/env python3
"""Records a game while it is played, as `metabonk record` does; made for the running game.

    python scripts/record_experience.py --out-dir rollouts/onpolicy_npz --hz 10
    python scripts/record_experience.py --out-dir rollouts/mine --policy runs/long

Without --game this is the game that the environment names (METABONK_USE_RESEARCH_SHM and the like),
else the one behind BonkLink. Without --policy whoever plays it goes on undisturbed; a game that
waits for each action of its agent, as one behind ResearchPlugin does, is played by nobody else and
needs one. The rest is `metabonk record --help`.
"""

from __future__ import annotations

from checkout import use_own_python

if __name__ == "__main__":
    use_own_python()
    from metabonk.cli.main import run
    from metabonk.cli.record import of_the_running_game

    run(meant=of_the_running_game)
