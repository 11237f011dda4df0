"""`kill -9` anywhere: real games from the command line, resumed, end as if nothing had happened."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metabonk import machine
from metabonk.cli.main import run
from metabonk.learn import checkpoint

pytest.importorskip("torch")
if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)

START = "from metabonk.cli.main import run; run()"
ROLLOUTS = 12
HORIZON = 16
# As preset, but small and quick; a checkpoint after every rollout or two.
SMALL = {
    "ppo.horizon": HORIZON,
    "ppo.sequence": HORIZON,
    "model.hidden": 16,
    "run.acting": "compiled",
    "run.checkpoint_every": 0.001,
    "run.torch_threads": 1,
    "run.eval_episodes": 1,
    "run.video": 0,
}
GAMES = {"arena": 8, "grid64/key_door": 8, "doom/basic": 2}


def words(game: str, directory: Path, level: Path) -> list[str]:
    settings = {**SMALL, "game.envs": GAMES[game]}
    if game == "arena":
        settings["game.level"] = str(level)
    return [
        *("train", "--game", game, "--steps", str(GAMES[game] * HORIZON * ROLLOUTS)),
        *("--run", str(directory), "--json"),
        *(word for key, value in settings.items() for word in ("--set", f"{key}={value}")),
    ]


def train(*words: str) -> None:
    """In this process."""
    with pytest.raises(SystemExit) as ended:
        run([*words])
    assert ended.value.code in (0, None)


def start_and_kill(command: list[str], directory: Path, rng: random.Random) -> None:
    """Kills a run somewhere in its first three quarters, so that it does not end by itself."""
    after = rng.randrange(1, 3 * ROLLOUTS // 4)
    process = subprocess.Popen(
        [sys.executable, "-c", START, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        events, saved = directory / "metrics.jsonl", 0
        deadline = time.monotonic() + 300
        while saved < after and time.monotonic() < deadline:
            assert process.poll() is None, "it ended before it was killed"
            saved = events.read_bytes().count(b'"checkpoint"') if events.exists() else 0
            time.sleep(0.002)
        time.sleep(rng.uniform(0.0, 0.02))  # anywhere between two of them
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
    assert saved >= after, "it did not get so far"


@pytest.mark.parametrize(
    "game",
    [
        "arena",
        pytest.param("grid64/key_door", marks=pytest.mark.long),
        pytest.param("doom/basic", marks=pytest.mark.long),
    ],
)
def test_a_run_that_was_killed_goes_on_exactly(game: str, tmp_path: Path) -> None:
    """The files of its last checkpoint are those of a run that nobody disturbed."""
    if game.startswith("doom"):
        pytest.importorskip("vizdoom")
    level = tmp_path / "short.json"
    level.write_text('{"time": {"duration": 5}}')
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    seed = random.SystemRandom().randrange(2**32)  # another place every time, told when it fails
    start_and_kill(words(game, killed, level), killed, random.Random(seed))
    left = checkpoint.latest(killed).card
    at = int(left.details["step"])
    train(*words(game, killed, level), "--resume")
    train(*words(game, whole, level))
    ours, theirs = checkpoint.latest(killed), checkpoint.latest(whole)
    assert at < GAMES[game] * HORIZON * ROLLOUTS == int(theirs.path.name)
    assert ours.path.name == theirs.path.name
    assert ours.card.files == theirs.card.files, f"killed after {at}, at a place of seed {seed}"
    for name, entry in left.files.items():  # there was something left to learn
        assert entry != theirs.card.files[name], name
    for found in (ours, theirs):
        assert found.card.details["backends"]["acting"] == "compiled"
