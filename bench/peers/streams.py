"""Ways to cut BonkLink's bytes into messages as people write them in Python. Knows asyncio only.

Both read version 1, `i32 n | state | i32 m | frame`, and keep the newest state's bytes, no more:
they do not look into states.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

from ..meter import Timed

_LENGTH = struct.Struct("<i")
MOST_STATE, MOST_FRAME = 262_144, 4_194_304


def asyncio_reader(data: bytes, messages: int) -> Timed:
    """asyncio.StreamReader with `readexactly`; the bytes are there already, no socket waits."""
    loop = asyncio.new_event_loop()

    async def read() -> bytes:
        reader = asyncio.StreamReader(limit=len(data) + 1, loop=loop)
        reader.feed_data(data)
        reader.feed_eof()
        newest = b""
        for _ in range(messages):
            size = _checked(_LENGTH.unpack(await reader.readexactly(4))[0], 1, MOST_STATE)
            newest = await reader.readexactly(size)
            size = _checked(_LENGTH.unpack(await reader.readexactly(4))[0], 0, MOST_FRAME)
            if size:
                await reader.readexactly(size)
        return newest

    return Timed(lambda: loop.run_until_complete(read()), messages, close=loop.close)


def buffered_reader(data: bytes, messages: int) -> Timed:
    """A buffer, `struct.unpack_from`, and slices where the lengths say."""

    def read() -> bytes:
        at, newest = 0, b""
        while at < len(data):
            size = _checked(_LENGTH.unpack_from(data, at)[0], 1, MOST_STATE)
            newest = data[at + 4 : at + 4 + size]
            at += 4 + size
            size = _checked(_LENGTH.unpack_from(data, at)[0], 0, MOST_FRAME)
            at += 4 + size
        return newest

    return Timed(read, messages)


READERS: dict[str, Callable[[bytes, int], Timed]] = {
    "asyncio": asyncio_reader,
    "buffered reader": buffered_reader,
}


def _checked(size: int, least: int, most: int) -> int:
    if not least <= size <= most:
        raise ValueError(f"a length of {size}")
    return size
