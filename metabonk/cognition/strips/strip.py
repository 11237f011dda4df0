"""Strips: what a game showed in the last 300 ms and, perhaps, what it will show in the next 150.

Knows frames, their times and JPEG; does not know who asks, what is seen, or how predictors work.
A `StripRing` keeps raw frames by time and makes a strip of them when one is asked for: 5 past
frames, the current one and, with a predictor, 3 predicted ones, oldest first, each with its own
time. Past frames are those nearest to -300, -240, ... -60 ms from the current one; where the ring
has none near enough, the strip is shorter and nothing is made up. A frame is encoded when it is
first sent as a JPEG, and once.

One thread fills a ring and asks it; game threads only hand arrays over (client.py).
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import simplejpeg  # type: ignore[import-untyped]

from metabonk import _core
from metabonk.protocols import Array, Predictor

PAST = 5
SPACING = 0.06  # seconds between past frames: five of them are the seeds' 300 ms
AHEAD = (0.05, 0.1, 0.15)  # seconds from the current frame to the predicted ones
MOST = (360, 640)  # height and width that frames are shrunk to
QUALITY = 85
SMALLEST = 16  # pixels of a side

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a strip. jpeg: empty in a strip that was not to be encoded. at_ns: monotonic
    nanoseconds when it was, or will be, seen. pixels: uint8 [H, W, 3]."""

    jpeg: bytes
    at_ns: int
    pixels: Array = field(repr=False, compare=False)
    predicted: bool = False


@dataclass(frozen=True, slots=True)
class Strip:
    """pictures: oldest first. encoded: how many were encoded for this strip; encode_s and
    predict_s: seconds of processor time that encoding and predicting took."""

    pictures: tuple[Picture, ...] = ()
    encoded: int = 0
    encode_s: float = 0.0
    predict_s: float = 0.0

    @property
    def captured_ns(self) -> int:
        """When the newest real frame was seen; 0 of an empty strip."""
        return max((p.at_ns for p in self.pictures if not p.predicted), default=0)


@dataclass(slots=True)
class _Entry:
    pixels: Array
    at_ns: int
    jpeg: bytes = b""


@dataclass
class StripCounts:
    """late: frames that were not newer than the one before and were left out. unusable: arrays that
    are no frames. encoded: JPEGs made. failed: predictions that raised; their strips went without.
    """

    frames: int = 0
    late: int = 0
    unusable: int = 0
    encoded: int = 0
    predicted: int = 0
    failed: int = 0


