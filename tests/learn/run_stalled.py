"""Trains a tiny game from the command line and never ends writing one of its rollouts, for tests
that kill it then: DIRECTORY KIND EVERY ROLLOUT.

KIND: who keeps rollouts, `world` or `motor`. EVERY: seconds between checkpoints. ROLLOUT: the one
that stays half-written; `DIRECTORY.stalled` is there once it is.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from run_tiny import make_game
from tiny_dreams import dreaming, tiny

from metabonk.config import Config
from metabonk.learn import assess, replay, run


def configure(directory: Path, kind: str, every: float) -> Config:
    config = dreaming(directory, efe__enabled=True, efe__hidden=8, run__checkpoint_every=every)
    if kind == "motor":
        config = tiny(directory, cpqe__enabled=True, run__checkpoint_every=every)
        config.cpqe.hidden, config.cpqe.layers, config.cpqe.batch = 16, 1, 32
        config.cpqe.teacher_updates = config.cpqe.student_updates = config.cpqe.q_updates = 4
    config.run.steps = 48 * 6
    return config


def stall(number: int, told: Path) -> None:
    """From now on the rollout of that number is not written to its end."""
    save = np.save

    def slowly(file: Any, array: Any, **more: Any) -> None:
        save(file, array, **more)
        if Path(file).parent.name == f"{replay.PREFIX}{number:08d}{replay.PART}":
            told.touch()
            time.sleep(600.0)

    np.save = slowly


def main() -> None:
    directory, kind, every, number = Path(sys.argv[1]), *sys.argv[2:]
    torch.set_num_threads(1)
    run.from_config = assess.from_config = make_game
    stall(int(number), directory.with_suffix(".stalled"))
    run.train(configure(directory, kind, float(every)))


if __name__ == "__main__":
    main()
