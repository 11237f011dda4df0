"""Gymnasium finds our environments, whichever of the two is imported first."""

from __future__ import annotations

import subprocess
import sys

import gymnasium
import pytest
from gymnasium.envs.registration import registry

from metabonk import _core
from metabonk.games import registration


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "imports",
    [
        "import metabonk, gymnasium",
        "import gymnasium, metabonk",
        "import metabonk; from gymnasium.envs.registration import registry; import gymnasium",
    ],
)
def test_importing_metabonk_registers(imports):
    code = f"{imports}\nprint(gymnasium.spec('metabonk/Arena-v0').entry_point)"
    assert run(code) == "metabonk.games.arena:ArenaEnv"


def test_importing_metabonk_does_not_import_gymnasium():
    code = (
        "import sys, metabonk\n"
        "print({'gymnasium', 'numpy', 'torch', 'metabonk._core'} & set(sys.modules) or 'none')"
    )
    assert run(code) == "none"


def test_gymnasium_is_left_as_it_was():
    code = (
        "import metabonk, gymnasium, sys\n"
        "from importlib.machinery import SourceFileLoader\n"
        "assert type(gymnasium.__loader__) is SourceFileLoader\n"
        "assert type(gymnasium.__spec__.loader) is SourceFileLoader\n"
        "print([f for f in sys.meta_path if type(f).__name__ == '_Waiting'])"
    )
    assert run(code) == "[]"


def test_registering_again_changes_nothing():
    before = {key: spec for key, spec in registry.items() if key.startswith("metabonk/")}
    registration.register()
    after = {key: spec for key, spec in registry.items() if key.startswith("metabonk/")}
    assert before == after
    assert all(before[key] is after[key] for key in before)


def test_every_grid64_game_has_an_id():
    assert set(registration.GRID64) == set(_core.grid64.games())
    for game in registration.GRID64:
        env = gymnasium.make(registration.grid64_id(game))
        env.reset(seed=0)
        assert env.unwrapped.source.name == f"grid64/{game}"


def test_ids_are_readable():
    assert registration.grid64_id("t_maze") == "metabonk/Grid64-TMaze-v0"
