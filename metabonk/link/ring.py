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
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from metabonk import _core
from metabonk.errors import LinkError

Pixels = npt.NDArray[np.uint8]

FOLDER = "/dev/shm"
_SLICE = 0.1  # seconds of one native wait, after which Python sees signals
_LONGEST = 1e6


class FrameFormat(enum.IntEnum):
    """What the bytes of a frame are; as in csrc/include/metabonk/frame_ring.h."""

    RGB8 = 1
    RGBA8 = 2
    BGRA8 = 3
    GREY8 = 4
    JPEG = 16
    BYTES = 17


class RowOrder(enum.IntEnum):
    """Which row of the picture is first in memory."""

    TOP_DOWN = 0
    BOTTOM_UP = 1


class _Take(enum.IntEnum):
    FRAME = 0
    TIMEOUT = 1
    NO_WRITER = 2
    NO_ROOM = 3
    NO_LEASE = 4


_FORMAT_OF_CHANNELS = {1: FrameFormat.GREY8, 3: FrameFormat.RGB8, 4: FrameFormat.RGBA8}
_CHANNELS = {"RGB8": 3, "RGBA8": 4, "BGRA8": 4, "GREY8": 1}


class RingWriter:
    """The one side that puts frames into the ring `name`.

    frame: what the largest frame to begin with is, (height, width, channels) or bytes; a larger one
    makes the ring anew under the same name, which readers follow. readers: how many at once, 1..16.
    leases: frames that each of them may hold, 1..6. folder: of shared memory, the same for all;
    containers share it by a mount. wakes, locks: False for what a writer under Wine cannot do.

    Raises ValueError for a name, size or number that cannot be, LinkError if a living writer has
    the name or there is no memory. One thread at a time calls `begin`, `commit` and `write`.
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
        array = np.frombuffer(frame, np.uint8) if not isinstance(frame, np.ndarray) else frame
        if array.dtype != np.uint8 or array.ndim not in (1, 3) or not array.flags.c_contiguous:
            raise ValueError(
                f"frame: got {array.dtype} {array.shape}, must be uint8 [H, W, C] or [bytes], "
                "C-contiguous: see numpy.ascontiguousarray"
            )
        flat = array.ndim == 1
        height, width, channels = (*size, 3 if any(size) else 0) if flat else array.shape
        kind = format or (FrameFormat.BYTES if flat else _format_of(channels))
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
        if FrameFormat(format).name not in _CHANNELS:
            raise ValueError(f"format: {format.name} has no rows: use write")
        with _refusals():
            array: Pixels = self._ring.begin(
                width, height, _CHANNELS[format.name], int(format), int(row_order), 0
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


class Frame:
    """One frame under lease: where its pixels lie and what is known of it.

    number: its place among the session's frames, from 1. step: the game's own count. capture_ns:
    when it was taken, by the writer's monotonic clock, which is ours only if a PING or the like has
    shown so. session: of the ring. format, row_order: as written.
    """

    __slots__ = (
        "_keep",
        "_lease",
        "capture_ns",
        "format",
        "height",
        "number",
        "row_order",
        "session",
        "step",
        "width",
    )

    def __init__(self, lease: Any, keep: Any = None) -> None:
        self._lease = lease
        self._keep = keep  # what the memory is registered with, see RingReader.pin_memory
        self.number: int = lease.number
        self.step: int = lease.step
        self.capture_ns: int = lease.capture_ns
        self.session: int = lease.session
        self.height: int = lease.height
        self.width: int = lease.width
        self.format = FrameFormat(lease.format)
        self.row_order = RowOrder(lease.row_order)

    @property
    def raw(self) -> Pixels:
        """The memory as it is, read-only uint8 [H, W, C], or [bytes] of a JPEG or BYTES."""
        view: Pixels = self._held().array()
        return view

    @property
    def pixels(self) -> Pixels:
        """Read-only view uint8 [H, W, C], top row first (with a negative stride where rows are
        stored from the bottom up). [bytes] of a JPEG or BYTES."""
        view = self.raw
        return view[::-1] if view.ndim == 3 and self.row_order == RowOrder.BOTTOM_UP else view

    def copy(self) -> Pixels:
        """`pixels` in memory of its own, writeable and contiguous."""
        return np.array(self.pixels, order="C")

    def torch(self) -> Any:
        """`pixels` as a torch tensor uint8 on the same memory; it holds the lease as an array does.

        Rows stored from the bottom up are copied, since torch has no negative strides. Torch knows
        no memory that cannot be written, so from the first call on this reader's mapping can be:
        who writes to the tensor changes the frame for all readers.
        """
        import torch

        if self.row_order == RowOrder.BOTTOM_UP:
            return torch.from_numpy(self.copy())
        lease = self._held()
        lease.allow_writing()
        return torch.from_numpy(np.asarray(_Writeable(lease.array())))

    @property
    def valid(self) -> bool:
        """Whether the frame has been whole until now; see the module's docstring."""
        return bool(self._lease is not None and self._lease.valid)

    def release(self) -> None:
        """Lets go of the frame here; views that others still have keep it."""
        self._lease = self._keep = None

    def _held(self) -> Any:
        if self._lease is None:
            raise LinkError("frame: it was released: use it before that, or copy it")
        return self._lease

    def __enter__(self) -> Frame:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        lost = not self.valid
        self.release()
        if lost and kind is None:
            raise LinkError("frame: it was overwritten while it was held: this process stood still")


