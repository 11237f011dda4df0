"""Trains on a tiny game from the command line, for tests that kill it: DIRECTORY STEPS [resume]
[mamba].

`SLOW` seconds are slept after each checkpoint, so that a kill meets the run half-way.
"""

from __future__ import annotations

import os
import sys
import time

import torch
from tiny_games import Walk

from metabonk.config import Config
from metabonk.learn import assess, run


def make_game(config, num_envs: int | None = None, **_):
    return Walk(num_envs or config.envs)


def configure(directory: str, steps: int) -> Config:
    config = Config()
    config.game.name, config.game.envs = "gym/tiny-walk", 6
    config.model.hidden = 8
    config.ppo.horizon, config.ppo.epochs = 8, 1
    config.run.directory, config.run.steps = directory, steps
    config.run.checkpoint_every, config.run.eval_episodes = 1e-6, 12
    config.run.torch_threads = 1
    config.run.record, config.run.video = True, False
    return config


def main() -> None:
    torch.set_num_threads(1)
    run.from_config = assess.from_config = make_game
    slow = float(os.environ.get("SLOW", "0"))
    save = run.Session.save

    def save_slowly(session: run.Session):
        found = save(session)
        time.sleep(slow)
        return found

    run.Session.save = save_slowly
    config = configure(sys.argv[1], int(sys.argv[2]))
    if "mamba" in sys.argv:
        config.model.name = "mamba"
    result = run.train(config, resume="resume" in sys.argv)
    print(result.steps, result.interrupted, result.resume_command)


if __name__ == "__main__":
    main()
