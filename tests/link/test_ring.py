"""The frame ring from Python: what is handed over, how long a view is good, what is refused."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metabonk.errors import LinkError
from metabonk.link import ring as module
from metabonk.link.ring import Frame, FrameFormat, RingReader, RingWriter, RowOrder, sweep

HANG = 30.0  # seconds; no claim about time
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def name() -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    assert not (Path("/dev/shm") / f"metabonk-ring-{name}").exists()


def picture(seed: int = 0, shape: tuple[int, ...] = (12, 20, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def taken(reader: RingReader, **how: bool) -> Frame:
    frame = reader.latest(HANG, **how)
    assert frame is not None
    return frame


def test_frames_and_what_is_known_of_them(name: str) -> None:
    with RingWriter(name, (12, 20, 3)) as writer, RingReader(name) as reader:
        assert reader.latest() is None
        assert reader.alive
        writer.write(picture(1), step=7, capture_ns=123)
        frame = taken(reader)
        assert np.array_equal(frame.pixels, picture(1))
        assert (frame.step, frame.capture_ns, frame.number) == (7, 123, 1)
        assert (frame.height, frame.width) == (12, 20)
        assert frame.format is FrameFormat.RGB8
        assert frame.row_order is RowOrder.TOP_DOWN
        assert frame.session == writer.session == reader.session
        assert reader.latest() is None
        assert np.array_equal(taken(reader, again=True).pixels, picture(1))


@pytest.mark.parametrize(
    ("shape", "format"),
    [((5, 7, 1), None), ((5, 7, 4), None), ((5, 7, 4), FrameFormat.BGRA8), ((5, 7, 3), None)],
)
def test_formats(name: str, shape: tuple[int, int, int], format: FrameFormat | None) -> None:
    with RingWriter(name, shape) as writer, RingReader(name) as reader:
        writer.write(picture(2, shape), format=format)
        frame = taken(reader)
        assert np.array_equal(frame.pixels, picture(2, shape))
        assert format is None or frame.format is format


def test_bytes_and_jpeg(name: str) -> None:
    with RingWriter(name, 100) as writer, RingReader(name) as reader:
        writer.write(b"anything")
        frame = taken(reader)
        assert frame.format is FrameFormat.BYTES
        assert frame.pixels.tobytes() == b"anything"
        writer.write(b"\xff\xd8jpeg", format=FrameFormat.JPEG, size=(36, 64))
        frame = taken(reader)
        assert (frame.format, frame.height, frame.width) == (FrameFormat.JPEG, 36, 64)
        assert frame.pixels.tobytes() == b"\xff\xd8jpeg"


def test_rows_from_the_bottom_up_are_handed_out_top_down(name: str) -> None:
    with RingWriter(name, (12, 20, 3)) as writer, RingReader(name) as reader:
        writer.write(picture(3), row_order=RowOrder.BOTTOM_UP)
        frame = taken(reader)
        assert np.array_equal(frame.raw, picture(3))
        assert np.array_equal(frame.pixels, picture(3)[::-1])
        assert np.shares_memory(frame.raw, frame.pixels)
        assert frame.copy().flags.c_contiguous


def test_written_in_place(name: str) -> None:
    with RingWriter(name, (12, 20, 3)) as writer, RingReader(name) as reader:
        writer.begin(12, 20)[:] = picture(4)
        writer.commit(step=1)
        assert np.array_equal(taken(reader).pixels, picture(4))
        writer.begin(12, 20)[:] = 99
        writer.abandon()
        with pytest.raises(ValueError, match="none was begun"):
            writer.commit()
        assert reader.latest() is None


def test_what_begin_gave_stays_mapped_while_the_ring_grows(name: str) -> None:
    with RingWriter(name, (12, 20, 3)) as writer:
        old = writer.begin(12, 20)
        writer.write(picture(5, (120, 200, 3)))
        old[:] = 1  # in memory that nobody reads any more
    old[:] = 2


def test_views_hold_the_lease(name: str) -> None:
    with RingWriter(name, (12, 20, 3), leases=2) as writer, RingReader(name) as reader:
        writer.write(picture(6))
        view = taken(reader).pixels[2:5, ::2]  # the Frame itself is gone
        for i in range(50):
            writer.write(picture(7 + i % 3))
        assert np.array_equal(view, picture(6)[2:5, ::2])
        second = taken(reader)
        with pytest.raises(LinkError, match="all are held"):
            reader.latest(again=True)
        del view
        assert taken(reader, again=True).number == second.number


def test_views_outlive_the_reader_and_the_writer(name: str) -> None:
    with RingWriter(name, (12, 20, 3)) as writer, RingReader(name) as reader:
        writer.write(picture(8))
        frame = taken(reader)
    assert np.array_equal(frame.pixels, picture(8))
    assert frame.valid


def test_views_cannot_be_written(name: str) -> None:
    with RingWriter(name, (12, 20, 3)) as writer, RingReader(name) as reader:
        writer.write(picture(9))
        view = taken(reader).pixels
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0, 0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.flags.writeable = True


def test_with_lets_go_and_says_if_the_frame_was_lost(name: str) -> None:
    with RingWriter(name, (12, 20, 3), leases=1) as writer, RingReader(name) as reader:
        writer.write(picture(10))
        for _ in range(5):
            with taken(reader, again=True) as frame:
                assert frame.valid
        with pytest.raises(LinkError, match="released"):
            _ = frame.pixels

        class Lost:
            """A lease of one who was taken for dead."""

            number = step = capture_ns = session = height = width = 1
            format, row_order, valid = 1, 0, False

        with pytest.raises(LinkError, match="overwritten"), Frame(Lost()):
            pass


def test_a_torch_tensor_on_the_same_memory(name: str) -> None:
    torch = pytest.importorskip("torch")
    with RingWriter(name, (12, 20, 3), leases=1) as writer, RingReader(name) as reader:
        writer.write(picture(11))
        frame = taken(reader)
        tensor = frame.torch()
        assert tensor.data_ptr() == frame.raw.ctypes.data
        frame.release()
        del frame
        for _ in range(20):
            writer.write(picture(12))
        assert torch.equal(tensor, torch.from_numpy(picture(11)))
        del tensor
        gc.collect()
        writer.write(picture(13), row_order=RowOrder.BOTTOM_UP)
        assert torch.equal(taken(reader).torch(), torch.from_numpy(picture(13)[::-1].copy()))


def test_sizes_change_while_it_runs(name: str) -> None:
    with RingWriter(name, (12, 20, 3)) as writer, RingReader(name) as reader:
        sessions = set()
        for i, shape in enumerate([(12, 20, 3), (90, 160, 3), (4, 4, 1), (360, 640, 4)]):
            writer.write(picture(i, shape))
            frame = taken(reader)
            assert np.array_equal(frame.pixels, picture(i, shape))
            sessions.add(frame.session)
        assert len(sessions) == writer.counts()["replaced"] + 1 == reader.counts()["attached"] == 3


def test_a_reader_waits_for_a_game_that_comes_and_goes(name: str) -> None:
    with RingReader(name) as reader:
        assert reader.latest() is None
        assert not reader.alive
        assert "no ring" in reader.why
        for _ in range(3):
            with RingWriter(name, (12, 20, 3)) as writer:
                writer.write(picture(1))
                assert np.array_equal(taken(reader).pixels, picture(1))
            assert reader.latest(HANG) is None  # told at once that it has closed
        assert reader.counts()["attached"] == 3


def test_waiting_lets_other_threads_run_and_ends_with_the_frame(name: str) -> None:
    with RingWriter(name, (12, 20, 3)) as writer, RingReader(name) as reader:
        waiting = threading.Event()

        def write() -> None:
            waiting.wait(HANG)
            writer.write(picture(2), step=5)

        thread = threading.Thread(target=write)
        thread.start()
        waiting.set()
        assert taken(reader).step == 5
        thread.join()


def test_two_threads_may_not_use_one_end_at_once(name: str) -> None:
    refused = threading.Event()

    def ask() -> None:
        while not refused.is_set():
            try:
                reader.latest(0.05)
            except RuntimeError:
                refused.set()

    with RingWriter(name, (12, 20, 3)), RingReader(name) as reader:
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert refused.wait(HANG)
        for thread in threads:
            thread.join()


def test_one_writer_and_a_full_table(name: str) -> None:
    with RingWriter(name, (12, 20, 3), readers=1) as writer, RingReader(name) as reader:
        with pytest.raises(LinkError, match="another writer has this ring"):
            RingWriter(name, (12, 20, 3))
        writer.write(picture(3))
        assert taken(reader).number == 1
        with RingReader(name) as second:
            with pytest.raises(LinkError, match="full"):
                second.latest()
            reader.close()
            assert taken(second).number == 1
            assert writer.counts()["readers_lost"] == 0


def test_pinned_memory_is_told_once_per_ring_and_untold_after_the_last_frame(name: str) -> None:
    told: dict[int, int] = {}
    untold: list[int] = []
    with RingWriter(name, (12, 20, 3)) as writer, RingReader(name) as reader:
        reader.pin_memory(told.__setitem__, untold.append)
        writer.write(picture(4))
        frame = taken(reader)
        (address,) = told
        assert address <= frame.raw.ctypes.data < address + told[address]
        assert frame.raw.ctypes.data + frame.raw.nbytes <= address + told[address]
        writer.write(picture(5, (120, 200, 3)))
        second = taken(reader)
        assert len(told) == 2
        assert untold == []
        frame.release()
        assert untold == [address]
        second.release()
    assert sorted(untold) == sorted(told)


def test_pinned_memory_needs_a_device(name: str) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        with RingWriter(name, (12, 20, 3)) as writer, RingReader(name) as reader:
            reader.pin_memory()
            writer.write(picture(6))
            frame = taken(reader)
            assert frame.torch().is_pinned()
            assert np.array_equal(frame.torch().to("cuda").cpu().numpy(), picture(6))
    else:
        with RingReader(name) as reader, pytest.raises(LinkError, match="CUDA"):
            reader.pin_memory()


@pytest.mark.parametrize("bad", ["", "../x", "a/b", ".a", "a b", "x" * 65])
def test_names_that_cannot_be(bad: str) -> None:
    with pytest.raises(ValueError, match="name: must be"):
        RingWriter(bad, (12, 20, 3))
    with pytest.raises(ValueError, match="name: must be"):
        RingReader(bad)


def test_refusals_name_what_was_wrong(name: str, tmp_path: Path) -> None:
    for frame in (0, (0, 20, 3), 2**31):
        with pytest.raises(ValueError, match="frame"):
            RingWriter(name, frame)
    with pytest.raises(ValueError, match="readers"):
        RingWriter(name, 100, readers=17)
    with pytest.raises(ValueError, match="leases"):
        RingWriter(name, 100, leases=0)
    with pytest.raises(LinkError, match="folder"):
        RingWriter(name, 100, folder=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="spin_us"):
        RingReader(name, spin_us=100_000)
    with pytest.raises(ValueError, match="poll_us"):
        RingReader(name, poll_us=0)
    with RingWriter(name, (12, 20, 3)) as writer:
        wrong: list[tuple[Any, dict[str, Any]]] = [
            (picture(1).astype(np.float32), {}),
            (picture(1)[::2], {}),
            (picture(1, (5, 5)), {}),
            (picture(1, (5, 5, 2)), {}),
            (np.zeros((0, 5, 3), np.uint8), {}),
            (np.zeros((1, 20_000, 3), np.uint8), {}),
            (picture(1), {"row_order": 7}),
            (picture(1), {"format": FrameFormat.GREY8}),
            (picture(1), {"format": FrameFormat.JPEG}),
            (b"123", {"format": FrameFormat.RGB8}),
        ]
        for bad, how in wrong:
            with pytest.raises(ValueError, match=r"frame|format|channels|width|height|row_order"):
                writer.write(bad, **how)
        assert writer.counts()["frames"] == 0
    with pytest.raises(LinkError, match="closed"):
        writer.write(picture(1))
    writer.close()


def test_a_folder_without_memory_is_refused_not_a_fault(name: str) -> None:
    """tmpfs that is full: SIGBUS for who maps and writes, an error for who reserves first."""
    code = f"""
