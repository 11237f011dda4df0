"""Compiled policies that several tests play."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def policies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two compiled policies of the arena: the same network with other weights."""
    from networks import arena_pilot

    from metabonk.play.compiled import compile

    folder = tmp_path_factory.mktemp("policies")
    for number in (0, 1):
        compile(arena_pilot(number), batch=1, sampled=True, seed=5, valued=True).save(
            folder / str(number)
        )
    return folder / "0", folder / "1"


@pytest.fixture(scope="session")
def pixel_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled policy that also reads the arena's frames of 24x32."""
    from networks import shaken

    from metabonk import games
    from metabonk.config import ModelConfig
    from metabonk.models.policy import build
    from metabonk.play.compiled import compile

    game = games.make("arena", 1, pixels=(24, 32))
    config = ModelConfig(name="pilot", hidden=16)
    model = shaken(build(game.observation_space, game.action_layout, config, seed=0), 0, 0.04)
    game.close()
    path = tmp_path_factory.mktemp("pixels") / "policy"
    compile(model, batch=1, sampled=True, seed=5).save(path)
    return path
