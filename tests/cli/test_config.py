"""cli/config.py: what it prints is what the other verbs would use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from metabonk import config
from metabonk.learn import presets

Run = Callable[..., "tuple[int, str, str]"]


def test_printed_settings_load_again(metabonk: Run, tmp_path: Path) -> None:
    _, out, _ = metabonk("config", "--set", "ppo.clip=0.125")
    file = tmp_path / "mine.toml"
    file.write_text(out)
    assert config.load(file, environ={}).ppo.clip == 0.125
    _, out, _ = metabonk("config", "--config", file, "--json")
    loaded = config.load(file, environ={})
    assert json.loads(out) == json.loads(msgspec.json.encode(loaded))


def test_a_games_presets_are_shown(metabonk: Run) -> None:
    preset = presets.preset("gym/CartPole-v1")
    _, out, _ = metabonk("config", "--game", "gym/CartPole-v1", "--json")
    shown = json.loads(out)
    assert shown["game"]["name"] == "gym/CartPole-v1"
    assert preset
    for key, value in preset.items():
        section, name = key.split(".")
        assert shown[section][name] == value


def test_environment_lists_every_variable(metabonk: Run) -> None:
    rows = {r["name"]: r for r in json.loads(metabonk("config", "--env", "--json").out)}
    assert rows["METABONK_PPO_CLIP"]["key"] == "ppo.clip"
    assert rows["METABONK_CPU"] == {
        "name": "METABONK_CPU",
        "default": "auto",
        "key": "native.cpu",
        "status": "set",
        "help": rows["METABONK_CPU"]["help"],
    }
    assert rows["METABONK_CUDA"]["status"] == "build"
    assert rows["METABONK_CAUSAL_HORIZON_S"]["status"] == "not built yet"
    assert rows["METABONK_CAUSAL_HORIZON_S"]["default"] == "5"
    text = metabonk("config", "--env").out
    assert all(name in text for name in rows)


def test_older_names_show_the_default_that_is_in_force(metabonk: Run) -> None:
    rows = {r["name"]: r for r in json.loads(metabonk("config", "--env", "--json").out)}
    by_key = {s.key: config.as_text(s.default) for s in config.settings().values()}
    switches = {variable.name for variable, _ in config.variables() if variable.value}
    looked = 0
    for name, row in rows.items():
        if row["key"] in by_key and name not in switches:
            looked += 1
            assert row["default"] == by_key[row["key"]], name
    assert looked > len(by_key)
    assert rows["METABONK_USE_DREAM_TRAINING"]["default"] == by_key["dream.enabled"]


def test_a_variable_without_effect_is_noted(metabonk: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METABONK_USE_CAUSAL", "1")
    code, _, err = metabonk("config")
    assert code == 0
    assert "note: METABONK_USE_CAUSAL is known but not built yet" in err
    monkeypatch.setenv("METABONK_USE_SIMA3", "1")
    code, _, err = metabonk("config")
    assert code == 2
    assert "did you mean METABONK_USE_SIMA2?" in err
