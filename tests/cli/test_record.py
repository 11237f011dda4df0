"""cli/record.py: what was asked for is on the disk, and what was not is refused by name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metabonk import machine

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)

from metabonk.cli.record import of_the_running_game
from metabonk.data.episode import EpisodeStore
from metabonk.data.npz import read_npz
from metabonk.data.recovery import recover
from metabonk.data.sinks import read_entries

Run = Callable[..., "tuple[int, str, str]"]
SCRIPT = Path(__file__).resolve().parent.parent.parent / "scripts/record_experience.py"


def test_both_formats_hold_the_same_rows(metabonk: Run, tmp_path: Path) -> None:
    code, out, err = metabonk(
        "record", "--out-dir", tmp_path, "--seconds", 6, "--hz", 5, "--pixels", "36x64", "--json"
    )
    assert code == 0, err
    found = json.loads(out)
    assert found["rows"] == 30
    assert found["counts"]["closed"] == 30
    assert found["counts"]["dropped"] == 0
    store = EpisodeStore(tmp_path / "episodes")
    assert (store.header.source, store.header.actor, store.header.rate) == ("arena", "scripted", 5)
    (key,) = store.entries(complete=False)
    episode = store.read(*key)
    assert np.diff(episode.extra["capture_ns"]).min() > 150e6
    assert int(episode.extra["decisions"].sum()) == found["sampled"]["decisions"]
    files = [read_npz(tmp_path / e.file)[0] for e in read_entries(tmp_path)]
    frames = np.concatenate([f.observation["pixels"] for f in files])
    assert frames.shape == (30, 36, 64, 3)
    np.testing.assert_array_equal(frames, episode.extra["frame"])
    np.testing.assert_array_equal(np.concatenate([f.action for f in files]), episode.action)
    assert len(np.unique(frames.reshape(30, -1), axis=0)) > 20  # it moves


def test_every_decision_is_what_the_game_did(metabonk: Run, tmp_path: Path) -> None:
    """Without a rate, the recorded actions play the recorded rewards and observations again."""
    from metabonk.games import make
    from metabonk.games.batch import allocate
    from metabonk.games.source import Flags

    code, _, err = metabonk(
        *("record", "--out-dir", tmp_path, "--game", "grid64/key_door", "--policy", "random"),
        *("--hz", 0, "--seed", 3, "--seconds", 10, "--format", "episodes"),
    )
    assert code == 0, err
    store = EpisodeStore(tmp_path / "episodes")
    episode = store.read(*store.entries(complete=False)[0])
    game = make("grid64/key_door", 1)
    observation, flags = allocate(game.observation_space, 1), Flags(1)
    game.reset_into(observation, [3])
    for t, row in enumerate(episode.action):
        np.testing.assert_array_equal(observation["cells"][0], episode.observation["cells"][t])
        game.step_into(row[None], observation, *flags.arrays())
        assert flags.reward[0] == episode.reward[t]


def test_several_games_side_by_side(metabonk: Run, tmp_path: Path) -> None:
    code, out, err = metabonk(
        *("record", "--out-dir", tmp_path, "--game", "grid64/t_maze", "--policy", "scripted"),
        *("--hz", 0, "--envs", 3, "--episodes", 2, "--format", "episodes", "--json"),
    )
    assert code == 0, err
    assert json.loads(out)["episodes"] == 6
    for env in range(3):
        store = EpisodeStore(tmp_path / f"{env:03d}" / "episodes")
        assert len(store.entries()) == 2
        assert all(e.terminated[-1] and e.complete for e in store)  # the solver wins


def test_late_games_are_recorded_as_they_were_met(metabonk: Run, tmp_path: Path) -> None:
    words = ("record", "--out-dir", tmp_path, "--seconds", 2, "--pixels", "36x64")
    code, _, err = metabonk(*words, "--set", "game.latency=0.2")
    assert code == 0, err
    store = EpisodeStore(tmp_path / "episodes")
    assert store.header.details["latency"] == 0.2
    episode = store.read(*store.entries(complete=False)[0])
    assert episode.extra["frame"].shape[1:] == (36, 64, 3)


def test_recording_again_goes_on(metabonk: Run, tmp_path: Path) -> None:
    words = ("record", "--out-dir", tmp_path, "--seconds", 2, "--format", "episodes")
    assert metabonk(*words).code == 0
    assert metabonk(*words).code == 0
    assert len(EpisodeStore(tmp_path / "episodes").entries(complete=False)) == 2
    code, _, err = metabonk(*words, "--hz", 2)
    assert code == 2
    assert "records rate 10.0, not 2.0" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--format", "mp4"), "--format mp4: give auto, both, episodes, npz"),
        (("--hz", "-1"), "--hz -1: give up to 1000 rows"),
        (("--pixels", "large"), "--pixels large: give HEIGHTxWIDTH"),
        (("--policy", "watch"), "arena is played by nobody else; give a policy, or a game"),
        (
            ("--policy", "watch", "--game", "research_shm"),
            "research_shm is played by nobody else; give a policy, or a game that others play "
            "while it is recorded: bonklink",
        ),
        (("--policy", "nobody"), "--policy nobody: not the directory of a run"),
        (("--when-full", "never"), "when-full: 'never'"),
        (("--game", "gym/CartPole-v1", "--pixels", "9x9"), "--pixels: frames of gym/CartPole-v1"),
    ],
)
def test_what_cannot_be_recorded(
    metabonk: Run, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    code, _, err = metabonk("record", "--out-dir", tmp_path / "x", "--seconds", 1, *words)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_it_the_files_are_valid(tmp_path: Path, how: signal.Signals) -> None:
    out = tmp_path / "rec"
    child = subprocess.Popen(
        [sys.executable, "-c", "from metabonk.cli.main import run; run()", "record",
         "--out-dir", str(out), "--pixels", "36x64", "--episodes", "1000000"],
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip
    journal = out / "journal-000000000000"
    while not journal.exists() or journal.stat().st_size < 1 << 20:
        assert child.poll() is None
    child.send_signal(how)
    code = child.wait(60)
    assert code == (-how if how == signal.SIGKILL else 0)
    rows = recover(out)
    assert (rows > 0) == (how == signal.SIGKILL)
    store = EpisodeStore(out / "episodes")
    store.verify()
    rows = sum(chunk.steps for chunk in store.chunks)
    assert rows > 50
    assert sum(entry.stop - entry.first for entry in read_entries(out)) == rows
    for entry in read_entries(out):
        assert len(read_npz(out / entry.file)[0]) == entry.rows


def test_the_script_means_the_running_game(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = ["--out-dir", "x", "--hz", "10"]
    watching = ["--policy", "watch"]
    assert of_the_running_game(asked) == ["record", "--game", "bonklink", *watching, *asked]
    named = ["--game", "arena"]
    assert of_the_running_game(named) == ["record", *watching, *named]
    played = [*named, "--policy=random"]
    assert of_the_running_game(played) == ["record", *played]
    monkeypatch.setenv("METABONK_USE_BONKLINK", "1")
    assert of_the_running_game(asked)[2] == "bonklink"
    monkeypatch.setenv("METABONK_USE_RESEARCH_SHM", "1")
    assert of_the_running_game(asked)[2:5] == ["research_shm", *watching]
    command = [sys.executable, SCRIPT, "--help"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "--out-dir" in shown
    # A game that waits for its actions has nobody else to watch: it is never touched.
    command = [sys.executable, SCRIPT, "--out-dir", str(tmp_path / "x")]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "research_shm is played by nobody else" in refused.stderr
    assert not (tmp_path / "x").exists()
