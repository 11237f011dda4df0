"""The frame ring between processes that are killed at any instant, stopped, or in other PID
namespaces: no torn frame, nothing hangs, nothing is left behind.

Frames carry their step in every word. Readers are children that are killed by SIGKILL and started
anew all the while. A negative control hands out frames without a lease and has to be caught.
"""

from __future__ import annotations

import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from metabonk.link.ring import Frame, FrameFormat, RingReader, RingWriter, sweep

HANG = 60.0  # seconds; no claim about time
SIDE = 32  # frames of 32 x 32 RGBA: 512 words of eight bytes
TAKEN, TORN, LOST = range(3)  # columns of a Tally


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        yield path
        assert os.listdir(path) == []


class Tally:
    """Counters that children write and that outlive them: a row for each."""

    def __init__(self, rows: int) -> None:
        self.rows = np.frombuffer(mmap.mmap(-1, rows * 3 * 8), np.int64).reshape(rows, 3)

    def total(self, column: int) -> int:
        return int(self.rows[:, column].sum())


def child(body: Callable[[], None]) -> int:
    """The process id of a fork that runs `body` and never comes back."""
    pid = os.fork()
    if pid == 0:
        try:
            body()
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def put(writer: RingWriter, step: int) -> None:
    """A frame with its step in every word."""
    writer.begin(SIDE, SIDE, FrameFormat.RGBA8).reshape(-1).view(np.uint64)[:] = step
    writer.commit(step)


def taken(reader: RingReader) -> Frame:
    """The next frame, of a writer that a busy machine may stop for longer than a heart may."""
    deadline = time.monotonic() + HANG
    while (frame := reader.latest(HANG)) is None:
        assert time.monotonic() < deadline, reader.why
        time.sleep(0.005)
    return frame


def whole(view: np.ndarray, step: int) -> bool:
    return bool((view.reshape(-1).view(np.uint64) == step).all())


def write_forever(folder: str) -> None:
    with RingWriter("ring", (SIDE, SIDE, 4), folder=folder) as writer:
        step = 0
        while True:
            step += 1
            put(writer, step)


def read_forever(folder: str, row: np.ndarray) -> None:
    """Checks every frame, keeps one of them for longer, begins anew now and then."""
    while True:
        with RingReader("ring", folder=folder) as reader:
            kept = None
            for i in range(300):
                frame = reader.latest(0.05)
                if frame is None:
                    continue
                kept = frame if i % 50 == 0 or kept is None else kept
                row[TORN] += not whole(frame.raw, frame.step)
                row[TORN] += not whole(kept.raw, kept.step)
                row[LOST] += not (frame.valid and kept.valid)
                row[TAKEN] += 1


def frames_while_readers_are_killed(folder: str, frames: int) -> None:
    """Writes `frames` at full speed and kills one of three readers every few milliseconds."""
    tally = Tally(3)

    def start(i: int) -> int:
        return child(lambda: read_forever(folder, tally.rows[i]))

    chance = random.Random(0)
    kills = step = 0
    next_kill = 0.0
    # Entries for the living, and for those of the killed whom the writer has not noticed yet.
    with RingWriter("ring", (SIDE, SIDE, 4), readers=16, folder=folder) as writer:
        pids = [start(i) for i in range(3)]
        try:
            while step < frames or kills < 20 or not tally.rows[:, TAKEN].all():
                for _ in range(500):
                    step += 1
                    put(writer, step)
                if time.monotonic() >= next_kill:
                    i = chance.randrange(3)
                    kill(pids[i])
                    pids[i] = start(i)
                    kills += 1
                    next_kill = time.monotonic() + chance.uniform(0.01, 0.1)
        finally:
            for pid in pids:
                kill(pid)
        eventually(lambda: writer.counts()["readers"] == 0)
        counts = writer.counts()
    assert (counts["frames"], counts["replaced"]) == (step, 0)
    assert tally.total(TAKEN) > 0
    assert (tally.total(TORN), tally.total(LOST)) == (0, 0)
    print(f"{step} frames, {kills} readers killed, {tally.total(TAKEN)} frames checked, ", end="")
    print(f"{counts['readers_lost']} entries taken back")


def test_patterned_frames_while_readers_are_killed(folder: str) -> None:
    frames_while_readers_are_killed(folder, 100_000)


@pytest.mark.long
def test_ten_million_patterned_frames_while_readers_are_killed(folder: str) -> None:
    frames_while_readers_are_killed(folder, 10_000_000)


def test_who_reads_without_a_lease_gets_torn_frames(folder: str) -> None:
    """The negative control: the pattern shows what leases prevent."""
    writer = child(lambda: write_forever(folder))
    path = Path(folder) / "metabonk-ring-ring"
    try:
        eventually(path.exists)
        with path.open("rb") as file:
            memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        slots = 256 + 64 * struct.unpack_from("<I", memory, 36)[0]
        pixels, stride = struct.unpack_from("<QQ", memory, 48)

        def torn() -> bool:
            (newest,) = struct.unpack_from("<Q", memory, 64)
            slot = newest & 0xFF
            (step,) = struct.unpack_from("<Q", memory, slots + 128 * slot + 8)
            at = pixels + stride * slot
            first = memory[at : at + 2048]
            time.sleep(0.001)
            frame = np.frombuffer(first + memory[at + 2048 : at + 4096], np.uint8)
            return newest != 0 and not whole(frame, step)

        eventually(torn)
    finally:
        kill(writer)
    sweep(folder)


