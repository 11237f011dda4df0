"""Core's frame ring: the layout is the header's, frames are whole, a killed writer is noticed."""

from __future__ import annotations

import re
import select
import signal
import stat
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from csharp import HANG, ROOT, Peer, finish, line, runtime_command
from rehearsal import wait_for

SHM = Path("/dev/shm")
HEADER = ROOT / "csrc" / "include" / "metabonk" / "frame_ring.h"


@pytest.fixture
def name() -> Iterator[str]:
    made = f"plugins-{uuid.uuid4().hex[:12]}"
    yield made
    left = [path for path in SHM.iterdir() if made in path.name]
    for path in left:
        path.unlink()


@pytest.fixture(params=["mono", "dotnet"])
def other(request: pytest.FixtureRequest, peer_program: Path) -> Iterator[Peer]:
    """A second process, which need not run on the same runtime."""
    made = Peer(runtime_command(request.param), peer_program)
    yield made
    made.close()


def test_every_offset_is_the_headers(peer: Peer) -> None:
    text = HEADER.read_text()
    wanted = {
        f"{struct}.{field}": int(offset)
        for struct, field, offset in re.findall(
            r"METABONK_RING_AT\(metabonk_ring_(\w+), (\w+), (\d+)\)", text
        )
    }
    sizes, *rows = peer.run("ring-layout").decode().splitlines()
    seen = {field: int(offset) for field, offset in (row.split() for row in rows)}
    assert len(wanted) > 25
    assert seen == wanted
    words = re.findall(r"sizeof\(metabonk_ring_(\w+)\) == (\d+)", text)
    assert sizes == " ".join(f"{struct} {size}" for struct, size in words)


def test_the_constants_are_the_headers() -> None:
    core = (ROOT / "plugins" / "Core" / "RingLayout.cs").read_text()
    text = HEADER.read_text()
    (magic,) = re.findall(r"METABONK_RING_MAGIC UINT64_C\((0x\w+)\)", text)
    assert f"Magic = {magic}UL" in core
    pairs = {
        "SLOTS_MAX": "SlotsMax",
        "READERS_MAX": "ReadersMax",
        "LEASES_MAX": "LeasesMax",
        "SIDE_MAX": "SideMax",
        "NAME_MAX": "NameMax",
        "PAGE": "Page",
        "BEAT_PERIOD_MS": "BeatPeriodMs",
        "BEAT_TIMEOUT_MS": "BeatTimeoutMs",
        "RGB8": "Rgb8",
        "RGBA8": "Rgba8",
        "BGRA8": "Bgra8",
        "GREY8": "Grey8",
        "JPEG": "Jpeg",
        "BYTES": "Raw",
        "OPEN": "Open",
        "CLOSED": "Closed",
        "REPLACED": "Replaced",
        "RECLAIMED": "Reclaimed",
        "WRITER_LOCKS": "WriterLocks",
        "READER_LOCKS": "ReaderLocks",
    }
    for ours, theirs in pairs.items():
        value = re.search(rf"METABONK_RING_{ours}(?: =)? (\d+)", text)
        assert value is not None, ours
        assert re.search(rf"\b{theirs} = {value[1]}\b", core), ours


def test_frames_are_whole_between_processes(peer: Peer, other: Peer, name: str) -> None:
    writer = peer.start("ring-write", f"name={name}", "growAt=400")
    path = Path(line(writer))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    out = other.run("ring-read", f"name={name}", "frames=1500").decode().splitlines()
    assert out[0].startswith("first ")
    assert "Rgb BottomUp" in out[0]
    taken = dict(zip(out[1].split()[::2], out[1].split()[1::2], strict=True))
    assert taken["taken"] == "1500"
    assert taken["torn"] == "0"
    assert finish(writer).split()[2:4] == ["renewed", "1"]
    assert not path.exists()


def test_a_killed_writer_is_noticed_and_its_name_taken_over(
    peer: Peer, other: Peer, name: str
) -> None:
    writer = peer.start("ring-write", f"name={name}", "pauseMs=1")
    path = Path(line(writer))
    reader = other.start("ring-read", f"name={name}", "frames=100000000", "waitMs=500")
    assert line(reader).startswith("first")
    writer.send_signal(signal.SIGKILL)
    writer.wait(HANG)
    assert line(reader) == "NoWriter"
    assert path.exists()  # a killed one cannot tidy up
    again = peer.start("ring-write", f"name={name}", "pauseMs=1")
    assert line(again) == str(path)
    out = other.run("ring-read", f"name={name}", "frames=20").decode().splitlines()
    assert out[-1].startswith("taken 20 torn 0")
    finish(again)
    assert not path.exists()
    assert not [left for left in SHM.iterdir() if name in left.name]


