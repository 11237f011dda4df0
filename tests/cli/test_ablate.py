"""`metabonk ablate`: a run with a part that teaches nobody, from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metabonk.cli import ablate

pytest.importorskip("torch")

Metabonk = Callable[..., Any]
SMALL = {
    "world.deter": 8,
    "world.groups": 2,
    "world.classes": 4,
    "world.hidden": 8,
    "world.batch": 4,
    "world.sequence": 16,
    "dream.warm_up": 1,
    "dream.horizon": 3,
    "dream.hidden": 8,
    "efe.hidden": 8,
    "game.envs": 4,
    "model.hidden": 8,
    "ppo.horizon": 16,
    "run.eval_episodes": 4,
    "run.video": "false",
    "run.torch_threads": 1,
}


def trained(metabonk: Metabonk, directory: Path, **more: object) -> Path:
    chosen = SMALL | {key.replace("__", "."): value for key, value in more.items()}
    words = [word for key, value in chosen.items() for word in ("--set", f"{key}={value}")]
    said = metabonk(
        *("train", "--game", "gym/CartPole-v1", "--steps", 256, "--run", directory, *words)
    )
    assert said.code == 0, said.err
    return directory


def test_an_inert_part_is_named_and_is_exit_code_one(metabonk: Metabonk, tmp_path: Path) -> None:
    run = trained(metabonk, tmp_path / "run", efe__enabled=1, efe__distill_coef=0, dream__enabled=0)
    asked = ("ablate", run, "--seeds", 2, "--steps", 100, "--episodes", 4, "--part", "efe")
    said = metabonk(*asked, "--json")
    assert said.code == 1, said.err
    found = json.loads(said.out)
    assert found["steps"] == 128  # two whole rollouts, as was trained
    lines = said.err.splitlines()
    assert "10 trainings of 128 steps each" in lines  # two seeds, the part in three ways
    assert any(line.startswith("the first took ") for line in lines)
    assert {f["part"]: f["verdict"] for f in found["findings"]} == {"efe": "inert"}
    said_of_it = "whoever plays comes out the same with it taken away, frozen, shuffled"
    assert [f["why"] for f in found["findings"]] == [said_of_it]
    assert len(found["intact"]) == 2
    assert Path(found["path"]).is_dir()
    shown = metabonk(*asked)
    assert shown.code == 1
    assert set(said_of_it.split()) <= set(shown.out.split())  # a narrow table breaks its lines
    assert "control" in shown.out
    assert found["path"] in shown.out


def test_what_it_takes_is_said_first_and_what_is_left_after(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(ablate.time, "monotonic", lambda: now)
    shown: list[str] = []
    telling = ablate._Telling(shown.append)
    telling.begins(50, 8192)
    telling(10, 50, "seed 2: intact")
    assert capsys.readouterr().err == "40 trainings of 8,192 steps each; 10 are kept from before\n"
    now += 30.0
    telling(11, 50, "seed 2: intact once more")
    assert capsys.readouterr().err == "the first took 30 s, about 19.5 minutes left\n"
    now += 90.0
    telling(12, 50, "seed 2: dream, zero")
    assert not capsys.readouterr().err
    assert shown == [
        "11 of 50: seed 2: intact",
        "12 of 50: seed 2: intact once more, about 19.5 minutes left",
        "13 of 50: seed 2: dream, zero, about 38.0 minutes left",
    ]


def test_what_is_no_run_is_said(metabonk: Metabonk, tmp_path: Path) -> None:
    said = metabonk("ablate", tmp_path)
    assert said.code == 2
    assert "holds no run" in said.err


@pytest.mark.long
def test_the_judges_of_a_motor(metabonk: Metabonk, tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    said = metabonk(
        *("train", "--game", "gym/CartPole-v1", "--steps", 512, "--run", run, "--record"), *small
    )
    assert said.code == 0, said.err
    quick = [f"cpqe.{phase}_updates=30" for phase in ("teacher", "student", "q")]
    changes = [w for one in (*quick, "cpqe.hidden=16") for w in ("--set", one)]
    said = metabonk("pretrain", "cpqe", run, "--episodes", 0, *changes)
    assert said.code == 0, said.err
    asked = ("--seeds", 2, "--episodes", 4, "--json")
    said = metabonk("ablate", run / "motors", *asked)
    found = json.loads(said.out)
    assert said.code == int(any(f["verdict"] == "inert" for f in found["findings"]))
    assert {f["part"] for f in found["findings"]} == {"judges", "doubt"}
    assert found["unit"] == "of decisions"
    same = metabonk("ablate", run / "motors" / "000001", *asked)
    assert json.loads(same.out)["path"] == found["path"]
    said = metabonk("ablate", run / "motors", "--part", "dream")
    assert said.code == 2
    assert "part 'dream': a motor has judges, doubt" in said.err
