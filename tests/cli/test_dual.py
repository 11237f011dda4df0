"""The dual-system controller in verbs that play: its settings, its notes, its rollouts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metabonk.data.episode import EpisodeStore

Verb = Callable[..., Any]


@pytest.fixture
def level(tmp_path: Path) -> Path:
    path = tmp_path / "short.json"
    path.write_text(json.dumps({"time": {"duration": 4.0}}))
    return path


def test_the_names_of_old_scripts_work(
    metabonk: Verb, level: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setenv("METABONK_USE_SIMA2", "1")
    monkeypatch.setenv("METABONK_SIMA2_GOAL", "explore")
    monkeypatch.setenv("METABONK_SIMA2_LOG", "1")
    monkeypatch.setenv("METABONK_SIMA2_PUSH_ROLLOUTS", "1")
    monkeypatch.setenv("METABONK_SIMA2_RUN", str(run))
    said = metabonk("play", "--level", level, "--video", tmp_path / "a.gif")
    assert said.code == 0, said.err
    assert "game 0: " in said.err
    store = EpisodeStore(run / "rollouts" / "episodes")
    assert store.header.actor == "policy:sima2"
    assert sum(store.steps(*entry) for entry in store.entries(complete=False)) >= 50


def test_what_is_recorded_says_who_acted(metabonk: Verb, level: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--set", f"game.level={level}", "--set", "sima2.enabled=true", "--format", "episodes")
    said = metabonk("record", "--out-dir", out, "--policy", "scripted", *words)
    assert said.code == 0, said.err
    assert EpisodeStore(out / "episodes").header.actor == "sima2:scripted"


def test_recording_makes_no_rollouts_and_says_so(
    metabonk: Verb, level: Path, tmp_path: Path
) -> None:
    out, pushed = tmp_path / "out", ("--set", "sima2.push_rollouts=1")
    words = ("record", "--out-dir", out, "--set", f"game.level={level}", "--format", "episodes")
    said = metabonk(*words, "--set", "sima2.enabled=1", *pushed)
    assert said.code == 2
    assert "sima2.push_rollouts: what is recorded goes to --out-dir" in said.err
    assert not out.exists()
    said = metabonk(*words, *pushed)
    assert said.code == 0, said.err
    assert "nothing reads sima2.push_rollouts without sima2.enabled" in said.err


def test_a_server_that_nobody_asks_is_said_to_be_one(
    metabonk: Verb, level: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = ("play", "--level", level, "--video")
    said = metabonk(*play, tmp_path / "a.gif")
    assert "nobody is asked" not in said.err
    monkeypatch.setenv("METABONK_SYSTEM2_ENABLED", "1")
    record = ("record", "--set", f"game.level={level}", "--format", "episodes", "--out-dir")
    for words in ((*play, tmp_path / "b.gif"), (*record, tmp_path / "b")):
        said = metabonk(*words)
        assert said.code == 0, said.err
        assert said.err.count("nobody is asked") == 1
    monkeypatch.setenv("METABONK_COGNITIVE_SERVER_URL", f"ipc://{tmp_path}/none.sock")
    said = metabonk(*record, tmp_path / "c", "--set", "sima2.enabled=1")
    assert said.code == 0, said.err
    assert "nobody is asked" not in said.err


def test_a_model_of_menus_is_the_servers_to_know(
    metabonk: Verb, level: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "menu.model (METABONK_VLM_MENU_MODEL): an agent does not choose who answers"
    play = ("play", "--level", level, "--video", tmp_path / "a.gif")
    assert told not in metabonk(*play).err
    monkeypatch.setenv("METABONK_VLM_MENU_MODEL", "llava:7b")
    said = metabonk(*play)
    assert said.code == 0, said.err
    assert said.err.count(told) == 1


def test_a_motor_wants_a_run_that_has_one(metabonk: Verb, level: Path, tmp_path: Path) -> None:
    words = ("play", "--level", level, "--video", tmp_path / "a.gif", "--set", "sima2.enabled=true")
    said = metabonk(*words, "--set", "sima2.load_cpqe=true")
    assert said.code == 2
    assert "sima2.run: no run is named" in said.err
    (tmp_path / "run").mkdir()
    said = metabonk(*words, "--set", "sima2.load_cpqe=true", "--set", f"sima2.run={tmp_path}/run")
    assert said.code == 2
    assert "metabonk pretrain cpqe" in said.err


def test_the_newest_motor_of_a_run_acts(metabonk: Verb, level: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from metabonk import games
    from metabonk.config import CpqeConfig
    from metabonk.learn.motors import versions as motors
    from metabonk.models.motor import build

    game = games.make("arena", 1)
    config = CpqeConfig(hidden=16, layers=1, candidates=2)
    motor = build(game.observation_space, game.action_layout, config, seed=3)
    motors.save(tmp_path / "run", motor, seed=3)
    game.close()
    words = ("--set", "sima2.enabled=true", "--set", "sima2.load_cpqe=true", "--set",
             f"sima2.run={tmp_path}/run", "--json")  # fmt: skip
    played = metabonk("play", "--level", level, "--video", tmp_path / "a.gif", *words)
    assert played.code == 0, played.err
    assert json.loads(played.out)["episodes"][0]["decisions"] >= 50


def test_games_without_states_are_refused(metabonk: Verb, tmp_path: Path) -> None:
    said = metabonk(
        *("play", "--game", "grid64/t_maze", "--policy", "random", "--video", tmp_path / "a.gif"),
        *("--set", "sima2.enabled=true"),
    )
    assert said.code == 2
    assert "System 2 needs the states" in said.err
