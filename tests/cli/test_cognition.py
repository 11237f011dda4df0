"""`metabonk cognition`: from a log to data sets and policies, by the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from decision_logs import write

Call = Callable[..., Any]


def refused(metabonk: Call, *words: object) -> str:
    said = metabonk(*words)
    assert said.code == 2
    return " ".join(said.err.split())


def test_export_says_what_it_wrote(tmp_path: Path, metabonk: Call) -> None:
    write(tmp_path, episodes=12, each=2)
    told = json.loads(
        metabonk("cognition", "export", tmp_path, "--format", "jsonl,chat", "--json").out
    )
    assert sum(told["rows"].values()) == 24
    assert told["refused"] == {}
    manifest = msgspec.json.decode((tmp_path / "export" / "manifest.json").read_bytes())
    assert {k: told[k] for k in manifest} == manifest
    said = metabonk("cognition", "export", tmp_path, "--format", "jsonl", "--out", tmp_path / "b")
    assert "written" in said.out
    assert "choose another directory" in refused(metabonk, "cognition", "export", tmp_path)
    assert "--split 1: 1 shares" in refused(
        metabonk, "cognition", "export", tmp_path, "--out", tmp_path / "c", "--split", "1"
    )
    assert "no journal here" in refused(metabonk, "cognition", "export", tmp_path / "b")


def test_distil_writes_a_backend(tmp_path: Path, metabonk: Call) -> None:
    pytest.importorskip("torch")
    write(tmp_path / "log", episodes=12, each=3)
    few = ["--set", "distil.updates=30", "--set", "distil.hidden=8"]
    words = ["cognition", "distil", tmp_path / "log", "--out", tmp_path / "s", *few, "--json"]
    told = json.loads(metabonk(*words).out)
    assert told["decisions"] == 36
    assert told["judged"]["rows"] > 0
    assert (tmp_path / "s" / "card.json").exists()
    said = refused(
        metabonk, "cognition", "distil", tmp_path / "log", "--out", tmp_path / "t", "--set",
        "ppo.clip=0.1",
    )  # fmt: skip
    assert "distil.*" in said


def test_rehearse_writes_a_log(tmp_path: Path, metabonk: Call) -> None:
    level = tmp_path / "short.json"
    level.write_text('{"time": {"duration": 12.0, "boss_at": -1}}')
    log = tmp_path / "log"
    words = ["cognition", "rehearse", "--out", log, "--level", level, "--episodes", 2, "--json"]
    told = json.loads(metabonk(*words).out)
    assert told["episodes"] == 2
    assert told["decisions"] >= 10
    rows = json.loads(metabonk("cognition", "export", log, "--format", "jsonl", "--json").out)[
        "rows"
    ]
    assert sum(rows.values()) == told["decisions"]
    assert "choose another directory" in refused(metabonk, "cognition", "rehearse", "--out", log)


def test_a_policy_rehearses_and_is_corrected(tmp_path: Path, metabonk: Call) -> None:
    pytest.importorskip("torch")
    level = tmp_path / "short.json"
    level.write_text('{"time": {"duration": 12.0, "boss_at": -1}}')
    log, second, player = tmp_path / "log", tmp_path / "second", tmp_path / "s"
    words = ["cognition", "rehearse", "--level", level, "--episodes", 2, "--latency", 0.5]
    told = json.loads(metabonk(*words, "--out", log, "--json").out)
    few = ["--set", "distil.updates=5", "--set", "distil.hidden=8", "--json"]
    metabonk("cognition", "distil", log, "--out", player, *few)
    corrected = json.loads(metabonk(*words, "--out", second, "--player", player, "--json").out)
    assert corrected["decisions"] >= 10
    both = metabonk("cognition", "distil", log, second, "--out", tmp_path / "t", *few)
    assert json.loads(both.out)["decisions"] == told["decisions"] + corrected["decisions"]
    none = refused(metabonk, *words, "--out", tmp_path / "u", "--player", tmp_path / "none")
    assert "none" in none
    tired = refused(metabonk, *words, "--out", tmp_path / "v", "--player", player, "--explore", 0.1)
    assert "explore: 0.1" in tired


def test_screens_needs_one_of_two(metabonk: Call) -> None:
    assert "either --out DIR or --judge" in refused(metabonk, "cognition", "screens")
