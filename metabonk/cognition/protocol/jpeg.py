"""JPEGs by their headers: how large each would unfold to, without unfolding any.

Knows JPEG's segments and asks libjpeg what it thinks of them; does not know messages or pixels. The
frames of a strip come from one encoder with one setting, so that they begin with the same bytes:
a header that libjpeg has read is recognised by them, and read once. What it says depends on nothing
behind the header, whose end is where the first scan begins.
"""

from __future__ import annotations

import simplejpeg  # type: ignore[import-untyped]

from metabonk.cognition.protocol.messages import MOST_PIXELS, Buffer, WireError

MOST_HEADS = 8  # headers that are recognised: agents of one kind write the same one
HEAD_BYTES = 2048  # of a header that is kept; without a profile or a preview it takes a third

_SCAN = 0xDA
_MOST_SEGMENTS = 32


class Heads:
    """The headers that were read last, and the sizes they told. Any thread."""

    def __init__(self, most: int = MOST_HEADS) -> None:
        self.read = 0  # headers that libjpeg was asked about
        self._most = most
        self._known: tuple[tuple[bytes, tuple[int, int]], ...] = ()  # newest first, replaced whole

    def size(self, jpeg: Buffer) -> tuple[int, int]:
        """Height and width as the header tells. Raises ValueError where libjpeg cannot read it."""
        begin = bytes(memoryview(jpeg)[:HEAD_BYTES])
        for head, size in self._known:
            if begin.startswith(head):
                return size
        self.read += 1
        height, width, *_ = simplejpeg.decode_jpeg_header(jpeg)
        size = int(height), int(width)
        end = end_of_head(begin)
        if end:
            self._known = ((begin[:end], size), *self._known[: self._most - 1])
        return size


_HEADS = Heads()


def check_jpeg(data: Buffer, most_pixels: int = MOST_PIXELS) -> tuple[int, int]:
    """Height and width of a whole JPEG, read from its header without unfolding it.

    Raises WireError (code `jpeg`) for other bytes, a cut-off end, or more pixels than allowed.
    """
    view = memoryview(data)
    if view.nbytes < 4 or bytes(view[:2]) != b"\xff\xd8":
        raise WireError("jpeg", f"{view.nbytes} bytes that are not a JPEG")
    if bytes(view[-2:]) != b"\xff\xd9":
        raise WireError("jpeg", f"a JPEG cut off after {view.nbytes} bytes")
    try:
        height, width = _HEADS.size(view)
    except ValueError as error:
        raise WireError("jpeg", f"a JPEG with a damaged header ({error})") from error
    if not 0 < height * width <= most_pixels:
        raise WireError("jpeg", f"a JPEG of {width}x{height} pixels, {most_pixels:,} are allowed")
    return height, width


def end_of_head(begin: bytes) -> int:
    """Where the header of a JPEG ends: behind the segment that begins its first scan. 0 where it is
    longer than `begin`, or has anything between its segments."""
    at = 2
    for _ in range(_MOST_SEGMENTS):
        if at + 4 > len(begin) or begin[at] != 0xFF or not 0xC0 <= begin[at + 1] <= 0xFE:
            return 0
        marker, length = begin[at + 1], int.from_bytes(begin[at + 2 : at + 4], "big")
        if length < 2 or 0xD0 <= marker <= 0xD9:  # the latter have no length
            return 0
        at += 2 + length
        if marker == _SCAN:
            return at if at <= len(begin) else 0
    return 0
