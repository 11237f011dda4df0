"""Motors on disk: versions that come back as they were, and nothing else comes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from gymnasium import spaces as gs
from metabonk.bench.bandits import LAYOUT, SMALL, SPACE, cues, recorded

from metabonk import artifact
from metabonk.artifact import Artifact, Measured
from metabonk.errors import CheckpointError, CorruptError
from metabonk.learn.motors import versions as motors
from metabonk.learn.motors.cpqe import CpqeLearner
from metabonk.models.motor import Motor, MotorPolicy, build
from metabonk.protocols import FloatArray
from metabonk.spaces import ActionLayout

QUICK = msgspec.structs.replace(
    SMALL, hidden=16, batch=64, teacher_updates=20, student_updates=20, q_updates=20
)


@pytest.fixture(scope="module")
def motor() -> Motor:
    made = build(SPACE, LAYOUT, QUICK, seed=3)
    CpqeLearner(made, recorded(256), seed=3).train()
    return made


def acted(motor: Motor) -> FloatArray:
    policy = MotorPolicy(motor, seed=1)
    seen = {"observation": cues(16, 0)}
    return policy.act(seen, policy.reset(16), np.ones(16, np.bool_))[0]


def test_a_motor_comes_back_as_it_was(motor: Motor, tmp_path: Path) -> None:
    metrics = {"return_mean": Measured(value=1.0, baselines={"random": 0.5})}
    saved = motors.save(tmp_path, motor, seed=3, data="abc", parents=("def",), metrics=metrics)
    assert sorted(p.name for p in saved.path.iterdir()) == ["card.json", "weights.safetensors"]
    loaded, found = motors.load(motors.newest(tmp_path), SPACE, LAYOUT)
    assert (found.card.kind, found.card.data, found.card.parents) == ("cpqe", "abc", ("def",))
    np.testing.assert_array_equal(acted(loaded), acted(motor))
    assert not any(p.requires_grad for p in loaded.parameters())


def test_versions_count_on_and_stay(motor: Motor, tmp_path: Path) -> None:
    first = motors.save(tmp_path, motor, seed=3)
    before = first.read("weights.safetensors")
    with torch.no_grad():
        other = build(SPACE, LAYOUT, QUICK, seed=4)
    second = motors.save(tmp_path, other, seed=4)
    assert [p.name for p in motors.listed(tmp_path)] == ["000001", "000002"]
    assert motors.newest(tmp_path) == second.path
    assert artifact.load(first.path).read("weights.safetensors") == before
    assert second.card.details["version"] == 2


def test_where_there_is_none_the_command_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="metabonk pretrain cpqe"):
        motors.newest(tmp_path)


def test_another_game_is_refused(motor: Motor, tmp_path: Path) -> None:
    path = motors.save(tmp_path, motor, seed=3).path
    wider = gs.Dict({"observation": gs.Box(-9, 9, (3,), np.float32)})
    with pytest.raises(CheckpointError, match="observation 'observation' was"):
        motors.load(path, wider, LAYOUT)
    with pytest.raises(CheckpointError, match="actions were"):
        motors.load(path, SPACE, ActionLayout.of(gs.Discrete(2)))


def test_damage_is_seen(motor: Motor, tmp_path: Path) -> None:
    path = motors.save(tmp_path, motor, seed=3).path
    file = path / "weights.safetensors"
    data = bytearray(file.read_bytes())
    data[-7] ^= 1
    file.write_bytes(data)
    with pytest.raises(CorruptError, match="damaged"):
        motors.load(path, SPACE, LAYOUT)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("hidden", 2_000_000_000, "its card says hidden 2000000000, its weights 16"),
        ("layers", 10**9, "layers 1000000000, its weights 2"),
        ("members", 10**9, "members 1000000000, its weights 5"),
        ("hidden", -1, "describes no motor"),
        ("colour", 3, "describes no motor"),
    ],
)
def test_a_card_cannot_ask_for_more_than_its_weights(
    motor: Motor, tmp_path: Path, key: str, value: int, says: str
) -> None:
    saved = motors.save(tmp_path / "good", motor, seed=3)
    details = dict(saved.card.details)
    details["cpqe"] = {**details["cpqe"], key: value}
    wrong = rewritten(saved, tmp_path / "wrong", details)
    with pytest.raises(CheckpointError, match=says):
        motors.load(wrong, SPACE, LAYOUT)


def test_other_weights_and_formats_are_refused(motor: Motor, tmp_path: Path) -> None:
    saved = motors.save(tmp_path / "good", motor, seed=3)
    newer = {**saved.card.details, "motor_format": 99}
    with pytest.raises(CheckpointError, match="motor format 99"):
        motors.load(rewritten(saved, tmp_path / "newer", newer), SPACE, LAYOUT)
    empty = rewritten(saved, tmp_path / "empty", dict(saved.card.details), {"a": np.zeros(2)})
    with pytest.raises(CheckpointError, match="another network"):
        motors.load(empty, SPACE, LAYOUT)


def rewritten(saved: Artifact, path: Path, details: dict[str, Any], weights: Any = None) -> Path:
    """The artifact again, whole in itself, with another card or other weights."""
    tensors = saved.tensors("weights.safetensors") if weights is None else weights
    files = {"weights.safetensors": tensors}
    return artifact.write(path, kind="cpqe", seed=3, files=files, details=details).path
