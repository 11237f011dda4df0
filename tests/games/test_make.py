"""Names and settings of games: what is right is made, what is wrong is explained."""

from __future__ import annotations

import subprocess
import sys

import pytest

from metabonk import games
from metabonk.config import GameConfig
from metabonk.errors import ConfigError


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'arena'"):
        games.make("arean")
    with pytest.raises(ConfigError, match="write doom/<scenario>"):
        games.make("doom")
    with pytest.raises(ConfigError, match="write arena"):
        games.make("arena/forest")


def test_unknown_settings_list_the_known():
    with pytest.raises(ConfigError, match="did you mean 'kwargs'"):
        games.make("gym/CartPole-v1", kwarg={})
    with pytest.raises(ConfigError, match="num_envs"):
        games.make("gym/CartPole-v1", num_envs=0)


def test_from_config_passes_what_was_changed():
    game = games.from_config(GameConfig(name="gym/CartPole-v1", envs=3))
    assert game.num_envs == 3
    assert games.from_config(GameConfig(name="gym/CartPole-v1"), num_envs=2).num_envs == 2
    with pytest.raises(ConfigError, match=r"game\.pixels"):
        games.from_config(GameConfig(name="gym/CartPole-v1", pixels=(84, 84)))


def test_importing_games_loads_no_game():
    code = (
        "import sys, metabonk.games\n"
        "heavy = {'numpy', 'gymnasium', 'vizdoom', 'torch', 'metabonk._core'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