class RingReader:
    """Takes the newest frame of the ring `name`, now or once it exists.

    Outlives its writers: it finds the ring again after the game was restarted or frames became
    larger; `Frame.session` tells. spin_us: microseconds that it looks before it sleeps, 0..1000.
    poll_us: between looks where the writer cannot wake (Wine), 1..1000. locks: False for what a
    reader under Wine cannot do. One thread at a time calls `latest`.
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
        self._pinned: _Pinned | None = None
        self._pins = False
        self._register: Callable[[int, int], None] | None = None
        self._unregister: Callable[[int], None] | None = None
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
        were; overtaken by the writer many times in a row; refused, impossible frames; lost leases;
        reclaimed, rings of dead writers that were removed here."""
        counts: Mapping[str, int] = self._ring.counts()
        return counts

    def pin_memory(
        self,
        register: Callable[[int, int], None] | None = None,
        unregister: Callable[[int], None] | None = None,
    ) -> None:
        """From now on the ring's memory is page-locked for CUDA, so that
        `frame.torch().to("cuda", non_blocking=True)` is one transfer straight out of it. Hold the
        frame until that is done: synchronise the stream or an event before you let go.

        register(address, bytes), unregister(address): cudaHostRegister and its inverse by default,
        through torch. Raises LinkError where CUDA is not there.
        """
        if register is None or unregister is None:
            register, unregister = _cuda_host_registration()
        self._register, self._unregister = register, unregister
        self._pin()

    def _pin(self) -> _Pinned | None:
        session = self._ring.session
        if self._pinned is not None and self._pinned.session == session:
            return self._pinned
        region = self._ring.region()
        if region is None or self._register is None or self._unregister is None:
            return None
        self._pinned = _Pinned(region, session, self._register, self._unregister)
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


class _Pinned:
    """A ring's pixels as long as a device knows them: frames keep it, so that it outlives them."""

    def __init__(
        self,
        region: Any,
        session: int,
        register: Callable[[int, int], None],
        unregister: Callable[[int], None],
    ) -> None:
        register(region.address, region.bytes)
        self._region, self._unregister, self.session = region, unregister, session

    def __del__(self) -> None:
        if hasattr(self, "_region"):
            self._unregister(self._region.address)


def _cuda_host_registration() -> tuple[Callable[[int, int], None], Callable[[int], None]]:
    try:
        import torch
    except ImportError:
        raise LinkError("pin_memory: needs torch: pip install 'metabonk[train]'") from None
    if not torch.cuda.is_available():
        raise LinkError("pin_memory: torch sees no CUDA device here")
    cuda: Any = torch.cuda
    runtime = cuda.cudart()

    def register(address: int, size: int) -> None:
        _cuda(runtime.cudaHostRegister(address, size, 0), "cudaHostRegister")

    def unregister(address: int) -> None:
        _cuda(runtime.cudaHostUnregister(address), "cudaHostUnregister")

    return register, unregister


def _cuda(result: Any, call: str) -> None:
    if int(result) != 0:
        raise LinkError(f"pin_memory: {call} failed with {result}")


def _format_of(channels: int) -> FrameFormat:
    if channels not in _FORMAT_OF_CHANNELS:
        raise ValueError(f"frame: got {channels} channels, must be 1, 3 or 4")
    return _FORMAT_OF_CHANNELS[channels]


class _Writeable:
    """The memory of a view without numpy's mark that it is read-only; keeps the view alive."""

    def __init__(self, view: Pixels) -> None:
        self.view = view
        self.__array_interface__ = view.__array_interface__ | {"data": (view.ctypes.data, False)}


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
