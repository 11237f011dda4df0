"""How many games play side by side: as many as there are episodes, few where each is a process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from metabonk.bench import curves
from run_tiny import make_game

from metabonk.config import Config
from metabonk.learn import assess
from metabonk.learn.ablation import motor, study
from metabonk.learn.assess import Assessor, at_once
from metabonk.learn.motors import pretrain

EPISODES, ENVS = 64, 4


class Made(Exception):
    """A game was asked for; the only argument is of how many environments."""


def config_of(name: str) -> Config:
    config = Config()
    config.game.name, config.game.envs, config.run.eval_episodes = name, ENVS, EPISODES
    return config


def ablated(config: Config, run: Path) -> None:
    bench = study._Bench(run, run, config, None, EPISODES, from_start=True)  # type: ignore[arg-type]
    bench._trial(1, "intact", "again", None, 0.0)  # type: ignore[arg-type]


def ablated_motor(config: Config, run: Path) -> None:
    motor.ablate_motor(run, episodes=EPISODES)


def learned_motor(config: Config, run: Path) -> None:
    pretrain.pretrain_cpqe(run, config, sources=[run], episodes=EPISODES)


@pytest.mark.parametrize(
    "ask",
    [
        lambda config, run: Assessor(run, config).game,
        ablated,
        ablated_motor,
        learned_motor,
        lambda config, run: curves._Judge(config, 1, EPISODES, alone=True),
    ],
    ids=["eval", "ablate", "ablate a motor", "pretrain", "curves"],
)
@pytest.mark.parametrize(("name", "count"), [("doom/basic", ENVS), ("gym/CartPole-v1", EPISODES)])
def test_games_that_are_processes_are_no_more_than_in_training(
    ask: Callable[[Config, Path], Any],
    name: str,
    count: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def repeatable(config: Any, num_envs: int, **settings: Any) -> None:
        raise Made(num_envs)

    monkeypatch.setattr(assess, "repeatable", repeatable)
    monkeypatch.setattr(study, "from_config", make_game)
    (tmp_path / "config.toml").write_text(
        f'[game]\nname = "{name}"\nenvs = {ENVS}\n[run]\neval_episodes = {EPISODES}\n'
    )
    with pytest.raises(Made) as made:
        ask(config_of(name), tmp_path)
    assert made.value.args == (count,)


@pytest.mark.parametrize(
    ("name", "envs", "found"),
    [
        ("doom/basic", 4, [1, 3, 4]),
        ("bonklink", 1, [1, 1, 1]),
        ("research_shm", 200, [1, 3, 100]),
        ("arena", 4, [1, 3, 100]),
    ],
)
def test_all_of_them_play_as_many_where_that_can_be(name: str, envs: int, found: list[int]) -> None:
    config = config_of(name)
    config.game.envs = envs
    assert [at_once(config.game, episodes) for episodes in (1, 3, 100)] == found
