"""The frame ring from Python: frames between processes through shared memory, without copies.

Knows frames, their times and who lives; does not know games, sockets or policies. One writer, any
reader takes the newest frame; no reader can delay the writer, whatever it does or however it dies.
Layout and protocol are in docs/frame_ring.md, the C layout in csrc/include/metabonk/frame_ring.h.

    with RingWriter("arena-0", (360, 640, 3)) as ring:         # the game
        ring.write(pixels, step=17, capture_ns=time.monotonic_ns())

    with RingReader("arena-0") as ring:                        # the agent
        while (frame := ring.latest(timeout=1.0)) is not None:
            act(frame.pixels)                                  # a view, uint8 [360, 640, 3]

How long a view is good: as long as it lives. A `Frame` and every array made from its `pixels` hold
a lease on the memory; the writer has more slots than there are leases and leaves that one alone.
The lease ends with the last view. A reader may have `leases` of them (3) at once, one of which the
old frame takes while the new one comes: copy what you keep. Nobody can take a lease from a living
Linux process. From one whose system has no file locks (Wine) and whose heartbeat stood still for a
second it is taken, which `Frame.valid` says.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal

import numpy as np

from metabonk import _core
from metabonk.errors import LinkError
from metabonk.link.frame import CHANNELS, Frame, FrameFormat, Pixels, RowOrder, format_of
from metabonk.link.pinned import Pinned, Register, Unregister, cuda_host_registration

__all__ = [
    "FOLDER",
    "Frame",
    "FrameFormat",
    "Pixels",
    "RingReader",
    "RingWriter",
    "RowOrder",
    "sweep",
]

FOLDER = "/dev/shm"
_SLICE = 0.1  # seconds of one native wait, after which Python sees signals
_LONGEST = 1e6


class _Take(enum.IntEnum):
    FRAME = 0
    TIMEOUT = 1
    NO_WRITER = 2
    NO_ROOM = 3
    NO_LEASE = 4


class RingWriter:
    """The one side that puts frames into the ring `name`.

    frame: what the largest frame to begin with is, (height, width, channels) or bytes; a larger one
    makes the ring anew under the same name, which readers follow. readers: how many at once, 1..16.
    leases: frames that each of them may hold, 1..6. folder: of shared memory, the same for all;
    containers share it by a mount. wakes, locks: False for what a writer under Wine cannot do.

    Raises ValueError for a name, size or number that cannot be, LinkError if a living writer has
    the name or there is no memory. One thread at a time calls `begin`, `commit` and `write`; others
    may ask meanwhile what it is at.
    """

    def __init__(
        self,
        name: str,
        frame: tuple[int, int, int] | int,
        *,
        readers: int = 6,
        leases: int = 3,
        folder: str = FOLDER,
        wakes: bool = True,
        locks: bool = True,
    ) -> None:
        size = frame if isinstance(frame, int) else int(np.prod(frame))
        if size < 1:
            raise ValueError(f"frame: got {frame!r}, must have a byte or more")
        self.name = name
        with _refusals():
            self._ring: Any = _core.ipc.RingWriter(
                name, size, readers, leases, folder, wakes, locks
            )

    def write(
        self,
        frame: Pixels | bytes | memoryview,
        step: int = 0,
        capture_ns: int = 0,
        *,
        format: FrameFormat | None = None,
        row_order: RowOrder = RowOrder.TOP_DOWN,
        size: tuple[int, int] = (0, 0),
    ) -> None:
        """Copies a frame in and publishes it.

        frame: uint8 [H, W, C], C-contiguous, or the bytes of a JPEG or of anything. step: the
        game's own count. capture_ns: when the picture was taken, by this machine's monotonic clock.
        format: by default told by C (1 grey, 3 RGB, 4 RGBA), BYTES for one dimension. size: height
        and width of a JPEG.
        """
        if format is None and isinstance(frame, np.ndarray) and frame.ndim == 3:
            # What is usual is looked at natively: everything here comes before the reader is woken.
            try:
                if self._ring.write_picture(frame, step, capture_ns, int(row_order)):
                    return
            except RuntimeError as error:
                raise LinkError(str(error)) from None
            except TypeError:  # another dtype or layout; said below
                pass
        self._write(frame, step, capture_ns, format, row_order, size)

    def _write(
        self,
        frame: Pixels | bytes | memoryview,
        step: int,
        capture_ns: int,
        format: FrameFormat | None,
        row_order: RowOrder,
        size: tuple[int, int],
    ) -> None:
        """Any frame, after looking at it. Raises ValueError for what cannot be written."""
        array = np.frombuffer(frame, np.uint8) if not isinstance(frame, np.ndarray) else frame
        if array.dtype != np.uint8 or array.ndim not in (1, 3) or not array.flags.c_contiguous:
            raise ValueError(
                f"frame: got {array.dtype} {array.shape}, must be uint8 [H, W, C] or [bytes], "
                "C-contiguous: see numpy.ascontiguousarray"
            )
        flat = array.ndim == 1
        height, width, channels = (*size, 3 if any(size) else 0) if flat else array.shape
        kind = format or (FrameFormat.BYTES if flat else format_of(channels))
        if flat != (kind in (FrameFormat.JPEG, FrameFormat.BYTES)):
            raise ValueError(f"format: {kind.name} does not go with a frame of {array.ndim} axes")
        with _refusals():
            self._ring.write(
                array, step, capture_ns, width, height, channels, int(kind), int(row_order)
            )

    def begin(
        self,
        height: int,
        width: int,
        format: FrameFormat = FrameFormat.RGB8,
        row_order: RowOrder = RowOrder.TOP_DOWN,
    ) -> Pixels:
        """Memory of the next frame, uint8 [H, W, C], to be written in place and then committed.

        What is in it is some old frame. It is the writer's until `commit` only: what is written
        there later, readers see.
        """
        if format not in CHANNELS:
            raise ValueError(f"format: {FrameFormat(format).name} has no rows: use write")
        with _refusals():
            array: Pixels = self._ring.begin(
                width, height, CHANNELS[format], int(format), int(row_order), 0
            )
        return array

    def commit(self, step: int = 0, capture_ns: int = 0) -> None:
        """Publishes what `begin` gave. Raises ValueError without one."""
        with _refusals():
            self._ring.commit(step, capture_ns)

    def abandon(self) -> None:
        """Gives up what `begin` gave; nobody will see it."""
        self._ring.abandon()

    @property
    def session(self) -> int:
        """Random, another one whenever the ring is made anew."""
        session: int = self._ring.session
        return session

    @property
    def path(self) -> str:
        path: str = self._ring.path
        return path

    @property
    def frame_bytes(self) -> int:
        """Room that a frame has now, in bytes."""
        room: int = self._ring.frame_bytes
        return room

    def counts(self) -> Mapping[str, int]:
        """frames written; times replaced by another ring; readers now; readers_lost, that died."""
        counts: Mapping[str, int] = self._ring.counts()
        return counts

    def close(self) -> None:
        """Removes the ring; readers are told. Safe to call twice."""
        self._ring.close()

    def __enter__(self) -> RingWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class RingReader:
    """Takes the newest frame of the ring `name`, now or once it exists.

    Outlives its writers: it finds the ring again after the game was restarted or frames became
    larger; `Frame.session` tells. spin_us: microseconds that it looks before it sleeps, 0..1000.
    poll_us: between looks where the writer cannot wake (Wine), 1..1000. locks: False for what a
    reader under Wine cannot do. One thread at a time calls `latest`; what it is at, others may ask
    meanwhile. After a fork the child's reader takes a place of its own among the readers; frames
    that it inherited are its parent's to let go, and no longer `valid` there.
    """

    def __init__(
        self,
        name: str,
        *,
        folder: str = FOLDER,
        spin_us: int = 50,
        poll_us: int = 500,
        locks: bool = True,
    ) -> None:
        self.name = name
        self._pinned: Pinned | None = None
        self._pins = False
        self._register: Register | None = None
        self._unregister: Unregister | None = None
        with _refusals():
            self._ring: Any = _core.ipc.RingReader(name, folder, spin_us, poll_us, locks)

    def latest(self, timeout: float = 0.0, *, again: bool = False) -> Frame | None:
        """The newest frame, waiting up to `timeout` seconds for one that this reader has not had.

        None if none came: `alive` and `why` say whether there is a writer. A writer that dies
        meanwhile ends the wait, within a tenth of a second. again: the newest one is good enough
        even if it was had before. Raises LinkError if this reader holds all its leases, or if the
        ring has no room for one more reader.
        """
        left = min(max(timeout, 0.0), _LONGEST)
        while True:
            wait = min(left, _SLICE)
            was_alive = self._ring.alive
            taken, lease = self._ring.take(round(wait * 1e9), again)
            if lease is not None:
                return Frame(lease, self._pin() if self._register is not None else None)
            if taken in (_Take.NO_LEASE, _Take.NO_ROOM) and (
                left <= wait or taken == _Take.NO_LEASE
            ):
                raise LinkError(self._ring.why)
            left -= wait
            if left <= 0 or (was_alive and taken == _Take.NO_WRITER):
                return None

    @property
    def alive(self) -> bool:
        """Whether there is a writer whose heart beats."""
        return bool(self._ring.alive)

    @property
    def why(self) -> str:
        """Why the last `latest` gave None; empty if it did not, or if it just was too early."""
        why: str = self._ring.why
        return why

    @property
    def session(self) -> int:
        """Of the ring that it is attached to; 0 without one."""
        session: int = self._ring.session
        return session

    def counts(self) -> Mapping[str, int]:
        """frames handed out; skipped, that came and went unseen; attached, how many rings there
        were; looks, how often it tried to take one; overtaken by the writer many times in a row;
        awaited, frames that were announced while their end was copied, so that the reader was up
        when they came; vain, announced ones that did not come at once; refused, impossible frames;
        lost leases; reclaimed, rings of dead writers that were removed here."""
        counts: Mapping[str, int] = self._ring.counts()
        return counts

    def pin_memory(
        self,
        register: Register | None = None,
        unregister: Unregister | None = None,
    ) -> None:
        """From now on the ring's memory is page-locked for CUDA, so that
        `frame.torch().to("cuda", non_blocking=True)` is one transfer straight out of it. Hold the
        frame until that is done: synchronise the stream or an event before you let go.

        register(address, bytes), unregister(address): cudaHostRegister and its inverse by default,
        through torch. Raises LinkError where CUDA is not there.
        """
        if register is None or unregister is None:
            register, unregister = cuda_host_registration()
        self._register, self._unregister = register, unregister
        self._pin()

    def _pin(self) -> Pinned | None:
        session = self._ring.session
        if self._pinned is not None and self._pinned.session == session:
            return self._pinned
        region = self._ring.region()
        if region is None or self._register is None or self._unregister is None:
            return None
        self._pinned = Pinned(region, session, self._register, self._unregister)
        return self._pinned

    @property
    def closed(self) -> bool:
        return bool(self._ring.closed)

    def close(self) -> None:
        """Lets go of the ring; frames that are held stay good. Safe to call twice."""
        self._pinned = None
        self._ring.close()

    def __enter__(self) -> RingReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def sweep(folder: str = FOLDER) -> int:
    """Removes the rings of this user whose writers are dead; returns how many those were.

    Every writer and reader does so when it starts: this is for when none will.
    """
    swept: int = _core.ipc.sweep_rings(folder)
    return swept


class _refusals:
    """The core's errors as the package's: unavailable things raise RuntimeError there."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        if kind is RuntimeError:
            raise LinkError(str(error)) from None
        return False
