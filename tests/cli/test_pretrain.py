"""`metabonk pretrain cpqe`: from recordings to a version that plays, and what stands in its way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metabonk.config import load
from metabonk.games import from_config
from metabonk.learn.evaluate import play
from metabonk.learn.motors import versions as motors
from metabonk.models.motor import MotorPolicy

Metabonk = Callable[..., Any]
SMALL = {
    "hidden": 32,
    "layers": 1,
    "teacher_updates": 60,
    "student_updates": 60,
    "q_updates": 60,
    "candidates": 4,
    "most_steps": 1000,
}
QUICK = [word for key, value in SMALL.items() for word in ("--set", f"cpqe.{key}={value}")]


@pytest.fixture
def run(metabonk: Metabonk, tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    said = metabonk(
        *("train", "--game", "gym/CartPole-v1", "--steps", 2048, "--run", directory, "--record"),
        *("--set", "run.video=false", "--set", "run.eval_episodes=2", "--set", "game.envs=4"),
    )
    assert said.code == 0, said.err
    return directory


def test_a_recorded_run_becomes_a_motor_that_plays(metabonk: Metabonk, run: Path) -> None:
    said = metabonk("pretrain", "cpqe", run, "--episodes", 4, "--json", *QUICK)
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["steps"] == SMALL["most_steps"]
    others = {"random", "unjudged", "teacher", "teacher, unjudged", "policy"}
    assert set(found["evaluation"]["against"]) == others
    config = load(run / "config.toml", environ={})
    game = from_config(config.game, 2)
    motor, saved = motors.load(found["path"], game.observation_space, game.action_layout)
    assert saved.hash == found["hash"]
    assert saved.card.metrics["return_mean"].baselines.keys() >= {"random", "teacher"}
    assert saved.card.details["cpqe"]["hidden"] == 32
    assert len(play(game, MotorPolicy(motor), 2, 0)["return"]) == 2
    game.close()
    # The same again is the same; a second version does not touch the first.
    again = metabonk("pretrain", "cpqe", run, "--episodes", 0, *QUICK)
    assert again.code == 0
    assert "1,000 decisions" in again.out
    versions = motors.listed(run)
    assert [v.name for v in versions] == ["000001", "000002"]
    weights = [(v / motors.WEIGHTS).read_bytes() for v in versions]
    assert weights[0] == weights[1]


def test_motors_play_by_their_place(metabonk: Metabonk, run: Path, tmp_path: Path) -> None:
    assert metabonk("pretrain", "cpqe", run, "--episodes", 0, *QUICK).code == 0
    played = []
    for place in (run / "motors", run / "motors" / "000001", run):
        said = metabonk("play", "--policy", place, "--video", tmp_path / "film.mp4", "--json")
        assert said.code == 0, said.err
        played.append(json.loads(said.out)["episodes"])
    assert played[0] == played[1]
    live = metabonk("play", "--policy", run / "motors", "--live")
    assert live.code == 2
    assert f"give it what `metabonk compile {run / 'motors'}` writes" in live.err
    check_compiled(metabonk, run, tmp_path)


def check_compiled(metabonk: Metabonk, run: Path, tmp_path: Path) -> None:
    """What `metabonk compile` makes of that motor is measured, and plays."""
    from metabonk.play.compiled import load as load_compiled

    said = metabonk("compile", run / "motors", "--episodes", 4, "--json")
    assert said.code == 0, said.err
    (found,) = json.loads(said.out)
    assert found["path"] == str(run / "policies/motor-fp32")
    assert found["fidelity"]["agreement"] >= 0.99
    assert found["fidelity"]["decisions"] >= 4
    assert set(load_compiled(found["path"]).outputs) == {"action", "candidate", "score"}
    words = ("--policy", found["path"], "--video", tmp_path / "film.gif", "--json")
    played = [metabonk("play", "--game", "gym/CartPole-v1", *words) for _ in range(2)]
    assert played[0].code == 0, played[0].err
    episodes = [json.loads(one.out)["episodes"] for one in played]
    assert episodes[0] == episodes[1]
    assert episodes[0][0]["decisions"] > 1
    other = metabonk("play", "--game", "arena", *words)
    assert other.code == 2
    assert "compiled for another game than arena" in other.err
    few = metabonk("compile", run / "motors/000001", "--precision", "nvfp4", "--episodes", 0)
    assert few.code == 0, few.err
    assert (run / "policies/motor-nvfp4").is_dir()
    for idle in ("--greedy", "--dreamer"):
        refused = metabonk("compile", run / "motors", idle)
        assert refused.code == 2
        assert "a motor always draws its candidates" in refused.err


def test_what_stands_in_the_way_is_said(metabonk: Metabonk, tmp_path: Path) -> None:
    nothing = metabonk("pretrain", "cpqe", tmp_path)
    assert nothing.code == 2
    assert "holds no run" in nothing.err
    (tmp_path / "config.toml").write_text('[game]\nname = "gym/CartPole-v1"\n')
    unrecorded = metabonk("pretrain", "cpqe", tmp_path)
    assert unrecorded.code == 2
    assert "train it with --record" in unrecorded.err
    other = metabonk("pretrain", "cpqe", tmp_path, "--set", "ppo.clip=0.1")
    assert other.code == 2
    assert "only the settings cpqe.*" in other.err
    beyond = metabonk("pretrain", "cpqe", tmp_path, "--set", "cpqe.members=1")
    assert beyond.code == 2
    assert "cpqe.members" in beyond.err
