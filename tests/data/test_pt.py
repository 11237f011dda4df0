"""data/pt.py: rollouts of version 1 open, their ends are cuts, and nothing in them runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metabonk.data.pt import read_pt
from metabonk.errors import CorruptError, MissingExtraError

torch = pytest.importorskip("torch")


def rollout(steps: int = 4, **more: Any) -> dict[str, Any]:
    return {
        "observations": torch.arange(steps * 3.0).reshape(steps, 3),
        "actions": torch.ones(steps, 2),
        "rewards": torch.arange(float(steps)),
        "dones": torch.tensor([False, True, False, True])[:steps],
        "meta": {"source": "film.mp4", "hz": 10},
        **more,
    }


def save(path: Path, **more: Any) -> Path:
    torch.save(rollout(**more), path)
    return path


def test_the_end_of_a_file_is_a_cut(tmp_path: Path) -> None:
    first, second = read_pt(save(tmp_path / "r.pt"))
    assert (first.terminated.tolist(), first.truncated.tolist()) == ([False, True], [False] * 2)
    assert (second.terminated.tolist(), second.truncated.tolist()) == ([False] * 2, [False, True])
    np.testing.assert_array_equal(second.observation["observation"], [[6, 7, 8], [9, 10, 11]])
    assert second.observation["observation"].dtype == np.float32
    assert (first.action.shape, first.header.columns) == ((2, 2), 2)
    assert (first.header.source, first.header.rate) == ("film.mp4", 10.0)
    assert second.reward.tolist() == [2.0, 3.0]


def test_files_that_say_more_are_believed(tmp_path: Path) -> None:
    path = save(
        tmp_path / "r.pt", truncated=torch.tensor([False] * 4), meta=json.dumps({"seed": 4})
    )
    _, second = read_pt(path)
    assert second.terminated.tolist() == [False, True]
    assert second.header.seed == 4


def test_nothing_runs(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[Path]]:
            return Path.touch, (tmp_path / "ran",)

    with pytest.raises(CorruptError, match=r"r\.pt cannot be read without running code"):
        read_pt(save(tmp_path / "r.pt", meta=Bomb()))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"observations": torch.zeros(4)}, r"observations must be numbers \[T, columns\]"),
        ({"actions": torch.zeros(3, 2)}, r"actions has shape \(3, 2\), not \(4, …\)"),
        ({"dones": torch.zeros(3, dtype=torch.bool)}, r"dones has shape \(3,\), not \(4, …\)"),
        ({"rewards": torch.zeros(4, 2)}, r"rewards has shape \(4, 2\), not \(4,\)"),
        ({"rewards": "none"}, r"rewards has shape"),
        ({"meta": [1]}, "meta does not say what it should"),
        ({"observations": torch.zeros(1, 1).expand(10**7, 3)}, "more memory than the file has"),
    ],
)
def test_damage_is_named(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    with pytest.raises(CorruptError, match=message):
        read_pt(save(tmp_path / "r.pt", **more))


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "r.pt")
    data = path.read_bytes()
    for cut in (0, 10, len(data) // 2, len(data) - 20):
        path.write_bytes(data[:cut])
        with pytest.raises(CorruptError, match=r"r\.pt"):
            read_pt(path)
    torch.save([1, 2], path)
    with pytest.raises(CorruptError, match="holds a list"):
        read_pt(path)
    with pytest.raises(CorruptError, match="at most 10"):
        read_pt(save(path), most_bytes=10)


def test_without_torch_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"\binstall .*train"):
        read_pt(save(tmp_path / "r.pt"))
