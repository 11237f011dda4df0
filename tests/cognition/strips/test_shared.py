"""strips/shared.py: strips come through shared memory as they were, or are known to be gone."""

from __future__ import annotations

import gc
import os
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from metabonk.cognition.protocol.messages import Handle
from metabonk.cognition.strips import shared
from metabonk.cognition.strips.shared import LEASES, StripReader, StripWriter
from metabonk.cognition.strips.strip import encode
from metabonk.errors import LinkError
from metabonk.link.ring import FrameFormat, RingWriter, RowOrder
from metabonk.protocols import Array


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        yield path


@pytest.fixture
def writer(folder: str) -> Iterator[StripWriter]:
    made = StripWriter(9, folder=folder)
    yield made
    made.close()


@pytest.fixture
def reader(folder: str) -> Iterator[StripReader]:
    made = StripReader(folder)
    yield made
    made.close()


def strip(seed: int, count: int = 9, height: int = 24, width: int = 32) -> list[Array]:
    random = np.random.default_rng(seed)
    return [random.integers(0, 255, (height, width, 3), np.uint8) for _ in range(count)]


@pytest.mark.parametrize("count", [1, 6, 9])
@pytest.mark.parametrize("quality", [85, 40])
def test_a_strip_comes_through_as_it_was(
    folder: str, reader: StripReader, count: int, quality: int
) -> None:
    writer = StripWriter(9, quality, folder)
    for seed in range(3):
        pictures = strip(seed, count)
        taken = reader.take(writer.write(pictures, 5), count)
        assert taken is not None
        numbers = reversed(range(count))
        assert [taken.jpeg(n) for n in numbers] == [encode(p, quality) for p in pictures[::-1]]
    writer.close()
    assert os.listdir(folder) == []


