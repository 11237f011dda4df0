"""link/research_shm.py: both ends from Python, and what goes wrong between them."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metabonk import machine

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)

from metabonk.errors import CorruptError, LinkError
from metabonk.link.research_shm import Event, ResearchAgent, ResearchGame, path_of

SIZE = (5, 7)
SOON = 60.0  # a hang, not a time, is what fails


def frame(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)


def test_a_frame_an_action_and_a_reset_go_through(tmp_path: Path) -> None:
    path = path_of("a", tmp_path)
    assert path.name == "megabonk_env_a"
    game = ResearchGame(path, SIZE)
    agent = ResearchAgent(path)
    assert game.agent
    assert agent.fills
    assert agent.size == SIZE
    assert agent.observe(0.0) is None
    game.publish(frame(1), 0.5, True, 3, 50)
    seen = agent.observe(SOON)
    assert seen is not None
    assert (seen.reward, seen.done, seen.step, seen.time_ms) == (0.5, True, 3, 50)
    np.testing.assert_array_equal(seen.pixels, frame(1))
    assert game.wait(0.0) is Event.TIMEOUT
    agent.act(np.array([1, -1, 0, 1, 0, 1], np.float32))
    got = game.wait(SOON)
    assert isinstance(got, np.ndarray)
    assert got.tolist() == [1, -1, 0, 1, 0, 1]
    agent.reset()
    assert game.wait(SOON) is Event.RESET
    game.close()
    assert not path.exists()
    with pytest.raises(LinkError, match="ended"):
        agent.observe(SOON)
    agent.close()
    with pytest.raises(LinkError, match="closed"):
        agent.observe(0.0)


def test_rows_lie_in_the_file_as_unity_reads_them(tmp_path: Path) -> None:
    for bottom_up in (True, False):
        game = ResearchGame(path_of(0, tmp_path), SIZE, bottom_up=bottom_up)
        game.publish(frame(2), 0.0, False, 0, 0)
        data = path_of(0, tmp_path).read_bytes()
        rows = np.frombuffer(data, np.uint8, frame(2).size, 0x20).reshape(*SIZE, 3)
        np.testing.assert_array_equal(rows[::-1] if bottom_up else rows, frame(2))
        game.close()


def test_numbers_that_are_none_do_nothing(tmp_path: Path) -> None:
    game = ResearchGame(path_of(0, tmp_path), SIZE)
    agent = ResearchAgent(path_of(0, tmp_path))
    game.publish(frame(0), 0.0, False, 0, 0)
    assert agent.observe(SOON) is not None
    agent.act(np.array([np.nan, np.inf, -np.inf, 0, 0, 0], np.float32))
    got = game.wait(SOON)
    assert isinstance(got, np.ndarray)
    assert got.tolist() == [0.0, 1.0, -1.0, 0.0, 0.0, 0.0]


def test_what_is_refused_says_why(tmp_path: Path) -> None:
    path = path_of(0, tmp_path)
    with pytest.raises(LinkError, match="no such file"):
        ResearchAgent(path)
    game = ResearchGame(path, SIZE)
    with pytest.raises(LinkError, match="another game has it"):
        ResearchGame(path, SIZE)
    agent = ResearchAgent(path)
    with pytest.raises(LinkError, match="another agent"):
        ResearchAgent(path)
    with pytest.raises(LinkError, match="width, height"):
        ResearchGame(path_of(1, tmp_path), (0, 5))
    with pytest.raises(LinkError, match="no file can be made"):
        ResearchGame(tmp_path / "nowhere" / "x", SIZE)
    with pytest.raises(ValueError, match="shape"):
        game.publish(np.zeros((2, 2, 3), np.uint8), 0.0, False, 0, 0)
    game.publish(frame(0), 0.0, False, 0, 0)
    os.truncate(path, 40)
    with pytest.raises(CorruptError, match="cut short"):
        agent.observe(SOON)
    target = tmp_path / "target"
    target.write_bytes(bytes(1000))
    path_of(2, tmp_path).symlink_to(target)
    with pytest.raises(LinkError):
        ResearchAgent(path_of(2, tmp_path))
    with pytest.raises(LinkError):
        ResearchGame(path_of(2, tmp_path), SIZE)
    assert target.read_bytes() == bytes(1000)


@pytest.mark.parametrize("size", [0, 3, 0x20, 0x21, 500])
def test_any_bytes_are_an_error_or_silence(tmp_path: Path, size: int) -> None:
    rng = np.random.default_rng(size)
    path = path_of(0, tmp_path)
    for _ in range(50):
        data = bytearray(rng.integers(0, 256, size, np.uint8).tobytes())
        if size >= 0x20:
            struct.pack_into("<i", data, 0, int(rng.integers(0, 5)))
            struct.pack_into("<ii", data, 0x18, *map(int, rng.integers(-3, 12, 2)))
        path.write_bytes(data)
        try:
            agent = ResearchAgent(path)
            agent.observe(0.0)
            agent.close()
        except (LinkError, CorruptError):
            continue


HEADER = 0x20
FILE = HEADER + 5 * 7 * 3 + 24
WORDS = st.integers(-3, 4100) | st.integers(-(2**31), 2**31 - 1)
EDITS = st.lists(
    st.tuples(
        st.sampled_from(range(0, HEADER, 4)) | st.integers(0, FILE + 40),
        WORDS.map(lambda word: struct.pack("<i", word)) | st.binary(min_size=1, max_size=8),
    )
    | st.tuples(st.integers(0, FILE + 40), st.none()),
    max_size=5,
)


def edit(path: Path, edits: list[tuple[int, bytes | None]]) -> None:
    """Overwrites bytes at some places, or cuts the file there."""
    for at, what in edits:
        if not path.exists():  # an agent takes a dead game's file away
            return
        if what is None:
            os.truncate(path, at)
            continue
        with path.open("r+b") as file:
            file.seek(at)
            file.write(what)


@settings(max_examples=150)
@given(EDITS, EDITS, st.booleans())
def test_whatever_the_games_process_does_an_agent_sees_the_file_or_an_error(
    before: list[tuple[int, bytes | None]],
    during: list[tuple[int, bytes | None]],
    bottom_up: bool,
) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = path_of(0, folder)
        header = struct.pack("<iIfiiiii", 2, 0, 0.5, 0, 3, 50, SIZE[1], SIZE[0])
        path.write_bytes(header + frame(0).tobytes() + bytes(24))
        edit(path, before)
        agent = None
        try:
            agent = ResearchAgent(path, bottom_up=bottom_up)
            for _ in range(3):
                seen = agent.observe(0.0)
                if seen is not None:
                    size = seen.pixels.size
                    lies = np.frombuffer(path.read_bytes(), np.uint8, size, HEADER)
                    rows = lies.reshape(seen.pixels.shape)
                    np.testing.assert_array_equal(rows[::-1] if bottom_up else rows, seen.pixels)
                edit(path, during)
                agent.act(np.array([1, -1, 0, 1, 0, 1], np.float32))
                agent.reset()
        except (LinkError, CorruptError):
            pass
        finally:
            if agent is not None:
                agent.close()


@settings(max_examples=150)
@given(EDITS)
def test_whatever_an_agents_process_does_a_game_gets_numbers_or_an_error(
    edits: list[tuple[int, bytes | None]],
) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = path_of(0, folder)
        game = ResearchGame(path, SIZE)
        try:
            for step in range(3):
                game.publish(frame(step), 0.0, False, step, step * 16)
                rows = np.frombuffer(path.read_bytes(), np.uint8, frame(0).size, HEADER)
                np.testing.assert_array_equal(rows.reshape(frame(0).shape)[::-1], frame(step))
                edit(path, edits)
                got = game.wait(0.0)
                if isinstance(got, np.ndarray):
                    assert np.isfinite(got).all()
                else:
                    assert got in (Event.TIMEOUT, Event.RESET)
        except LinkError:
            pass
        finally:
            game.close()
        assert not path.exists()


GAME = """
import sys, time
import numpy as np
from pathlib import Path
from metabonk.link.research_shm import ResearchGame
game = ResearchGame(Path(sys.argv[1]), (5, 7))
game.publish(np.zeros((5, 7, 3), np.uint8), 0.0, False, 0, 0)
print("ready", flush=True)
time.sleep(600)
"""


def test_a_killed_game_leaves_nothing_behind(tmp_path: Path) -> None:
    path = path_of(0, tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", GAME, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        agent = ResearchAgent(path)
        assert agent.observe(SOON) is not None
        process.send_signal(signal.SIGKILL)
        process.wait()
        with pytest.raises(LinkError, match="died"):
            agent.observe(SOON)
        assert not path.exists()
    finally:
        process.kill()
        process.wait()