import subprocess, sys
from metabonk.errors import LinkError
from metabonk.link.ring import RingWriter
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", sys.argv[1]], check=True)
writer = RingWriter({name!r}, 60_000, folder=sys.argv[1])
for i in range(3):
    writer.write(bytes(60_000))
try:
    for i in range(20):
        writer.write(bytes(60_000))
        writer.write(bytes(90_000 + 40_000 * i))
except LinkError as error:
    print("refused", error)
writer.close()
"""
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("no user and mount namespaces here: unshare -Urm is refused")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["unshare", "-Urm", sys.executable, "-c", code, folder],
            capture_output=True,
            text=True,
            env=os.environ,
            timeout=HANG * 4,
        )
    assert done.returncode == 0, done.stderr
    assert re.search(r"refused .*(memory left|no file of this size)", done.stdout)


def test_sweep_leaves_the_living(name: str) -> None:
    with RingWriter(name, (12, 20, 3)) as writer:
        sweep()
        assert Path(writer.path).exists()


def test_constants_are_those_of_the_header() -> None:
    header = (ROOT / "csrc/include/metabonk/frame_ring.h").read_text()
    for enum, prefix in ((FrameFormat, "METABONK_RING_"), (RowOrder, "METABONK_RING_")):
        for member in enum:
            found = re.search(rf"{prefix}{member.name} = (\d+)", header)
            assert found is not None
            assert int(found[1]) == member.value
    take = re.search(
        r"enum class Take \{(.*?)\};", (ROOT / "csrc/ipc/ring_reader.h").read_text(), re.S
    )
    assert take is not None
    names = re.findall(r"\bk(\w+),", take[1])
    assert [n.lower() for n in names] == [t.name.replace("_", "").lower() for t in module._Take]