def test_each_picture_is_encoded_when_it_is_looked_at_and_once(
    writer: StripWriter, reader: StripReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def counted(pixels: Array, quality: int) -> bytes:
        made.append(int(pixels[0, 0, 0]))
        return encode(pixels, quality)

    monkeypatch.setattr(shared, "encode", counted)
    pictures = strip(0)
    taken = reader.take(writer.write(pictures, 5), 9)
    assert taken is not None
    assert made == []
    assert taken.known(4) is None
    assert taken.jpeg(4) == taken.jpeg(4) == taken.known(4)
    assert made == [int(pictures[4][0, 0, 0])]


def test_what_was_taken_stays_and_what_was_not_is_gone(
    writer: StripWriter, reader: StripReader
) -> None:
    first = strip(0)
    taken = reader.take(writer.write(first, 5), 9)
    missed = writer.write(strip(1), 6)
    last = [writer.write(strip(n), n) for n in range(2, 30)][-1]
    assert taken is not None
    assert [taken.jpeg(n) for n in range(9)] == [encode(p) for p in first]
    assert reader.take(missed, 9) is None
    newest = reader.take(last, 9)
    assert newest is not None
    assert newest.jpeg(8) == encode(strip(29)[8])


def test_strips_that_are_held_are_bounded_and_let_go(
    writer: StripWriter, reader: StripReader
) -> None:
    held = [reader.take(writer.write(strip(n), n), 9) for n in range(LEASES + 3)]
    assert [one is not None for one in held] == [True] * LEASES + [False] * 3
    first = held[0]
    assert first is not None
    looked = first.jpeg(0)
    first.release()
    first.release()
    assert first.jpeg(0) == looked, "what was looked at stays"
    assert first.jpeg(1) is None
    assert reader.take(writer.write(strip(9), 9), 9) is not None


def test_letting_go_does_not_wait_for_who_encodes(
    writer: StripWriter, reader: StripReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go = threading.Event(), threading.Event()
    seen: list[bytes] = []

    def slow(pixels: Array, quality: int) -> bytes:
        began.set()
        assert go.wait(20.0)
        seen.append(pixels.tobytes())
        return encode(pixels, quality)

    monkeypatch.setattr(shared, "encode", slow)
    pictures = strip(0)
    taken = reader.take(writer.write(pictures, 5), 9)
    assert taken is not None
    thread = threading.Thread(target=taken.jpeg, args=(0,))
    thread.start()
    assert began.wait(20.0)
    taken.release()  # would hang for ever if it waited
    for n in range(12):
        writer.write(strip(n + 1), n)
    go.set()
    thread.join(20.0)
    assert seen == [pictures[0].tobytes()], "memory that is read is not given away"


def test_larger_pictures_make_the_ring_anew(writer: StripWriter, reader: StripReader) -> None:
    small = writer.write(strip(0), 1)
    assert reader.take(small, 9) is not None
    pictures = strip(1, height=240, width=320)
    large = writer.write(pictures, 2)
    assert large.session != small.session
    assert reader.take(small, 9) is None
    taken = reader.take(large, 9)
    assert taken is not None
    assert taken.jpeg(3) == encode(pictures[3])


def test_an_agent_that_comes_back_has_another_ring(folder: str, reader: StripReader) -> None:
    for seed in range(3):
        writer = StripWriter(folder=folder)
        taken = reader.take(writer.write(strip(seed), 1), 9)
        assert taken is not None
        assert taken.jpeg(0) == encode(strip(seed)[0])
        writer.close()
        with pytest.raises(LinkError, match="no ring"):
            reader.take(Handle(writer.name, b"12345678", 1), 9)


def changed(**fields: object) -> Callable[[Handle, Path], Handle]:
    return lambda handle, folder: msgspec.structs.replace(handle, **fields)


def placed(make: Callable[[Path], object]) -> Callable[[Handle, Path], Handle]:
    """A handle of a file that `make` puts where a ring would be."""

    def build(handle: Handle, folder: Path) -> Handle:
        path = folder / "metabonk-ring-odd"
        make(path)
        return msgspec.structs.replace(handle, ring="odd")

    return build


def _head(path: Path, size: int) -> None:
    """A file that begins as a ring does and claims `size` bytes."""
    with path.open("wb") as file:
        file.write(struct.pack("<QIIQQ", 0x32474E49524B424D, 2, 256, 7, size))
        file.truncate(size)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (changed(ring="another"), "no ring that this server can open"),
        (changed(session=b"12345678"), "does not know this ring's session"),
        (changed(number=99), "strip 99, the newest one is 1"),
        (placed(lambda path: path.symlink_to("/etc/passwd")), "no ring that this server can open"),
        (placed(lambda path: path.mkdir()), "not a plain file"),
        (placed(lambda path: os.mkfifo(path)), "not a plain file"),
        (placed(lambda path: path.write_bytes(b"")), "not a frame ring"),
        (placed(lambda path: path.write_bytes(b"x" * 9999)), "not a frame ring"),
        (placed(lambda path: _head(path, 1 << 40)), "1,099,511,627,776 bytes"),
    ],
    ids=["name", "session", "number", "link", "folder", "pipe", "empty", "noise", "terabyte"],
)
def test_handles_that_are_not_to_be_believed(
    writer: StripWriter,
    reader: StripReader,
    folder: str,
    make: Callable[[Handle, Path], Handle],
    why: str,
) -> None:
    good = writer.write(strip(0), 5)
    with pytest.raises(LinkError, match=why):
        reader.take(make(good, Path(folder)), 9)
    assert reader.take(good, 9) is not None, "and the ring is as good as before"


def test_a_ring_whose_header_lies_is_refused(folder: str, reader: StripReader) -> None:
    _head(Path(folder) / "metabonk-ring-odd", 4096)
    with pytest.raises(LinkError, match="odd: "):
        reader.take(Handle("odd", struct.pack("<Q", 7), 1), 9)


