"""What a client shows its server: strips, as JPEGs or by a handle into shared memory.

Knows strips, how many pictures are wanted and in which form; does not know requests, sockets or who
looks. A server of the same machine reads pixels itself if it says so (Welcome.handles): then they
are copied and not coded, and what nobody looks at never is. Where there is no room to share, strips
are JPEGs for a minute. One thread.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from metabonk.cognition.agent.decision import ClientCounts
from metabonk.cognition.agent.settings import ClientSettings
from metabonk.cognition.protocol.wire import Buffer, FrameInfo, Handle
from metabonk.cognition.strips.shared import StripWriter
from metabonk.cognition.strips.strip import AHEAD, PAST, Strip, StripRing, is_frame
from metabonk.errors import LinkError
from metabonk.protocols import Array, Predictor

AGAIN = 60.0  # seconds after which memory to share is tried for once more


@dataclass(frozen=True, slots=True)
class Shown:
    """A strip for one request. jpegs: as many as infos, none with a handle."""

    infos: Sequence[FrameInfo] = ()
    jpegs: Sequence[Buffer] = ()
    handle: Handle | None = None
    strip: Strip = field(default_factory=Strip)


class Pictures:
    """ring: the newest frames. counts: where the time that it takes, and its forms, are counted."""

    def __init__(
        self, settings: ClientSettings, predictor: Predictor | None, counts: ClientCounts
    ) -> None:
        self.ring = StripRing(
            spacing=settings.spacing, quality=settings.quality, predictor=predictor
        )
        self._counts, self._wanted = counts, settings.handles
        self._pictured = settings.pictures
        self._writer: StripWriter | None = None
        self._not_before = 0.0  # monotonic seconds

    def take(self, pixels: Array | None, at_ns: int) -> Array | None:
        """Keeps what was seen at `at_ns`, the picture's own time, for strips, if they are wanted.
        Gives it back; None for what is no frame, or not newer, which nobody can look at, not for a
        menu either, and which is counted."""
        if pixels is None:
            return None
        if self._pictured:
            return pixels if self.ring.add(pixels, at_ns) else None
        usable = is_frame(pixels)
        self.ring.counts.unusable += not usable
        return pixels if usable else None

    def show(self, most: int, *, predict: bool, handles: bool) -> Shown:
        """The newest strip. most: pictures that the server looks at; 0: none is made. predict:
        whether what is seen moves. handles: whether the server reads shared memory."""
        if most <= 0:
            return Shown()
        share = self.shares(handles)
        strip = self.ring.strip(predict=predict, coded=not share)
        self._counts.encode_s += strip.encode_s
        self._counts.predict_s += strip.predict_s
        if len(strip.pictures) > most:
            strip = replace(strip, pictures=strip.pictures[-most:])
        infos = [FrameInfo(p.at_ns, p.predicted) for p in strip.pictures]
        handle = self._share(strip) if share and strip.pictures else None
        return Shown(infos, [] if handle else self.jpegs(strip), handle, strip)

    def shares(self, handles: bool) -> bool:
        """Whether the next strip goes into shared memory."""
        return handles and self._wanted and time.monotonic() >= self._not_before

    def jpegs(self, strip: Strip) -> list[bytes]:
        """A strip's pictures coded, those that are not yet now."""
        began = time.thread_time()
        made = self.ring.jpegs(strip)
        self._counts.encode_s += time.thread_time() - began
        return made

    def prepare(self, *, handles: bool) -> None:
        """Encodes ahead what the next strip will want of the past, if it will be JPEGs."""
        if not self.shares(handles):
            self._counts.encode_s += self.ring.prepare()

    def close(self) -> None:
        """Takes the shared memory away; safe to call twice."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _share(self, strip: Strip) -> Handle | None:
        """A strip's name in shared memory; None where it cannot lie there."""
        began = time.thread_time()
        if self._writer is None:
            self._writer = StripWriter(PAST + 1 + len(AHEAD), self.ring.quality)
        try:
            handle = self._writer.write([p.pixels for p in strip.pictures], strip.captured_ns)
        except (LinkError, ValueError):  # no memory, or a predictor that draws in another size
            self._counts.not_shared += 1
            self._not_before = time.monotonic() + AGAIN
            return None
        finally:
            self._counts.encode_s += time.thread_time() - began
        self._counts.by_handle += 1
        return handle
