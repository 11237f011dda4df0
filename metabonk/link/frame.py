"""A frame of the ring: its formats, and the view that holds it.

Knows one frame that was taken; not where it came from. What a lease is worth is in
metabonk/link/ring.py.
"""

from __future__ import annotations

import enum
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from metabonk.errors import LinkError

Pixels = npt.NDArray[np.uint8]


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


# By number: an enumeration's own look-up would take a good part of a frame's time.
_FORMATS = {int(f): f for f in FrameFormat}
_ORDERS = {int(o): o for o in RowOrder}

CHANNELS = {
    FrameFormat.RGB8: 3,
    FrameFormat.RGBA8: 4,
    FrameFormat.BGRA8: 4,
    FrameFormat.GREY8: 1,
}  # of the formats that have rows


def format_of(channels: int) -> FrameFormat:
    """What a frame with so many channels is unless said otherwise: grey, RGB or RGBA."""
    for format in (FrameFormat.GREY8, FrameFormat.RGB8, FrameFormat.RGBA8):
        if CHANNELS[format] == channels:
            return format
    raise ValueError(f"frame: got {channels} channels, must be 1, 3 or 4")


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
        self.format = _FORMATS[lease.format]
        self.row_order = _ORDERS[lease.row_order]

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


class _Writeable:
    """The memory of a view without numpy's mark that it is read-only; keeps the view alive."""

    def __init__(self, view: Pixels) -> None:
        self.view = view
        self.__array_interface__ = view.__array_interface__ | {"data": (view.ctypes.data, False)}
