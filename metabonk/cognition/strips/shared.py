"""Strips in shared memory: pixels that another process of this machine may look at, and need not.

Knows how a strip lies in a frame ring (metabonk.link.ring), the handles that name one, and what a
handle is believed; does not know who asks or looks, nor messages on their way. A strip is one RGB
frame of the ring, its pictures from the top down, `step` its number. Both ends have the ring's own
guarantees: nobody waits for the other, and what was taken is held by a lease until it is let go.
Of a strip that was not taken before the next one was written nothing is there any more.

A handle is what a stranger wrote. It names a ring and no path; the file has to be a plain one of
this process's own user, of a size that strips have, and the handle has to tell the ring's random
session, which only who may read the file can know. All of that is looked at before it is mapped.
What is mapped can still be cut short by a process of the same user, which could as well send a
signal.
"""

from __future__ import annotations

import os
import secrets
import stat
import struct
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metabonk.cognition.protocol.messages import MOST_FRAMES, MOST_PIXELS, Handle
from metabonk.cognition.strips.strip import QUALITY, encode
from metabonk.errors import LinkError
from metabonk.link.ring import FOLDER, Frame, FrameFormat, RingReader, RingWriter, RowOrder
from metabonk.protocols import Array

FILE_BYTES = 512 << 20  # of a ring's file: eighty strips of nine frames of 640x360
READERS = 2  # a server, and the one that comes after it
LEASES = 4  # strips that a server holds: in flight, waiting, and two that are just ending

_PREFIX = "metabonk-ring-"  # of a ring's file, as in csrc/include/metabonk/frame_ring.h
_HEAD = struct.Struct("<QIIQ")  # magic, version, header's size, session
_MAGIC, _VERSION = 0x32474E49524B424D, 2


class StripWriter:
    """The agent's end: a ring of its own, made with the first strip.

    most: pictures that a strip may have; the ring has room for so many from the beginning. quality:
    of the JPEGs that are made of them, 1..100. folder: of shared memory, the same at both ends. One
    thread.
    """

    def __init__(
        self, most: int = MOST_FRAMES, quality: int = QUALITY, folder: str = FOLDER
    ) -> None:
        self.name = f"strips-{secrets.token_hex(8)}"
        self.number = 0  # of the newest strip
        self._most, self._quality, self._folder = most, quality, folder
        self._ring: RingWriter | None = None

    def write(self, pictures: Sequence[Array], captured_ns: int) -> Handle:
        """Copies a strip in; its name. pictures: uint8 [H, W, 3], all of one size.

        Raises ValueError for none, more than `most`, or different sizes; LinkError where there is
        no shared memory for it.
        """
        sizes = {picture.shape for picture in pictures}
        if len(sizes) != 1 or len(pictures) > self._most:
            raise ValueError(
                f"pictures: {len(pictures)} of the sizes {sorted(sizes)}; wanted 1 to {self._most} "
                "of one size"
            )
        height, width, channels = next(iter(sizes))
        room = self._most * height * width * channels
        if self._ring is None or room > self._ring.frame_bytes:
            # Not left to `begin`, which would make a larger ring while other threads wait.
            self.close()
            self._ring = RingWriter(
                self.name, room, readers=READERS, leases=LEASES, folder=self._folder
            )
        rows = self._ring.begin(len(pictures) * height, width)
        np.concatenate(pictures, out=rows)
        self.number += 1
        self._ring.commit(step=self.number, capture_ns=captured_ns)
        session = self._ring.session.to_bytes(8, "little")
        return Handle(self.name, session, self.number, self._quality)

    def close(self) -> None:
        """Takes the ring away; strips that are held stay good. Safe to call twice."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None


class SharedStrip:
    """One strip under lease. count: its pictures. quality: of their JPEGs. Any thread."""

    def __init__(self, frame: Frame, count: int, quality: int = QUALITY) -> None:
        self._quality = quality
        self._frame: Frame | None = frame
        self._pixels: Array | None = frame.pixels
        self._height = frame.height // count
        self._jpegs: dict[int, bytes] = {}
        self._locks = [threading.Lock() for _ in range(count)]  # of each picture

    def jpeg(self, number: int) -> bytes | None:
        """A picture as JPEG, encoded when it is first asked for, and once; None if it was
        overwritten or let go. number: 0 for the oldest one. Not for a loop's thread."""
        with self._locks[number]:
            found = self._jpegs.get(number)
            frame, pixels = self._frame, self._pixels
            if found is not None or frame is None or pixels is None:
                return found
            top = number * self._height
            jpeg = encode(pixels[top : top + self._height], self._quality)
            if not frame.valid:  # read first, then looked: what was encoded may be two strips
                return None
            self._jpegs[number] = jpeg
            return jpeg

    def known(self, number: int) -> bytes | None:
        """A picture's JPEG if it was made before."""
        return self._jpegs.get(number)

    def release(self) -> None:
        """Lets the memory go once nobody encodes from it, and does not wait for who does; what was
        encoded stays. Safe to call twice."""
        frame, self._frame, self._pixels = self._frame, None, None
        if frame is not None:
            frame.release()