def test_a_living_writers_name_is_refused(peer: Peer, name: str) -> None:
    writer = peer.start("ring-write", f"name={name}", "pauseMs=1")
    line(writer)
    assert "another writer has this ring" in peer.fail("ring-write", f"name={name}")
    assert "name: 'a/b' must be" in peer.fail("ring-write", "name=a/b")
    finish(writer)


def test_a_killed_readers_slots_come_back(peer: Peer, other: Peer, name: str) -> None:
    writer = peer.start("ring-write", f"name={name}", "pauseMs=1")
    line(writer)
    for _ in range(3):
        reader = other.start("ring-read", f"name={name}", "frames=100000000")
        assert line(reader).startswith("first")
        reader.kill()
        reader.wait(HANG)
    time.sleep(1.5)  # who holds no lock is silent for a second before it is taken for dead
    out = other.run("ring-read", f"name={name}", "frames=50").decode().splitlines()
    assert out[-1].startswith("taken 50 torn 0")
    assert finish(writer).endswith("lost 3")


def test_what_is_no_ring_is_no_writer(peer: Peer, name: str) -> None:
    (SHM / f"metabonk-ring-{name}").write_bytes(b"\xff" * 9000)
    out = peer.run("ring-read", f"name={name}", "frames=1", "waitMs=50").decode().splitlines()
    assert out[0] == "NoWriter"


LARGE = ("width=2048", "height=1024")  # whose zeros take a while to write


def unfinished(name: str) -> list[Path]:
    return [path for path in SHM.iterdir() if path.name.startswith(f".metabonk-ring-{name}")]


def caught_making(peer: Peer, name: str) -> tuple[subprocess.Popen[str], Path]:
    """A writer, stopped while it makes its ring's file, and that file."""
    ring = SHM / f"metabonk-ring-{name}"
    for _ in range(50):
        process = peer.start("ring-write", f"name={name}", "pauseMs=1", *LARGE)
        wait_for(lambda: True if unfinished(name) or ring.exists() else None)
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.05)
        if left := unfinished(name):
            return process, left[0]
        process.send_signal(signal.SIGCONT)  # it was quicker
        finish(process)
    raise AssertionError("a writer was never seen to make its file")


def test_a_writer_killed_while_it_makes_its_ring_leaves_nothing_to_the_next(
    peer: Peer, name: str
) -> None:
    killed, path = caught_making(peer, name)
    killed.kill()
    killed.wait(HANG)
    assert path.exists()  # the control: a killed one cannot tidy up
    before = path.with_name(f".metabonk-ring-{name}.partial")  # as plugins named them once
    before.write_bytes(b"")
    letters = "0123456789abcdef"
    another = path.with_name(f".metabonk-ring-{name}.{letters}.{letters}.partial")
    another.write_bytes(b"")  # of a ring NAME.0123456789abcdef
    writer = peer.start("ring-write", f"name={name}", "pauseMs=1")
    assert line(writer) == f"/dev/shm/metabonk-ring-{name}"
    assert unfinished(name) == [another]
    finish(writer)


def test_what_a_living_writer_makes_is_left_alone(peer: Peer, name: str) -> None:
    path = SHM / f".metabonk-ring-{name}.0123456789abcdef.partial"
    path.write_bytes(b"")
    writer = peer.start("ring-write", f"name={name}", "pauseMs=1")
    assert writer.stdout is not None
    while not select.select([writer.stdout], [], [], 0.05)[0]:
        path.write_bytes(b"more")  # as its maker would
    assert line(writer) == f"/dev/shm/metabonk-ring-{name}"
    assert unfinished(name) == [path]
    finish(writer)


def test_a_maker_whose_file_was_swept_makes_another(peer: Peer, name: str) -> None:
    """As one that was stopped for so long that it seemed dead."""
    writer, path = caught_making(peer, name)
    path.unlink()
    writer.send_signal(signal.SIGCONT)
    assert line(writer) == f"/dev/shm/metabonk-ring-{name}"
    assert not unfinished(name)
    out = peer.run("ring-read", f"name={name}", "frames=3").decode().splitlines()
    assert out[-1].startswith("taken 3 torn 0")
    finish(writer)
