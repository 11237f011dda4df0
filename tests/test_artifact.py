"""artifact.py: what is loaded is what was written, or it is refused by name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from metabonk import artifact
from metabonk.artifact import Artifact, Measured
from metabonk.errors import CorruptError


def make(path: Path, scale: float = 1.0, **options: object) -> Artifact:
    weights = {"linear.weight": np.arange(6, dtype=np.float32).reshape(2, 3) * scale}
    state = {"random": np.array([1, 2], np.uint64), "environments": np.zeros(9, np.uint8)}
    return artifact.write(
        path,
        kind="checkpoint",
        seed=7,
        files={"weights.safetensors": weights, "state.safetensors": state, "note.txt": b"hello"},
        metrics={"return_mean": Measured(value=3.0, baselines={"random": 1.0})},
        details={"steps": 640},
        **options,  # type: ignore[arg-type]
    )


def test_round_trip(tmp_path: Path) -> None:
    written = make(tmp_path / "a", parents=["f" * 64], data="d" * 64)
    read = artifact.load(tmp_path / "a", kind="checkpoint")
    assert read.card == written.card
    weights = read.tensors("weights.safetensors")["linear.weight"]
    np.testing.assert_array_equal(weights, np.arange(6, dtype=np.float32).reshape(2, 3))
    assert weights.dtype == np.float32
    assert read.tensors("state.safetensors")["random"].dtype == np.uint64
    assert read.read("note.txt") == b"hello"
    assert read.card.metrics["return_mean"].baselines == {"random": 1.0}


def test_a_view_is_stored_as_what_it_shows(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    written = artifact.write(
        tmp_path / "a",
        kind="x",
        seed=0,
        files={"t.safetensors": {"t": array.T, "s": array[:, ::2], "scalar": np.array(3.0)}},
    )
    read = written.tensors("t.safetensors")
    np.testing.assert_array_equal(read["t"], array.T)
    np.testing.assert_array_equal(read["s"], array[:, ::2])
    assert read["scalar"].shape == ()


def test_hash_is_of_the_content(tmp_path: Path) -> None:
    first = make(tmp_path / "a")
    assert first.hash == make(tmp_path / "b").hash
    assert first.hash != make(tmp_path / "c", scale=2.0).hash
    assert first.hash != make(tmp_path / "d", parents=["0" * 64]).hash


def test_certificates_leave_the_hash_alone(tmp_path: Path) -> None:
    written = make(tmp_path / "a")
    artifact.certify(written, {"kind": "latency", "p99_us": 60.0})
    read = artifact.load(tmp_path / "a")
    assert read.hash == written.hash
    assert read.card.certificates == [{"kind": "latency", "p99_us": 60.0}]


@pytest.mark.parametrize("name", ["weights.safetensors", "state.safetensors", "note.txt"])
def test_one_changed_byte_is_refused_by_name(tmp_path: Path, name: str) -> None:
    make(tmp_path / "a")
    file = tmp_path / "a" / name
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(CorruptError, match=rf"{name} is damaged.*written before it"):
        artifact.load(tmp_path / "a")
    file.unlink()
    with pytest.raises(CorruptError, match=rf"{name} is missing"):
        artifact.load(tmp_path / "a")


def test_a_changed_card_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "a")
    card = tmp_path / "a" / "card.json"
    whole = card.read_bytes()
    card.write_bytes(whole.replace(b'"seed": 7', b'"seed": 8'))
    with pytest.raises(CorruptError, match=r"card\.json is damaged \(its own hash"):
        artifact.load(tmp_path / "a")
    card.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptError, match=r"card\.json is damaged"):
        artifact.load(tmp_path / "a")
    newer = json.loads(whole) | {"format": 99}
    card.write_text(json.dumps(newer))
    with pytest.raises(CorruptError, match="update metabonk"):
        artifact.load(tmp_path / "a")


def test_wrong_kind_and_missing(tmp_path: Path) -> None:
    make(tmp_path / "a")
    with pytest.raises(CorruptError, match="'checkpoint', not 'eval'"):
        artifact.load(tmp_path / "a", kind="eval")
    with pytest.raises(FileNotFoundError, match="holds no artifact"):
        artifact.load(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["../escape", "card.json", "a/b", ""])
def test_file_names_stay_inside(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="file name"):
        artifact.write(tmp_path / "a", kind="x", seed=0, files={name: b""})
    assert list(tmp_path.iterdir()) == []


def test_full_disk_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make(tmp_path / "a")
    real = os.fsync
    calls = iter(range(100))

    def full(fd: int) -> None:
        if next(calls) == 2:
            raise OSError(28, "No space left on device")
        real(fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            make(tmp_path / "a", scale=2.0, replace=True)
    assert artifact.load(tmp_path / "a").hash == first.hash
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_replacing_must_be_asked_for(tmp_path: Path) -> None:
    first = make(tmp_path / "a")
    with pytest.raises(FileExistsError, match="already holds"):
        make(tmp_path / "a", scale=2.0)
    assert make(tmp_path / "a", scale=2.0, replace=True).hash != first.hash
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("point", ["os.fsync", "os.rename", "os.replace"])
@pytest.mark.parametrize("call", range(4))
def test_a_kill_at_any_point_leaves_one_whole_artifact(
    tmp_path: Path, point: str, call: int
) -> None:
    first = make(tmp_path / "a")
    code = f"""
import os, signal, sys
import numpy as np
from metabonk import artifact
real, calls = {point}, iter(range(100))
def kill(*arguments):
    if next(calls) == {call}: os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
{point} = kill
files = {{"t.safetensors": {{"t": np.ones(3)}}}}
artifact.write(sys.argv[1], kind="checkpoint", seed=8, files=files, replace=True)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    artifact.sweep(tmp_path)
    read = artifact.load(tmp_path / "a")
    assert read.card.seed in (7, 8)
    if read.card.seed == 7:
        assert read.hash == first.hash
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
