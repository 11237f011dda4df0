"""Learning curves: looks at the policy that is served, which change nothing of what is learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from metabonk.bench import curves, study_dreams

from metabonk.config import Config


def tiny(dreams: bool) -> Config:
    """CartPole in rollouts of 256 steps, with dreams as small as they can be."""
    more: dict[str, Any] = {"ppo__horizon": 16, "ppo__epochs": 1, "model__hidden": 8}
    if not dreams:
        return study_dreams.plain(study_dreams.ONE, 0, **more)
    sizes = {f"world__{key}": 8 for key in ("deter", "hidden", "groups", "classes")}
    own = {"dream__hidden": 8, "dream__warm_up": 1, "dream__horizon": 2, "world__ratio": 4.0}
    return study_dreams.dreaming(study_dreams.ONE, 0, **more, **sizes, **own)


def test_curves_are_of_the_policy_that_is_served(tmp_path: Path) -> None:
    """Arms of a seed begin alike and play the same episodes; looking changes nothing."""
    pytest.importorskip("torch")
    found = [
        curves.learn(tiny(dreams), tmp_path / str(number), 768, looks=looks, episodes=4)
        for number, (dreams, looks) in enumerate([(False, 3), (True, 3), (True, 1)])
    ]
    off, on, once = found
    assert off["steps"] == on["steps"] == [0, 256, 512, 768]
    assert once["steps"] == [0, 768]
    assert off["returns"][0] == on["returns"][0] >= 8.0  # nobody falls sooner
    assert len(on["returns"]) == len(on["dreamer"]) == 4
    assert off["dreamer"] == []
    assert on["metrics"]["dream_entropy"] > 0.0
    assert once["returns"][-1] == on["returns"][-1]
    assert once["dreamer"][-1] == on["dreamer"][-1]
    assert once["metrics"] == on["metrics"]
    assert curves.of_dreamer(on)["returns"] is on["dreamer"]


def test_dreams_begin_within_the_first_tenth() -> None:
    """What begins when the policy knows its game can save nothing."""
    for game, steps in study_dreams.STEPS.items():
        config = study_dreams.dreaming(game, 0)
        update = config.world.batch * config.world.sequence / config.world.ratio
        assert config.dream.warm_up * update <= 0.1 * steps, game