@pytest.mark.parametrize("at_once", [False, True], ids=["readers stay", "all at once"])
def test_writers_killed_at_any_instant(folder: str, at_once: bool) -> None:
    """A reader sees every one of them go and come; or everybody dies and the next one cleans up."""
    chance = random.Random(1)
    tally = Tally(1)
    reader = RingReader("ring", folder=folder)
    for _ in range(12):
        pids = [child(lambda: write_forever(folder))]
        if at_once:
            pids.append(child(lambda: read_forever(folder, tally.rows[0])))
            time.sleep(chance.uniform(0.0, 0.05))
        else:
            frame = taken(reader)
            assert whole(frame.raw, frame.step)
            time.sleep(chance.uniform(0.0, 0.01))
        for pid in pids:
            kill(pid)
        if not at_once:
            while reader.latest(HANG) is not None:
                pass
            assert not reader.alive
            assert whole(frame.raw, frame.step)
            assert frame.valid
            eventually(lambda: os.listdir(folder) == [])
            del frame
    reader.close()
    if at_once:
        with RingWriter("ring", (SIDE, SIDE, 4), folder=folder):
            assert os.listdir(folder) == ["metabonk-ring-ring"]
    else:
        assert reader.closed


def test_a_stopped_process_keeps_what_it_holds(folder: str) -> None:
    """SIGSTOP is no death: neither the ring nor a lease is taken from one who has a lock."""
    tally = Tally(1)
    with RingWriter("ring", (SIDE, SIDE, 4), folder=folder) as writer:
        put(writer, 1)

        def hold() -> None:
            with RingReader("ring", folder=folder) as reader:
                frame = reader.latest(HANG)
                assert frame is not None
                tally.rows[0, TAKEN] = 1
                while True:
                    tally.rows[0, TORN] += not whole(frame.raw, 1)
                    tally.rows[0, LOST] += not frame.valid
                    tally.rows[0, TAKEN] += 1

        pid = child(hold)
        eventually(lambda: tally.total(TAKEN) > 0)
        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: writer.counts()["readers"] == 0)  # noticed, and left alone
        for step in range(2, 2000):
            put(writer, step)
        os.kill(pid, signal.SIGCONT)
        seen = tally.total(TAKEN)
        eventually(lambda: tally.total(TAKEN) > seen + 100 and writer.counts()["readers"] == 1)
        kill(pid)
        eventually(lambda: writer.counts()["readers_lost"] >= 1)
    assert (tally.total(TORN), tally.total(LOST)) == (0, 0)


NAMESPACES = {
    "user and PID": ["unshare", "-Urp", "--fork", "--kill-child", "--mount-proc"],
    "PID": ["unshare", "-p", "--fork", "--kill-child"],
}
WRITE = """
import sys, time
from metabonk.link.ring import FrameFormat, RingWriter
with RingWriter("ring", (32, 32, 4), folder=sys.argv[1]) as writer:
    step = 0
    while True:
        step += 1
        writer.begin(32, 32, FrameFormat.RGBA8).reshape(-1).view("u8")[:] = step
        writer.commit(step)
        time.sleep(0.002)
"""
READ = """
import sys
from metabonk.link.ring import RingReader
with RingReader("ring", folder=sys.argv[1]) as reader:
    frames = []
    frames += [reader.latest(60.0), reader.latest(60.0)]
    while True:  # it may seem to have ended while it is only late
        frames.append(reader.latest(60.0) or frames[-1])
        del frames[0]
"""


@pytest.mark.parametrize("kind", NAMESPACES)
@pytest.mark.parametrize("side", ["writer", "reader"])
def test_across_pid_namespaces(folder: str, kind: str, side: str) -> None:
    """Process ids mean nothing there: heartbeats, locks and the futex work all the same."""
    unshare = NAMESPACES[kind]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"]).returncode:
        pytest.skip(f"no {kind} namespaces here: {' '.join(unshare)} is refused")
    command = [*unshare, sys.executable, "-c", WRITE if side == "writer" else READ, folder]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if side == "writer":
            _outlive_a_writer(folder, other)
        else:
            _outlive_a_reader(folder, other)
    finally:
        other.kill()
        other.communicate()


def _outlive_a_writer(folder: str, other: subprocess.Popen[str]) -> None:
    with RingReader("ring", folder=folder) as reader:
        for _ in range(50):
            frame = taken(reader)
            assert whole(frame.raw, frame.step)
        other.kill()
        while reader.latest(HANG) is not None:
            pass
        assert not reader.alive
        eventually(lambda: os.listdir(folder) == [])


def _outlive_a_reader(folder: str, other: subprocess.Popen[str]) -> None:
    with RingWriter("ring", (SIDE, SIDE, 4), folder=folder) as writer:
        step = 0
        deadline = time.monotonic() + HANG
        while writer.counts()["readers"] == 0 or step < 500:
            step += 1
            put(writer, step)
            time.sleep(0.001)
            assert time.monotonic() < deadline
        for _ in range(200):
            step += 1
            put(writer, step)
            time.sleep(0.001)
        other.kill()
        eventually(lambda: writer.counts()["readers_lost"] >= 1)
