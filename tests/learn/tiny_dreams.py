"""Runs of a tiny game with small world models and dreamers, for tests."""

from __future__ import annotations

from pathlib import Path

from run_tiny import configure

from metabonk.config import Config


def tiny(directory: Path, **more: object) -> Config:
    """Settings of a run of twelve rollouts in six games; `ppo__epochs=1` sets one of them."""
    config = configure(str(directory), 48 * 12)
    config.run.record = False
    config.run.checkpoint_every = 1e9
    for key, value in more.items():
        section, name = key.split("__")
        setattr(getattr(config, section), name, value)
    return config


def dreaming(directory: Path, **more: object) -> Config:
    """The same with a world model and a dreamer that is awake at once and teaches."""
    config = tiny(directory, world__enabled=True, efe__enabled=False, dream__share=0.0)
    world, dream = config.world, config.dream
    world.deter = world.hidden = dream.hidden = 16
    world.groups = world.classes = 4
    world.batch, world.sequence, world.burn_in = 2, 8, 2
    dream.warm_up, dream.longest, dream.horizon = 0, 3, 2
    for key, value in more.items():
        section, name = key.split("__")
        setattr(getattr(config, section), name, value)
    return config
