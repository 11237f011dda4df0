"""`kill -9` while a rollout is written: what is left of it stands in nobody's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from run_stalled import configure
from run_tiny import make_game

from metabonk.learn import assess, checkpoint, run
from metabonk.learn.ablation import study
from metabonk.learn.auxiliary import world
from metabonk.learn.motors import training as motor

HERE = Path(__file__).parent
FOLDERS = {"world": world.FOLDER, "motor": motor.FOLDER}
NEVER, ALWAYS = 1e9, 1e-6  # seconds between checkpoints


@pytest.fixture(scope="module", autouse=True)
def _tiny_games() -> object:
    with pytest.MonkeyPatch.context() as patch:
        for module in (run, assess, study):
            patch.setattr(module, "from_config", make_game)
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that nobody disturbed."""
    place = tmp_path_factory.mktemp("whole")
    for kind in FOLDERS:
        run.train(configure(place / kind, kind, ALWAYS))
    return {kind: place / kind for kind in FOLDERS}


def start_and_kill(directory: Path, kind: str, every: float, rollout: int) -> None:
    """Kills a run while it writes that rollout."""
    paths = [str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, HERE / "run_stalled.py", directory, kind, str(every), str(rollout)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    told, deadline = directory.with_suffix(".stalled"), time.monotonic() + 120
    try:
        while not told.exists():
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < deadline, "it did not get so far"
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["world", "motor"])
@pytest.mark.parametrize(("every", "rollout"), [(NEVER, 2), (ALWAYS, 3)])
def test_a_run_that_was_killed_as_it_wrote_a_rollout_goes_on_exactly(
    kind: str, every: float, rollout: int, whole: dict[str, Path], tmp_path: Path
) -> None:
    """Before its first checkpoint, when there is nothing to go on from, and after it."""
    directory = tmp_path / "killed"
    start_and_kill(directory, kind, every, rollout)
    folder = directory / FOLDERS[kind]
    assert left_in(folder)[-1] == f"rollout-{rollout:08d}.part"
    assert len(left_in(folder)) == rollout + 1
    assert bool(checkpoint.listed(directory)) == (every == ALWAYS)
    run.train(configure(directory, kind, ALWAYS), resume=True)
    ours, theirs = checkpoint.latest(directory), checkpoint.latest(whole[kind])
    assert ours.path.name == theirs.path.name
    assert ours.card.files == theirs.card.files
    assert left_in(folder) == left_in(whole[kind] / FOLDERS[kind])
    part = {"world": "world", "motor": "motor"}[kind]
    assert ours.card.details[part]["replay"] == theirs.card.details[part]["replay"] != []


def test_a_run_that_was_killed_as_it_wrote_a_rollout_is_ablated(tmp_path: Path) -> None:
    directory = tmp_path / "killed"
    start_and_kill(directory, "world", ALWAYS, 3)
    before = left_in(directory / world.FOLDER)
    assert before[-1].endswith(".part")
    found = study.read(study.ablate(directory, seeds=2, steps=48, episodes=6, parts=["dream"]))
    assert found.repeats
    assert left_in(directory / world.FOLDER) == before  # the run is somebody else's
