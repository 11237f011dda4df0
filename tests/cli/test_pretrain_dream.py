"""`metabonk pretrain dream`: from recordings to a version that a run begins with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metabonk.cli.pretrain import VIDEOS, of_phase
from metabonk.metrics import read_records

Metabonk = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
RUN = "from metabonk.cli.main import run; run()"
WORLD = {"deter": 32, "hidden": 32, "groups": 4, "classes": 4, "batch": 8, "sequence": 16}
DREAM = {"hidden": 16, "longest": 4, "warm_up": 4}
QUICK = [
    word
    for section, values in (("world", WORLD), ("dream", DREAM))
    for key, value in values.items()
    for word in ("--set", f"{section}.{key}={value}")
]
BRIEF = ("--set", "run.video=false", "--set", "run.eval_episodes=2", "--set", "game.envs=4")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recorded") / "run"
    words = ("train", "--game", "gym/CartPole-v1", "--steps", "2048", "--run", str(directory))
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words, "--record", *BRIEF],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return directory / "episodes"


def test_recordings_become_dreams_that_a_run_begins_with(
    metabonk: Metabonk, recordings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "dreams"  # as the one that is there if nobody says
    words = ("pretrain", "dream", "--from", recordings, "--out", out, "--updates", 12, *QUICK)
    said = metabonk(*words, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["updates"] == 12
    assert len(found["error"]) == len(found["persistence"]) == len(found["mean"]) == 4
    assert found["steps"] > 1500
    told = metabonk(*words)
    assert told.code == 0, told.err
    assert "steps ahead" in told.out
    assert f"world.start={out / 'dreams' / '000002'}" in told.out
    begun = metabonk(
        *("train", "--game", "gym/CartPole-v1", "--steps", 2048, "--run", tmp_path / "run"),
        *("--set", "dream.enabled=1", "--set", f"world.start={found['path']}", *QUICK, *BRIEF),
    )
    assert begun.code == 0, begun.err
    (started,) = [
        r for r in read_records(tmp_path / "run" / "metrics.jsonl") if r.event == "started"
    ]
    assert started.values["dreams"] == found["hash"]
    other = metabonk(
        *("train", "--game", "gym/CartPole-v1", "--steps", 512, "--run", tmp_path / "other"),
        *("--set", "dream.enabled=1", "--set", f"world.start={out}", *BRIEF),
    )
    assert other.code == 2
    assert "--set world.deter=32" in other.err


def test_settings_of_runs_that_play_are_said_to_change_nothing(
    metabonk: Metabonk, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("pretrain", "dream", "--from", recordings, "--out", tmp_path, "--updates", 6, *QUICK)
    plain = metabonk(*words)
    assert plain.code == 0, plain.err
    assert "nothing reads" not in plain.err
    monkeypatch.setenv("METABONK_USE_DREAM_TRAINING", "0")
    said = metabonk(*words, "--set", "efe.curiosity=0")
    assert said.code == 0, said.err
    assert said.err.count("nothing reads dream.enabled, efe.curiosity here") == 1


def test_the_games_own_spaces_are_asked_for(
    metabonk: Metabonk, recordings: Path, tmp_path: Path
) -> None:
    words = ("pretrain", "dream", "--from", recordings, "--out", tmp_path, "--updates", 2, *QUICK)
    assert metabonk(*words, "--game", "gym/CartPole-v1").code == 0
    other = metabonk(*words, "--game", "gym/MountainCar-v0")
    assert other.code == 2
    assert "its actions, of gym/CartPole-v1, are laid out in another way" in other.err


def test_what_stands_in_the_way_is_said(
    metabonk: Metabonk, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = metabonk("pretrain", "dream")
    assert nothing.code == 2
    assert "METABONK_VIDEO_ROLLOUTS_PT_DIR" in nothing.err
    monkeypatch.setenv("METABONK_VIDEO_ROLLOUTS_PT_DIR", str(tmp_path / "none"))
    empty = metabonk("pretrain", "dream")
    assert empty.code == 2
    assert "neither episodes nor .npz or .pt files" in empty.err
    monkeypatch.setenv("METABONK_VIDEO_ROLLOUTS_PT_DIR", str(recordings))
    named = metabonk("pretrain", "dream", "--out", tmp_path, "--updates", 2, *QUICK)
    assert named.code == 0, named.err
    assert metabonk("pretrain", "dream", "--phase", 3).code == 2


def test_the_script_knows_where_videos_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert of_phase(["--phase", "4"])[2:] == ["--phase", "4", "--from", VIDEOS]
    assert of_phase(["--phase", "4", "--from", "x"])[2:] == ["--phase", "4", "--from", "x"]
    file = tmp_path / "settings.toml"
    file.write_text('[dream]\nrecordings = "z"\n')
    for named in (["--config", str(file)], [f"--config={file}"], ["--set", "dream.recordings=z"]):
        assert of_phase(named) == ["pretrain", "dream", *named]
    monkeypatch.setenv("METABONK_VIDEO_ROLLOUTS_PT_DIR", "y")
    assert of_phase(["--phase", "4"]) == ["pretrain", "dream", "--phase", "4"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "train_sima2.py"), "--phase", "3"],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert "there is phase 4 only" in done.stderr
