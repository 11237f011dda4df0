"""Runs: resumed after a kill they equal an uninterrupted one; Ctrl-C saves; reports are written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from run_metrics import events, numbers

from metabonk.data.episode import EpisodeStore
from metabonk.errors import (
    ResumeError,
)
from metabonk.learn import checkpoint, run
from metabonk.learn.assess import Assessor
from metabonk.metrics import read_records

HERE = Path(__file__).parent
STEPS = 48 * 12


def command(directory: Path, *more: str) -> list[str]:
    return [sys.executable, str(HERE / "run_tiny.py"), str(directory), str(STEPS), *more]


def environment(slow: float = 0.0) -> dict[str, str]:
    paths = [str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"SLOW": str(slow), "PYTHONPATH": os.pathsep.join(paths)}


def finish(directory: Path, *more: str) -> str:
    done = subprocess.run(
        command(directory, *more), env=environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def start_and_signal(directory: Path, which: signal.Signals, checkpoints: int, *more: str) -> str:
    """Starts a run and signals it once it has written so many checkpoints."""
    process = subprocess.Popen(
        command(directory, *more), env=environment(slow=0.2), stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while len(newer(directory)) < checkpoints and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it was signalled"
        time.sleep(0.01)
    process.send_signal(which)
    out, _ = process.communicate(timeout=120)
    return out


def newer(directory: Path) -> list[str]:
    """Every step at which a checkpoint was logged."""
    path = directory / "metrics.jsonl"
    if not path.exists():
        return []
    return [str(r.step) for r in read_records(path) if r.event == "checkpoint"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    directory = tmp_path_factory.mktemp("runs") / "whole"
    finish(directory)
    return directory


def same_files(a: Path, b: Path) -> None:
    ours, theirs = checkpoint.latest(a), checkpoint.latest(b)
    assert ours.path.name == theirs.path.name
    for name in ours.card.files:
        assert ours.card.files[name] == theirs.card.files[name], name


def same_episodes(a: Path, b: Path) -> None:
    ours, theirs = (list(EpisodeStore(d / "episodes")) for d in (a, b))
    assert len(ours) == len(theirs) > 10
    for x, y in zip(ours, theirs, strict=True):
        assert (x.env, x.number) == (y.env, y.number)
        assert (x.action == y.action).all()
        assert (x.log_prob == y.log_prob).all()
        assert (x.reward == y.reward).all()


def test_killed_and_resumed_equals_uninterrupted(whole: Path, tmp_path: Path) -> None:
    directory = tmp_path / "killed"
    start_and_signal(directory, signal.SIGKILL, 4)
    at = checkpoint.latest(directory).card.details["step"]
    assert 0 < at < STEPS
    finish(directory, "resume")
    same_files(whole, directory)
    same_episodes(whole, directory)
    assert numbers(directory) == numbers(whole)
    (resumed,) = events(directory, "resumed")
    assert resumed.step == at
    assert resumed.values["restarted"] is False


def test_a_killed_run_with_mamba_goes_on_exactly(tmp_path: Path) -> None:
    """Its state is many times as wide as the pilot's, and is carried over all the same."""
    finish(tmp_path / "whole", "mamba")
    start_and_signal(tmp_path / "killed", signal.SIGKILL, 3, "mamba")
    assert 0 < checkpoint.latest(tmp_path / "killed").card.details["step"] < STEPS
    finish(tmp_path / "killed", "mamba", "resume")
    same_files(tmp_path / "whole", tmp_path / "killed")
    same_episodes(tmp_path / "whole", tmp_path / "killed")


def test_ctrl_c_saves_and_says_how_to_go_on(whole: Path, tmp_path: Path) -> None:
    directory = tmp_path / "stopped"
    said = start_and_signal(directory, signal.SIGINT, 2)
    assert f"True metabonk train --resume --run {directory}" in said
    assert events(directory, "interrupted")
    assert not (directory / "report.json").exists()
    finish(directory, "resume")
    same_files(whole, directory)
    assert numbers(directory) == numbers(whole)


def test_metrics_after_the_checkpoint_are_cut_back(whole: Path, tmp_path: Path) -> None:
    directory = tmp_path / "damaged"
    start_and_signal(directory, signal.SIGKILL, 3)
    newest = checkpoint.listed(directory)[-1]
    before = checkpoint.listed(directory)[-2]
    with (newest / "state.safetensors").open("r+b") as file:
        file.write(b"damage")
    failed = subprocess.run(
        command(directory, "resume"), env=environment(), capture_output=True, text=True, timeout=120
    )
    assert failed.returncode != 0
    assert f"remove {newest} to go on from {before}" in failed.stderr
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()
    finish(directory, "resume")
    same_files(whole, directory)
    assert numbers(directory) == numbers(whole)


def test_a_finished_run_holds_everything(whole: Path) -> None:
    report = msgspec.json.decode((whole / "report.json").read_bytes())
    assert report["steps"] == STEPS
    assert report["eval"]["episodes"] == 12
    low, high = report["eval"]["difference_ci95"]
    assert low <= report["eval"]["return_mean"] - report["eval"]["random_mean"] <= high
    evaluation = Assessor.latest(whole)
    assert evaluation is not None
    assert len(evaluation.returns) == len(evaluation.baseline_returns["random"]) == 12
    assert (whole / "report.html").stat().st_size > 1000
    assert len(checkpoint.listed(whole)) == 3
    saved = checkpoint.latest(whole)
    assert saved.card.details["backends"]["torch_threads"] == 1
    assert saved.card.details["schedule"]["planned"] == STEPS
    rates = [v["learning_rate"] for _, v in numbers(whole) if "learning_rate" in v]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 5 * rates[-1]
    profile = saved.card.details["profile"]
    assert sum(profile.values()) == pytest.approx(saved.card.details["seconds"])
    assert min(profile.values()) > 0


def test_a_finished_run_is_not_done_twice_and_other_settings_are_refused(whole: Path) -> None:
    before = (whole / "metrics.jsonl").read_bytes()
    assert finish(whole, "resume").startswith(str(STEPS))
    assert (whole / "metrics.jsonl").read_bytes() == before
    sys.path.insert(0, str(HERE))
    from run_tiny import configure

    config = configure(str(whole), STEPS * 2)
    with pytest.raises(ResumeError, match="--resume"):
        run.train(config)
    config.ppo.gamma = 0.5
    with pytest.raises(ResumeError, match=r"ppo\.gamma was 0\.99, now 0\.5"):
        run.train(config, resume=True)