def test_files_of_other_users_are_not_opened(
    writer: StripWriter, reader: StripReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = writer.write(strip(0), 5)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(LinkError, match="not a plain file of this server's own user"):
        reader.take(good, 9)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_not_opened(
    writer: StripWriter, reader: StripReader, folder: str
) -> None:
    good = writer.write(strip(0), 5)
    os.chown(Path(folder) / f"metabonk-ring-{good.ring}", 65534, 65534)
    with pytest.raises(LinkError, match="own user"):
        reader.take(good, 9)


def test_who_does_not_know_the_session_takes_no_place_in_a_ring(
    folder: str, reader: StripReader
) -> None:
    with RingWriter("arena-0", (24, 32, 3), folder=folder) as game:
        game.write(strip(0, 1)[0], step=1)
        before = Path(game.path).read_bytes()[256 : 256 + 6 * 64]
        with pytest.raises(LinkError, match="session"):
            reader.take(Handle("arena-0", b"12345678", 1), 1)
        assert Path(game.path).read_bytes()[256 : 256 + 6 * 64] == before
        # The negative control: who knows it has a place.
        known = Handle("arena-0", game.session.to_bytes(8, "little"), 1)
        taken = reader.take(known, 1)
        assert taken is not None
        assert Path(game.path).read_bytes()[256 : 256 + 6 * 64] != before


@pytest.mark.parametrize(
    ("count", "pixels", "why"),
    [(7, 1 << 22, "216 rows do not make 7 pictures"), (9, 24 * 32 - 1, "pictures of 768 pixels")],
)
def test_strips_that_are_not_as_they_are_told(
    writer: StripWriter, reader: StripReader, count: int, pixels: int, why: str
) -> None:
    good = writer.write(strip(0), 5)
    with pytest.raises(LinkError, match=why):
        reader.take(good, count, pixels)
    assert reader.take(good, 9, 24 * 32) is not None


@pytest.mark.parametrize("how", ["RGBA8", "BOTTOM_UP", "BYTES"])
def test_frames_that_are_no_strips(folder: str, reader: StripReader, how: str) -> None:
    with RingWriter("arena-0", 1 << 16, folder=folder) as game:
        pixels = np.zeros((18, 32, 4 if how == "RGBA8" else 3), np.uint8)
        if how == "BYTES":
            game.write(pixels.tobytes(), step=1, format=FrameFormat.BYTES)
        else:
            order = RowOrder.BOTTOM_UP if how == "BOTTOM_UP" else RowOrder.TOP_DOWN
            game.write(pixels, step=1, row_order=order)
        with pytest.raises(LinkError, match="wanted RGB8 from the top down"):
            reader.take(Handle("arena-0", game.session.to_bytes(8, "little"), 1), 9)


def test_what_cannot_be_written_is_refused(tmp_path: Path, writer: StripWriter) -> None:
    for wrong in ([], strip(0, 10), [*strip(0, 1), *strip(0, 1, 48)]):
        with pytest.raises(ValueError, match="wanted 1 to 9 of one size"):
            writer.write(wrong, 1)
    with pytest.raises(LinkError, match="folder"):
        StripWriter(9, folder=str(tmp_path / "nowhere")).write(strip(0), 1)


def test_readers_of_processes_that_are_gone_make_room(folder: str, writer: StripWriter) -> None:
    """A server that was killed leaves its place in the ring to the one that comes after it."""
    handle = writer.write(strip(0), 1)
    for _ in range(2 * shared.READERS):
        pid = os.fork()
        if pid == 0:
            try:
                own = StripReader(folder)
                os._exit(0 if own.take(handle, 9) is not None else 1)
            except BaseException:  # noqa: BLE001
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        _until_alone(writer)
    gc.collect()


def _until_alone(writer: StripWriter) -> None:
    """Until the writer's heart has noticed that nobody reads."""
    import time

    end = time.monotonic() + 20.0
    assert writer._ring is not None
    while writer._ring.counts()["readers"]:
        assert time.monotonic() < end
        time.sleep(0.01)
