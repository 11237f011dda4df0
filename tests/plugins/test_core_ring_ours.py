"""Core's frame ring beside our own: each reads what the other writes, and each tells who is dead by
the same rule (docs/frame_ring.md, Who lives)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from csharp import HANG, Peer, finish
from rehearsal import wait_for

from metabonk.link import ring as rings


def test_frames_through_a_ring_that_c_sharp_writes(peer: Peer, shm_name: str) -> None:
    game = peer.start("ring-write", f"name={shm_name}", "growAt=300")
    assert game.stdout is not None
    assert game.stdout.readline().strip() == f"/dev/shm/metabonk-ring-{shm_name}"
    with rings.RingReader(shm_name) as reader:
        steps, widths = [], set()
        while len(steps) < 1000:
            frame = wait_for(lambda: reader.latest(1.0))
            pixels = frame.pixels
            assert (pixels == pixels[0, 0, 0]).all()
            assert int(pixels[0, 0, 0]) == frame.step % 256
            assert frame.valid
            steps.append(frame.step)
            widths.add(pixels.shape[1])
            del pixels, frame
        assert steps == sorted(set(steps))
        assert 128 in widths
        assert reader.alive
    out, err = game.communicate("stop\n", timeout=HANG)
    assert game.returncode == 0, err
    assert "renewed 1" in out


def test_a_ring_that_we_write_is_read_in_c_sharp(peer: Peer, shm_name: str) -> None:
    with rings.RingWriter(shm_name, (48, 64, 3)) as writer:
        reader = peer.start("ring-read", f"name={shm_name}", "frames=300")
        n = 0
        deadline = time.monotonic() + HANG
        while reader.poll() is None and time.monotonic() < deadline:
            n += 1
            writer.write(np.full((48, 64, 3), n % 256, np.uint8), step=n, capture_ns=n)
        out, err = reader.communicate(timeout=HANG)
    assert reader.returncode == 0, err
    assert "Rgb TopDown" in out
    assert out.splitlines()[-1].startswith("taken 300 torn 0")


def test_a_killed_writer_in_c_sharp_leaves_no_ring(peer: Peer, shm_name: str) -> None:
    game = peer.start("ring-write", f"name={shm_name}", "pauseMs=1")
    assert game.stdout is not None
    path = Path(game.stdout.readline().strip())
    with rings.RingReader(shm_name) as reader:
        assert wait_for(lambda: reader.latest(1.0)).step > 0
        game.kill()
        game.wait(HANG)
        wait_for(lambda: None if reader.alive else True)
        # It holds no lock, so that a second of silence has to tell that it is dead.
        wait_for(lambda: None if path.exists() else True)
        again = peer.start("ring-write", f"name={shm_name}", "pauseMs=1")
        assert wait_for(lambda: reader.latest(1.0)).step > 0
        finish(again)
    assert not path.exists()


@pytest.mark.long
def test_full_speed_while_readers_are_killed(peer: Peer, shm_name: str) -> None:
    game = peer.start("ring-write", f"name={shm_name}", "width=32", "height=16")
    assert game.stdout is not None
    game.stdout.readline()
    taken = 0
    with rings.RingReader(shm_name) as reader:
        for _ in range(12):
            victim = peer.start("ring-read", f"name={shm_name}", "frames=1000000000")
            assert victim.stdout is not None
            assert victim.stdout.readline().startswith("first")
            until = time.monotonic() + 0.7
            while time.monotonic() < until:
                frame = reader.latest(1.0)
                if frame is None:
                    continue
                pixels = frame.pixels
                assert (pixels == frame.step % 256).all()
                assert frame.valid
                taken += 1
                del pixels, frame
            victim.kill()
            victim.wait(HANG)
    out, err = game.communicate("stop\n", timeout=HANG)
    assert game.returncode == 0, err
    words = out.split()
    counts = {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    assert taken > 1000
    assert counts["frames"] > 50_000
    assert counts["lost"] >= 8  # the killed ones' entries came back, within a second each


OURS = """
import sys, time
from metabonk.link import ring as rings
if sys.argv[1] == "write":
    end = rings.RingWriter(sys.argv[2], (4, 4, 3))
else:
    end = rings.RingReader(sys.argv[2])
    assert end.latest(30.0) is not None
print("here", flush=True)
time.sleep(600)
"""


@contextmanager
def ours(kind: str, name: str) -> Iterator[subprocess.Popen[str]]:
    """An end of ours in a process of its own, which holds a file lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", OURS, kind, name], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


@pytest.mark.parametrize("runtime", ["dotnet"], indirect=True)
def test_a_stopped_reader_is_dead_by_its_lock_or_after_a_second(peer: Peer, shm_name: str) -> None:
    writer = peer.start("ring-write", f"name={shm_name}", "pauseMs=1")
    assert writer.stdout is not None
    writer.stdout.readline()
    plain = peer.start("ring-read", f"name={shm_name}", "frames=1000000000")
    assert plain.stdout is not None
    assert plain.stdout.readline().startswith("first")
    with ours("read", shm_name) as locked:
        for process in (locked, plain):
            process.send_signal(signal.SIGSTOP)
        time.sleep(1.6)  # longer than who holds no lock may be silent
        out, err = writer.communicate("stop\n", timeout=HANG)
    assert writer.returncode == 0, err
    assert out.strip().endswith("lost 1")  # the one that showed by no lock that it lives


@pytest.mark.parametrize("runtime", ["mono"], indirect=True)
def test_a_stopped_writer_of_ours_keeps_its_name(peer: Peer, shm_name: str) -> None:
    with ours("write", shm_name) as process:
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)  # silent for as long as the heartbeat may be
        assert "another writer has this ring" in peer.fail("ring-write", f"name={shm_name}")
        process.kill()
        process.wait()
        again = peer.start("ring-write", f"name={shm_name}", "pauseMs=1")  # the control
        assert again.stdout is not None
        assert again.stdout.readline().startswith("/dev/shm/")
        finish(again)
