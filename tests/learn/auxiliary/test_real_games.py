"""World model, dreams and active inference on the games that they are for, each as preset."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from metabonk import machine
from metabonk.config import Config, load
from metabonk.games import from_config
from metabonk.learn import checkpoint, faults
from metabonk.learn.presets import preset
from metabonk.learn.teachers import Teacher
from metabonk.learn.trainer import Trainer
from metabonk.protocols import Array

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)

ROLLOUTS = 3
# Awake at once, and as small as still goes through everything that a whole one does.
SMALL = {
    "model.hidden": 16,
    "ppo.horizon": 16,
    "ppo.sequence": 16,
    "ppo.epochs": 1,
    "world.enabled": True,
    "world.deter": 24,
    "world.groups": 4,
    "world.classes": 4,
    "world.hidden": 24,
    "world.batch": 4,
    "world.sequence": 12,
    "world.burn_in": 2,
    "world.frames": 8,
    "dream.warm_up": 0,
    "dream.horizon": 3,
    "dream.hidden": 24,
    "dream.share": 0.0,
    "efe.enabled": True,
    "efe.hidden": 16,
    "efe.starts": 32,
    "run.torch_threads": 1,
}
ENVS = {"arena": 6, "grid64/key_door": 6, "doom/health_gathering": 2}
METRICS = (
    *("wm_recon", "wm_reward", "wm_kl", "dream_return", "dream_actor_loss", "dream_horizon"),
    *("efe_policy_loss", "efe_gain", "efe_forward_loss", "efe_horizon"),
)
Teaching = Callable[[str, Teacher], Teacher | None]


def heard(part: str, teacher: Teacher) -> Teacher:
    """At once: a dreamer would have to prove itself first, which few rollouts decide by chance."""
    return teacher._replace(proven=False)


def without(silenced: str) -> Teaching:
    return lambda part, teacher: None if part == silenced else heard(part, teacher)


def config_of(game: str) -> Config:
    flags = {**SMALL, "game.name": game, "game.envs": ENVS[game]}
    return load(presets=preset, flags=flags, environ={})


def learned(
    game: str, directory: Path, teaches: Teaching
) -> tuple[list[dict[str, float]], dict[str, Array]]:
    """Metrics of every rollout, and the policy's weights after them."""
    config = config_of(game)
    torch.manual_seed(0)
    played = from_config(config.game)
    try:
        trainer = Trainer(played, config, directory=directory)
        trainer.imagination.teaches = teaches
        trainer.start()
        found = [trainer.iterate() for _ in range(ROLLOUTS)]
        saved = checkpoint.save(directory, trainer.snapshot())
    finally:
        played.close()
    assert faults.spoiled(saved) == ""
    return found, saved.tensors(checkpoint.WEIGHTS)


def same(one: dict[str, Array], two: dict[str, Array]) -> bool:
    return all(np.array_equal(one[key], two[key]) for key in one)


@pytest.mark.long
@pytest.mark.parametrize("game", ENVS)
def test_everything_beside_the_policy_learns_and_reaches_it(game: str, tmp_path: Path) -> None:
    """What either teacher says changes the policy: without it, all else alike, it is another one.
    The same once more is the control: nothing else differs between two runs."""
    if game.startswith("doom"):
        pytest.importorskip("vizdoom")
    found, whole = learned(game, tmp_path / "whole", heard)
    last = found[-1]
    assert all(math.isfinite(last[name]) for name in METRICS), {n: last.get(n) for n in METRICS}
    assert last["dream_horizon"] == last["efe_horizon"] == 3.0
    assert last["distill_kl"] > 0.0
    assert last["efe_kl"] > 0.0
    assert [last[f"{part}_skipped"] for part in ("ppo", "wm", "dream", "efe")] == [0.0] * 4
    again = learned(game, tmp_path / "again", heard)[1]
    assert same(again, whole)
    for part in ("dream", "efe"):
        assert not same(learned(game, tmp_path / part, without(part))[1], whole), part
