"""`metabonk dream`: a run's dreams as numbers and films, and the game forked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metabonk import _core

if not hasattr(_core, "arena"):
    pytest.skip("the native core is not built", allow_module_level=True)

Metabonk = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
WORLD = {"deter": 24, "hidden": 24, "groups": 4, "classes": 4, "batch": 4, "sequence": 16}
SETTINGS = {
    "game.envs": 8, "run.video": "false", "run.eval_episodes": 2, "run.acting": "torch",
    "world.enabled": 1, "world.ratio": 0.2, "model.hidden": 16,
    "efe.enabled": 0, "dream.hidden": 16, "dream.warm_up": 0, "dream.horizon": 3,
    **{f"world.{key}": value for key, value in WORLD.items()},
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dreams") / "run"
    level = directory.parent / "short.json"
    level.write_text(json.dumps({"time": {"duration": 12.0}}))
    words = ["train", "--steps", "512", "--run", str(directory), "--record"]
    words += ["--set", f"game.level={level}"]
    words += [w for key, value in SETTINGS.items() for w in ("--set", f"{key}={value}")]
    code = "from metabonk.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return directory


def test_a_dream_is_told_and_filmed(metabonk: Metabonk, run: Path, tmp_path: Path) -> None:
    film = tmp_path / "dream.gif"
    words = ("dream", run, "--episode", 1, "--longest", 30)
    said = metabonk(*words, "--horizon", 20, "--video", film, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["dreamed"] == len(found["error"]) == found["steps"] + 1 - found["context"]
    assert found["steps"] == 30
    assert len(found["persistence"]) == len(found["awake"]) == found["dreamed"]
    assert film.read_bytes()[:3] == b"GIF"
    told = metabonk(*words, "--no-video")
    assert told.code == 0, told.err
    assert f"{found['steps'] + 1 - 8:,} steps dreamed" in told.out
    assert isinstance(found["unseeing"], bool)
    assert "film" not in told.out
    whole = metabonk("dream", run, "--episode", 1, "--no-video", "--json")
    assert json.loads(whole.out)["steps"] > 30


def test_a_dreamer_is_compiled(metabonk: Metabonk, run: Path, tmp_path: Path) -> None:
    from metabonk.play.compiled import load

    words = ("compile", run, "--dreamer", "--precision", "fp32", "--precision", "int8")
    said = metabonk(*words, "--episodes", 2, "--json")
    assert said.code == 0, said.err
    exact, rough = json.loads(said.out)
    assert Path(exact["path"]).name == "dreamer-fp32"
    assert exact["fidelity"]["agreement"] > 0.99  # a class may be within rounding of a boundary
    assert exact["fidelity"]["decisions"] > 20
    assert rough["fidelity"]["bytes"] < exact["fidelity"]["bytes"]
    policy = load(Path(rough["path"]))
    seen = {k: np.zeros(shape, dtype) for k, (dtype, shape) in policy.inputs.items()}
    assert np.isfinite(policy.step(seen)).all()


def test_forks_are_told(metabonk: Metabonk, run: Path, tmp_path: Path) -> None:
    film = tmp_path / "twin.gif"
    words = ("dream", run, "--at", 10, "--steps", 6, "--json")
    one = metabonk(*words, "--instead", "move=1:0", "--video", film)
    assert one.code == 0, one.err
    found = json.loads(one.out)
    assert found["instead"][:2] == [1.0, 0.0]
    assert found["at"] == 10
    assert len(found["effect"]) == len(found["error"]) <= 6
    assert found["forked"] >= 11
    assert film.exists()
    same = metabonk(
        *words, "--no-video", "--instead", "move=" + ":".join(map(str, found["done"][:2]))
    )
    assert json.loads(same.out)["forked"] is None
    many = metabonk("dream", run, "--forks", 3, "--steps", 5, "--json")
    assert many.code == 0, many.err
    assert json.loads(many.out)["forks"] == 3
    told = metabonk("dream", run, "--forks", 2, "--steps", 5).out
    right = json.loads(metabonk("dream", run, "--forks", 2, "--steps", 5, "--json").out)["trust"]
    assert f"right for {right} of " in told
    assert (f"--set dream.horizon={right}" if right else "train longer") in told


def test_recordings_are_dreamed_of(metabonk: Metabonk, run: Path) -> None:
    words = ("dream", run, "--from", run / "episodes", "--no-video", "--json")
    said = metabonk(*words, "--episode", 0)
    assert said.code == 0, said.err
    assert json.loads(said.out)["dreamed"] > 0
    beyond = metabonk(*words, "--episode", 10_000)
    assert beyond.code == 2
    assert "--episode 10000" in beyond.err
    assert metabonk(*words, "--forks", 2).code == 2


def test_what_cannot_be_dreamed_is_said(metabonk: Metabonk, run: Path, tmp_path: Path) -> None:
    assert "holds no run" in metabonk("dream", tmp_path).err
    late = metabonk("dream", run, "--at", 10**6, "--no-video")
    assert late.code == 2
    assert "decision 1000000: the episode has" in late.err
    unknown = metabonk("dream", run, "--at", 3, "--instead", "fly=1", "--no-video")
    assert unknown.code == 2
    assert "no action 'fly'" in unknown.err
