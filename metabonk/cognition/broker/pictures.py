"""Frames that agents of this machine name by handles: held at once, read when a backend looks.

Knows whose ring is whose, the threads that encode, and what is counted; does not know rings
(strips/shared.py), messages' meaning or backends. A strip is taken under a lease when its request
arrives, which reads no pixel. Nothing of it is read unless a backend looks; then the frames that it
shows are encoded on threads of their own, so that the loop goes on, and each of them once. What was
overwritten before it was taken is counted, and its request goes on without.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import msgspec

from metabonk.cognition.protocol.wire import MOST_PIXELS, Request, WireError
from metabonk.cognition.question import Frame
from metabonk.cognition.strips.shared import SharedStrip, StripReader
from metabonk.errors import LinkError
from metabonk.link.ring import FOLDER

ENCODERS = 2  # threads


class SharedView:
    """One request's strip; `question.View`. frames: all of it, not looked at yet."""

    def __init__(self, strip: SharedStrip, frames: tuple[Frame, ...], pictures: Pictures) -> None:
        self.seconds = 0.0
        self.frames = frames
        self._strip, self._pictures = strip, pictures

    async def look(self, frames: Sequence[Frame]) -> tuple[Frame, ...]:
        """See `question.View`."""
        if not frames:
            return ()
        began = time.perf_counter()
        missing = [frame.number for frame in frames if self._strip.known(frame.number) is None]
        try:
            await self._pictures.encode(self._strip, missing)
        finally:
            self.seconds += time.perf_counter() - began
        return self._coded(frames)

    def seen(self) -> tuple[Frame, ...]:
        """See `question.View`."""
        return self._coded(self.frames)

    def release(self) -> None:
        """See `question.View`."""
        self._strip.release()

    def _coded(self, frames: Sequence[Frame]) -> tuple[Frame, ...]:
        return tuple(
            replace(frame, jpeg=jpeg)
            for frame in frames
            if (jpeg := self._strip.known(frame.number)) is not None
        )


def frames_of(request: Request, jpegs: Sequence[bytes]) -> tuple[Frame, ...]:
    """A request's frames as a backend is given them, with their times from the capture."""
    return tuple(
        Frame(jpeg, (info.at_ns - request.captured_ns) / 1e9, info.predicted, number)
        for number, (jpeg, info) in enumerate(zip(jpegs, request.frames, strict=True))
    )


class Pictures:
    """The rings of a broker's agents, and who encodes from them.

    events: where `handles`, `frames_read` and `frames_overwritten` are counted. most: agents whose
    rings are kept open. folder: of shared memory.
    """

    def __init__(self, events: Counter[str], *, most: int = 256, folder: str = FOLDER) -> None:
        self._events, self._most, self._folder = events, most, folder
        self._readers: OrderedDict[str, StripReader] = OrderedDict()
        self._encoders: ThreadPoolExecutor | None = None

    @property
    def possible(self) -> bool:
        """Whether there is shared memory at all."""
        return os.path.isdir(self._folder)

    def take(self, request: Request, most_pixels: int = MOST_PIXELS) -> SharedView | None:
        """The strip that a request's handle names; None if it is overwritten, which is counted.

        Raises WireError (code `handle`) for one that cannot be believed.
        """
        assert request.handle is not msgspec.UNSET
        self._events["handles"] += 1
        agent, count = request.id.agent, len(request.frames)
        reader = self._readers.setdefault(agent, StripReader(self._folder))
        self._readers.move_to_end(agent)
        if len(self._readers) > self._most:
            self._readers.popitem(last=False)[1].close()
        try:
            strip = reader.take(request.handle, count, most_pixels)
        except LinkError as error:
            self.forget(agent)
            raise WireError("handle", f"handle: {error}; send JPEGs", request.id) from error
        if strip is None:
            self._events["frames_overwritten"] += count
            return None
        return SharedView(strip, frames_of(request, [b""] * count), self)

    async def encode(self, strip: SharedStrip, numbers: Sequence[int]) -> None:
        """Makes JPEGs of these pictures, on all threads that encode, as somebody waits for the last
        one; who is cancelled does not wait."""
        if not numbers:
            return
        if self._encoders is None:
            self._encoders = ThreadPoolExecutor(ENCODERS, thread_name_prefix="pictures")
        loop, encoders = asyncio.get_running_loop(), self._encoders
        shares = [share for k in range(ENCODERS) if (share := numbers[k::ENCODERS])]
        work = [loop.run_in_executor(encoders, _coded, strip, share) for share in shares]
        made = sum(await asyncio.gather(*work))
        self._events["frames_read"] += made
        self._events["frames_overwritten"] += len(numbers) - made

    def forget(self, agent: str) -> None:
        """Lets an agent's ring go."""
        reader = self._readers.pop(agent, None)
        if reader is not None:
            reader.close()

    def close(self) -> None:
        """Lets every ring go, and ends the threads; safe to call twice."""
        for agent in list(self._readers):
            self.forget(agent)
        if self._encoders is not None:
            self._encoders.shutdown(cancel_futures=True)
            self._encoders = None


def _coded(strip: SharedStrip, numbers: Sequence[int]) -> int:
    """Makes JPEGs of these pictures; how many were there to be read."""
    return sum(strip.jpeg(number) is not None for number in numbers)
