"""`metabonk ablate`: a run with a part that teaches nobody, from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
    asked = ("ablate", run, "--seeds", 2, "--steps", 128, "--episodes", 4, "--part", "efe")
    said = metabonk(*asked, "--json")
    assert said.code == 1, said.err
    found = json.loads(said.out)
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
