"""cli/replay.py: recordings are checked, shown again, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metabonk import machine

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)

from metabonk.data.episode import EpisodeWriter, Header
from metabonk.games import grid64
from metabonk.games.grid64 import LAYOUT
from metabonk.games.level import Level
from metabonk.games.replay import Replay
from metabonk.records import Action

Run = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def arena(tmp_path: Path) -> Path:
    """Twenty decisions of the arena."""
    from metabonk import games

    game = games.make("arena", 1)
    rows = np.stack([Action(move=(0.0, 1.0), jump=t % 5 == 0).row() for t in range(20)])
    observation = {k: np.zeros((1, *s.shape), s.dtype) for k, s in game.observation_space.items()}
    outcome = (np.zeros(1, np.float32), *(np.zeros(1, np.bool_) for _ in range(3)))
    game.reset_into(observation, [77])
    for row in rows:
        game.step_into(row[None], observation, *outcome)
    path = tmp_path / "a.replay"
    Replay(Level(), 77, rows, int(game.hashes()[0])).save(path)
    return path


def test_arena(metabonk: Run, arena: Path, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    code, out, err = metabonk("replay", arena, "--json", "--video", tmp_path / "a.gif")
    assert code == 0, err
    found = json.loads(out)
    assert found["verified"]
    assert found["facts"]["decisions"] == 20
    assert found["facts"]["run seed"] == 77
    with image.open(tmp_path / "a.gif") as film:
        assert film.n_frames >= 10  # 20 decisions at 15 a second, every second one


def test_a_changed_replay_is_refused(metabonk: Run, arena: Path) -> None:
    data = bytearray(arena.read_bytes())
    data[-3] ^= 0x55
    arena.write_bytes(data)
    code, _, err = metabonk("replay", arena)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    code, _, err = metabonk("replay", arena.with_name("none"))
    assert code == 2
    assert "no such recording" in err


def test_grid64(metabonk: Run, tmp_path: Path) -> None:
    path = tmp_path / "g.replay"
    path.write_bytes(grid64.write_replay(grid64.demonstrate("key_door", 5)))
    code, out, _ = metabonk("replay", path, "--json")
    assert code == 0
    assert json.loads(out)["facts"]["game"] == "key_door"
    path.write_bytes(path.read_bytes()[:-1])
    assert metabonk("replay", path).code == 2


def test_doom_wants_its_scenario(metabonk: Run, tmp_path: Path) -> None:
    pytest.importorskip("vizdoom")
    path = tmp_path / "d.lmp"
    path.write_bytes(b"x")
    code, _, err = metabonk("replay", path)
    assert code == 2
    assert "--scenario" in err
    assert "health_gathering" in err


def test_episodes(metabonk: Run, tmp_path: Path) -> None:
    header = Header.of(LAYOUT, source="grid64/key_door", seed=1, actor="scripted", num_envs=1)
    with EpisodeWriter(tmp_path / "episodes", header) as writer:
        for t in range(5):
            last = np.array([t == 4])
            rows = np.zeros((1, LAYOUT.columns), np.float32)
            reward = np.ones(1, np.float32)
            ended = np.array([t == 3])
            observation = {"cells": np.zeros((1, 4, 4), np.uint8)}
            writer.append_step(observation, rows, rows, reward, ended, ended & False, last)
    code, out, _ = metabonk("replay", tmp_path / "episodes", "--json")
    assert code == 0
    assert json.loads(out)["facts"]["episodes"] == 1
    code, _, err = metabonk("replay", tmp_path / "episodes", "--watch")
    assert code == 2
    assert "cannot be shown again" in err
    (chunk,) = (tmp_path / "episodes").glob("chunk-*")
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"\x01")
    assert metabonk("replay", tmp_path / "episodes").code == 2


def test_rows_of_recorders(metabonk: Run, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    words = ("record", "--out-dir", tmp_path, "--seconds", 2, "--pixels", "36x64")
    assert metabonk(*words).code == 0
    (path,) = tmp_path.glob("*.npz")
    code, out, err = metabonk("replay", path, "--json", "--video", tmp_path / "a.gif")
    assert code == 0, err
    found = json.loads(out)
    assert not found["verified"]
    assert found["facts"]["rows"] == 20
    assert found["facts"]["observation"] == {"pixels": [36, 64, 3]}
    with image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 20
    path.write_bytes(path.read_bytes()[:-50])
    code, _, err = metabonk("replay", path)
    assert code == 2
    assert path.name in err


def test_a_folder_of_recordings(metabonk: Run, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "rec"
    assert metabonk("record", "--out-dir", folder, "--seconds", 2, "--pixels", "36x64").code == 0
    code, out, err = metabonk("replay", folder, "--json", "--video", tmp_path / "a.gif")
    assert code == 0, err
    found = json.loads(out)
    assert found["verified"]
    assert (found["facts"][".npz files"], found["facts"]["rows"]) == (1, 20)
    with image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 20
    (path,) = folder.glob("*.npz")
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    code, _, err = metabonk("replay", folder)
    assert code == 2
    assert f"{path.name} is damaged" in err
    path.unlink()
    assert f"{path.name} is gone" in metabonk("replay", folder).err
