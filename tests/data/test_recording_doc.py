"""docs/recording.md: its examples run, and the files and settings that it names are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from recordings import record

from metabonk.config import settings

TEXT = (Path(__file__).resolve().parents[2] / "docs/recording.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.S)


def test_its_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    record(tmp_path / "runs/arena", [70, 10])
    assert len(BLOCKS) == 2
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(block.replace("workers=4", "workers=1").replace("range(10)", "range(2)"), names)


def test_its_settings_are_there() -> None:
    named = set(re.findall(r"`?(game\.[a-z_]+)", TEXT))
    assert named >= {"game.latency", "game.jitter", "game.observation_latency"}
    assert named <= settings().keys()


def test_its_files_are_there(tmp_path: Path) -> None:
    record(tmp_path, [30], formats=("episodes", "npz"))
    found = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    kinds = {re.sub(r"\d+", "#", name) for name in found}
    assert kinds == {
        "episodes/header.json", "episodes/index.jsonl", "episodes/chunk-#.safetensors",
        "test-#-#-#.npz", "recording.jsonl", "lock",
    }  # fmt: skip
    for name in ("header.json", "index.jsonl", "recording.jsonl", "`lock`"):
        assert name in TEXT
