"""A run shows which operations ran on torch's definition though kernels are there."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_games import Walk

from metabonk.config import Config
from metabonk.learn import assess, run
from metabonk.learn.report import publish
from metabonk.metrics import read_records
from metabonk.ops import qlinear
from metabonk.ops.fallbacks import FallbackWarning
from metabonk.protocols import Array

STEPS = 48  # of a rollout


class Slicing(Walk):
    """A game that hands an operation a slice, which its kernels cannot read, or the whole."""

    def __init__(self, num_envs: int, columns: int) -> None:
        super().__init__(num_envs)
        self.weights = qlinear.pack(torch.ones(8, 32), "int8")
        self.rows = torch.ones(4, columns)
        self.calls = 0

    def step_into(self, actions: Array, observation: Any, *flags: Any) -> None:
        super().step_into(actions, observation, *flags)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FallbackWarning)
            qlinear.qlinear(self.rows[:, :32], self.weights)
        self.calls += 1


def train(
    directory: Path, columns: int, monkeypatch: pytest.MonkeyPatch, *, steps: int, resume: bool
) -> tuple[publish.RunResult, int]:
    """What it came to, and how often its games asked the operation."""
    from run_tiny import configure

    games: list[Slicing] = []

    def make(config: Any, num_envs: int | None = None, **_: object) -> Slicing:
        games.append(Slicing(num_envs or config.envs, columns))
        return games[-1]

    for module in (run, assess):
        monkeypatch.setattr(module, "from_config", make)
    config: Config = configure(str(directory), steps)
    result = run.train(config, resume=resume)
    return result, sum(game.calls for game in games)


def told(directory: Path) -> list[dict[str, int]]:
    records = read_records(directory / "metrics.jsonl")
    return [record.values["calls"] for record in records if record.event == publish.SLOW]


def test_operations_on_torchs_definition_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    first, calls = train(tmp_path, 40, monkeypatch, steps=2 * STEPS, resume=False)
    events = told(tmp_path)
    assert len(events) == 3  # two rollouts, each with its checkpoint, and the evaluation
    assert sum(event["qlinear, x is strided"] for event in events) == calls
    (note,) = first.notes
    assert f"qlinear, x is strided: {calls}." in note
    assert "qlinear, x is strided" in (tmp_path / "report.html").read_text()
    again, more = train(tmp_path, 40, monkeypatch, steps=3 * STEPS, resume=True)
    assert f"qlinear, x is strided: {calls + more}." in again.notes[-1]


def test_kernels_that_could_read_everything_are_no_news(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    found, calls = train(tmp_path, 32, monkeypatch, steps=STEPS, resume=False)
    assert calls > 0
    assert told(tmp_path) == []
    assert found.notes == ()