class StripReader:
    """The server's end of one agent's ring. One thread; its strips go to any."""

    def __init__(self, folder: str = FOLDER) -> None:
        self._folder = folder
        self._reader: RingReader | None = None
        self._session = b""

    def take(
        self, handle: Handle, count: int, most_pixels: int = MOST_PIXELS
    ) -> SharedStrip | None:
        """The strip that a handle names; None if it was overwritten, or if too many are held.

        count: pictures that it is said to have. most_pixels: of one of them. Raises LinkError,
        which says why, for a handle that is not to be believed.
        """
        if handle.session != self._session or self._reader is None:
            self._attach(handle)
        assert self._reader is not None
        try:
            frame = self._reader.latest(again=True)
        except LinkError:
            if self._reader.session:  # all leases are held: those requests end by and by
                return None
            raise
        if frame is None:
            why = self._reader.why or "the ring has no strip yet"
            self.close()
            raise LinkError(f"{handle.ring}: {why}")
        if frame.session.to_bytes(8, "little") != handle.session:
            self.close()  # the ring was made anew since: this strip went with the old one
            return None
        if frame.step > handle.number:
            return None
        _check(frame, handle, count, most_pixels)
        return SharedStrip(frame, count, handle.quality)

    def close(self) -> None:
        """Lets the ring go; strips that are held stay good. Safe to call twice."""
        self._session = b""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _attach(self, handle: Handle) -> None:
        self.close()
        path = Path(self._folder) / f"{_PREFIX}{handle.ring}"
        if session_of(path) != handle.session:
            raise LinkError(f"{handle.ring}: the handle does not know this ring's session")
        reader = RingReader(handle.ring, folder=self._folder, spin_us=0)
        if reader.session.to_bytes(8, "little") != handle.session:
            why = reader.why or "another ring has taken its name"
            reader.close()
            raise LinkError(f"{handle.ring}: {why}")
        self._reader, self._session = reader, handle.session


def session_of(path: Path) -> bytes:
    """The random session of a ring's file, 8 bytes, without mapping it.

    Raises LinkError for what is no ring, is of another user, or larger than strips need.
    """
    ring = path.name.removeprefix(_PREFIX)
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise LinkError(f"{ring}: no ring that this server can open ({error.strerror})") from error
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
            raise LinkError(f"{ring}: not a plain file of this server's own user")
        if about.st_size > FILE_BYTES:
            raise LinkError(f"{ring}: {about.st_size:,} bytes, {FILE_BYTES:,} are allowed")
        head = os.pread(file, _HEAD.size, 0)
    finally:
        os.close(file)
    if len(head) < _HEAD.size or _HEAD.unpack(head)[:2] != (_MAGIC, _VERSION):
        raise LinkError(f"{ring}: not a frame ring of version {_VERSION}, or not ready yet")
    return head[-8:]


def _check(frame: Frame, handle: Handle, count: int, most_pixels: int) -> None:
    """Raises LinkError unless the frame is the strip that the handle and its header tell of."""
    if frame.step < handle.number:
        raise LinkError(f"{handle.ring}: strip {handle.number}, the newest one is {frame.step}")
    if frame.format is not FrameFormat.RGB8 or frame.row_order is not RowOrder.TOP_DOWN:
        raise LinkError(f"{handle.ring}: {frame.format.name}, wanted RGB8 from the top down")
    if frame.height % count:
        raise LinkError(f"{handle.ring}: {frame.height} rows do not make {count} pictures")
    pixels = frame.height // count * frame.width
    if pixels > most_pixels:
        raise LinkError(f"{handle.ring}: pictures of {pixels:,} pixels, {most_pixels:,} allowed")
