"""Runs from before a setting: whoever reads their settings takes what was done then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metabonk.cli.players import configured
from metabonk.config import Config, load
from metabonk.learn import assess, compiling, presets
from metabonk.learn.ablation import motor as ablation
from metabonk.learn.assess import assess_run
from metabonk.learn.compiling import compile_run
from metabonk.learn.motors import compiling as motor_compiling
from metabonk.learn.motors.compiling import compile_version
from metabonk.learn.motors.pretrain import settings_of

OLD = '[game]\nname = "gym/CartPole-v1"\nenvs = 3\n'


class Read(Exception):
    """Settings were read; the only argument is what they say."""


def test_a_file_that_lacks_a_setting_is_of_a_run_from_before_it(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(OLD)
    found = presets.begun(tmp_path, environ={})
    assert not found.ppo.discount_time
    assert found.dream.passes == 0
    assert load(tmp_path / "config.toml", environ={}).ppo.discount_time  # what it is now
    (tmp_path / "config.toml").write_text(f"{OLD}[ppo]\ndiscount_time = true\n")
    assert presets.begun(tmp_path, environ={}).ppo.discount_time


def test_whatever_is_said_now_wins(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(OLD)
    flags = {"ppo.discount_time": "1"}
    assert presets.begun(tmp_path, flags=flags, environ={}).ppo.discount_time
    environ = {"METABONK_PPO_DISCOUNT_TIME": "1"}
    assert presets.begun(tmp_path, environ=environ).ppo.discount_time


def test_nothing_is_said_of_settings_that_only_training_reads(tmp_path: Path) -> None:
    """Those of a run that plays are its own affair; a variable without effect is not."""
    (tmp_path / "config.toml").write_text(f"{OLD}[dream]\nhorizon = 5\n")
    said: list[str] = []
    presets.begun(tmp_path, environ={}, notice=said.append)
    assert not said
    load(tmp_path / "config.toml", presets=presets.preset, environ={}, notice=said.append)
    assert said  # as it is where somebody trains


@pytest.mark.parametrize(
    "read",
    [
        lambda run: settings_of(run, {}),
        lambda run: settings_of(run, {"cpqe.beta": "2"}),
        lambda run: configured(run, {}),
        lambda run: assess_run(run),
        lambda run: compile_run(run, run / "out"),
        lambda run: compile_version(run / "motors", run, run / "out"),
        lambda run: ablation.ablate_motor(run),
    ],
    ids=["pretrain", "pretrain set", "play", "eval", "compile", "compile a motor", "ablate"],
)
def test_everybody_reads_them_so(
    read: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The game has a setting from before, for once, as all of these ask for one."""
    monkeypatch.setitem(presets.BEFORE, "game.frame_skip", 7)

    def told(config: Any, *_: Any, **__: Any) -> None:
        raise Read(config.frame_skip)

    for module in (assess, compiling, motor_compiling):
        monkeypatch.setattr(module, "repeatable", told)
    (tmp_path / "config.toml").write_text(OLD)
    try:
        found = read(tmp_path)
    except Read as made:
        skipped = made.args[0]
    else:
        assert isinstance(found, Config)
        skipped = found.game.frame_skip
    assert skipped == 7
