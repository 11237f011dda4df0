"""The smallest settings with which something learns beside the policy, for tests."""

from __future__ import annotations

from metabonk.config import Config


def settings(**on: float) -> Config:
    """on: dream=1, efe=1, intrinsic, its weight, and share, of the games that the dreamer plays;
    what is not named is off."""
    config = Config()
    config.dream.hidden, config.dream.warm_up, config.dream.longest = 8, 1, 4
    config.dream.horizon, config.efe.hidden = 4, 8
    config.model.hidden, config.ppo.horizon = 8, 16
    world = config.world
    world.deter, world.groups, world.classes, world.hidden = 8, 2, 4, 8
    world.batch, world.sequence, world.burn_in = 4, 18, 2
    config.dream.enabled = bool(on.get("dream", 0))
    config.efe.enabled = bool(on.get("efe", 0))
    world.enabled = config.dream.enabled or config.efe.enabled
    config.dream.share = on.get("share", 0.0)
    world.intrinsic = on.get("intrinsic", 0.0)
    return config