@dataclass
class StripRing:
    """The newest frames of one game, by time.

    spacing: seconds between past frames. quality: of JPEGs, 1..100. most: height and width that
    larger frames are shrunk into, keeping their shape. predictor: draws what comes; None for strips
    of real frames only.
    """

    spacing: float = SPACING
    past: int = PAST
    ahead: Sequence[float] = AHEAD
    quality: int = QUALITY
    most: tuple[int, int] = MOST
    predictor: Predictor | None = None
    counts: StripCounts = field(default_factory=StripCounts)

    def __post_init__(self) -> None:
        # Twice as dense as asked for, so that every time of a strip has a frame near it.
        self._entries: deque[_Entry] = deque(maxlen=2 * self.past + 4)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def newest_ns(self) -> int:
        """Time of the newest frame, 0 without one."""
        return self._entries[-1].at_ns if self._entries else 0

    def add(self, pixels: Array, at_ns: int) -> bool:
        """Takes a frame uint8 [H, W, 3], top row first, seen at `at_ns`; it must not change
        afterwards. False if it is not newer than the newest one, or no frame; both are counted."""
        if not is_frame(pixels):
            self.counts.unusable += 1
            return False
        if at_ns <= self.newest_ns:
            self.counts.late += 1
            return False
        if self._entries and self._entries[-1].pixels.shape != pixels.shape:
            small = shrunk(pixels, self.most)
            if small.shape != self._entries[-1].pixels.shape:
                self._entries.clear()  # another size is another game
            pixels = small
        self._thin()
        self._entries.append(_Entry(shrunk(pixels, self.most), at_ns))
        self.counts.frames += 1
        return True

    def _thin(self) -> None:
        """Drops the newest frame where the one before it is too near for both to be of use."""
        if len(self._entries) < 2:
            return
        apart = self._entries[-1].at_ns - self._entries[-2].at_ns
        if apart < round(0.45 * self.spacing * _NS):
            self._entries.pop()

    def clear(self) -> None:
        """Forgets all frames: what comes next has nothing to do with them."""
        self._entries.clear()

    def strip(self, *, predict: bool = True, coded: bool = True) -> Strip:
        """A strip that ends with the newest frame, or with what follows it; empty without one.

        predict: False where what is seen stands still (a menu), so that nothing is predicted.
        coded: False for pixels only, of which `jpegs` makes the rest if it has to be.
        """
        chosen = self._chosen()
        if not chosen:
            return Strip()
        drawn, predict_s = self._drawn(chosen) if predict else ([], 0.0)
        encoded, encode_s = self._encode([*chosen, *drawn]) if coded else (0, 0.0)
        real = [Picture(e.jpeg, e.at_ns, e.pixels) for e in chosen]
        unreal = [Picture(e.jpeg, e.at_ns, e.pixels, True) for e in drawn]
        return Strip((*real, *unreal), encoded, encode_s, predict_s)

    def jpegs(self, strip: Strip) -> list[bytes]:
        """A strip's pictures as JPEGs, encoded now where they are not."""
        missing = [picture for picture in strip.pictures if not picture.jpeg]
        self.counts.encoded += len(missing)
        return [p.jpeg or encode(p.pixels, self.quality) for p in strip.pictures]

    def prepare(self) -> float:
        """Encodes what a strip soon will want of the past, so that it is ready sooner; returns the
        seconds of processor time that it took."""
        return self._encode(self._chosen()[:-1])[1]

    def _encode(self, entries: Sequence[_Entry]) -> tuple[int, float]:
        """Encodes those that were not; how many, and the seconds that it took."""
        began, fresh = time.thread_time(), [entry for entry in entries if not entry.jpeg]
        for entry in fresh:
            entry.jpeg = encode(entry.pixels, self.quality)
        self.counts.encoded += len(fresh)
        return len(fresh), time.thread_time() - began

    def _chosen(self) -> list[_Entry]:
        """The current entry and those where past frames should be, oldest first: of those near
        enough the nearest, one that was encoded before the others."""
        entries = list(self._entries)
        if not entries:
            return []
        # A client asks this at every look: only what is near a wanted time is gone through.
        times = [entry.at_ns for entry in entries]
        spacing = round(self.spacing * _NS)
        half, last = spacing // 2, len(entries) - 1
        chosen = [entries[last]]
        for k in range(1, self.past + 1):
            wanted = times[-1] - k * spacing
            low = bisect_left(times, wanted - half, 0, last)
            high = bisect_right(times, wanted + half, low, last)
            if low == high:
                continue
            ranked = ((not entries[n].jpeg, abs(times[n] - wanted), n) for n in range(low, high))
            last = low if high == low + 1 else min(ranked)[2]
            chosen.append(entries[last])
        chosen.reverse()
        return chosen

    def _drawn(self, chosen: Sequence[_Entry]) -> tuple[list[_Entry], float]:
        """What the predictor shows at the times ahead, and the seconds that it took."""
        if self.predictor is None or len(chosen) < 2:
            return [], 0.0
        now, began = chosen[-1], time.thread_time()
        times = [(entry.at_ns - now.at_ns) / _NS for entry in chosen]
        try:
            frames = self.predictor.predict([e.pixels for e in chosen], times, list(self.ahead))
        except (ValueError, RuntimeError):  # a strip of real frames is better than none
            self.counts.failed += 1
            return [], time.thread_time() - began
        if len(frames) != len(self.ahead) or not all(map(is_frame, frames)):
            self.counts.failed += 1
            return [], time.thread_time() - began
        self.counts.predicted += len(frames)
        times_ns = [now.at_ns + round(seconds * _NS) for seconds in self.ahead]
        drawn = [_Entry(pixels, at) for pixels, at in zip(frames, times_ns, strict=True)]
        return drawn, time.thread_time() - began


def encode(pixels: Array, quality: int = QUALITY) -> bytes:
    """A frame uint8 [H, W, 3] as JPEG (4:2:0). The native encoder runs without the GIL."""
    data = np.ascontiguousarray(pixels)
    jpeg: bytes = simplejpeg.encode_jpeg(data, quality, "RGB", "420", fastdct=True)
    return jpeg


def decode(jpeg: bytes | memoryview) -> Array:
    """The pixels uint8 [H, W, 3] of a JPEG that wire.check_jpeg has let through."""
    pixels: Array = simplejpeg.decode_jpeg(jpeg, "RGB")
    return pixels


def shrunk(pixels: Array, most: tuple[int, int]) -> Array:
    """A frame that fits into `most` (height, width), its shape kept: the mean over what each pixel
    covers. The frame itself where it fits."""
    height, width = pixels.shape[:2]
    share = min(most[0] / height, most[1] / width)
    if share >= 1.0:
        return pixels
    to = (max(round(height * share), SMALLEST), max(round(width * share), SMALLEST))
    source, out = np.ascontiguousarray(pixels), np.empty((*to, 3), np.uint8)
    resizer = _core.video.Resizer(height, width, 3, *to, True)
    _core.video.resize(resizer, source.ctypes.data, 1, out.ctypes.data, (source, out)).step()
    return out


def is_frame(pixels: Array) -> bool:
    """Whether it can be a strip's: uint8 [H, W, 3], of SMALLEST pixels a side or more."""
    return (
        isinstance(pixels, np.ndarray)
        and pixels.dtype == np.uint8
        and pixels.ndim == 3
        and pixels.shape[2] == 3
        and min(pixels.shape[:2]) >= SMALLEST
    )
