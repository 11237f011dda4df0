"""Native ticks are ranges of whatever profiler is attached, and of none where none is.

A profiler is played by tests/ops/fake_nvtx.c, in a process of its own each.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from metabonk.kernels import ranges as sinks

from metabonk import _core

FAKE = Path(__file__).resolve().parents[1] / "ops" / "fake_nvtx.c"
CODE = """
from metabonk.games.arena import level_of
from metabonk.games.scripted import RandomPolicy
from metabonk.play.live_games import ArenaLive
from metabonk.play.loop import Live, LoopSettings, PythonDecider
from metabonk.records import ACTION_LAYOUT

game = ArenaLive(level_of(None, 1).pack(), [7], (0, 0), None, 250.0)
decider = PythonDecider(RandomPolicy(0, ACTION_LAYOUT), "random")
live = Live(game, [decider], LoopSettings(hz=250.0, cpu=-1, spin=0.0), ticks=20)
live.start()
live.wait(seconds=60.0, look=0.01)
live.stop()
assert live.loop.ticks == 20
"""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library of NVTX's name, which is the profiler itself."""
    compiler = os.environ.get("CC") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("nvtx")
    command = [compiler, "-shared", "-fPIC", str(FAKE), "-o", str(folder / sinks.LIBRARIES[0])]
    subprocess.run(command, check=True)
    return folder


def played(log: Path, libraries: Path, attached: bool) -> tuple[list[str], str]:
    """What a profiler saw of a process that plays twenty ticks, and what that complained of."""
    environment = {"LD_LIBRARY_PATH": str(libraries), "FAKE_NVTX": str(log)}
    if attached:
        environment["NVTX_INJECTION64_PATH"] = str(libraries / sinks.LIBRARIES[0])
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return (log.read_text().splitlines() if log.exists() else []), done.stderr


def test_ticks_are_ranges_under_a_profiler(tmp_path: Path, libraries: Path) -> None:
    lines, _ = played(tmp_path / "log", libraries, attached=True)
    ticks = [part.split("\n") for part in "\n".join(lines).split("tick\n")[1:]]
    assert 0 < len(ticks) <= 20
    bare = ["agent 0", "find", "pop", "directive", "pop", "act", "pop", "pop", "pop"]
    decided = [*bare[:3], "decide", "pop", *bare[3:]]
    assert all([line for line in tick if line] in (bare, decided) for tick in ticks)
    assert any("decide" in tick for tick in ticks)


def test_without_a_profiler_there_are_none(tmp_path: Path, libraries: Path) -> None:
    lines, complaints = played(tmp_path / "log", libraries, attached=False)
    assert not lines
    assert "profiler" not in complaints


def test_a_profiler_that_nothing_can_speak_to_is_told(tmp_path: Path) -> None:
    for name in sinks.LIBRARIES:
        (tmp_path / name).write_text("not a library")
    lines, complaints = played(tmp_path / "log", tmp_path, attached=True)
    assert not lines
    assert "a profiler is attached, but sees no ticks: ranges: neither" in complaints


def test_both_seams_look_for_the_same_libraries() -> None:
    assert tuple(_core.support.nvtx_libraries()) == sinks.LIBRARIES
