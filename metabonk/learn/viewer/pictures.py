"""Observations as pictures, real ones and dreamed ones alike, so that eyes can compare them.

Knows the conventions of observations (models/encoders.py) and numpy; does not know what made them.
Frames and palette cells are shown as they are. What lies around (a set whose rows begin with how
far to the right and how far ahead) becomes a map seen from above, the player in its middle. Other
numbers become bars around a middle line.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from gymnasium import spaces as gs

from metabonk.games.grid64 import PALETTE
from metabonk.protocols import Array

Picture = npt.NDArray[np.uint8]
PAPER, LINE, INK = (250, 250, 248), (214, 218, 224), (31, 111, 235)
MAP_LIMIT = 2.0  # of a set's units, from the middle of a map to its edge
DOTS = ((31, 111, 235), (47, 158, 68), (183, 121, 31), (200, 60, 60))  # a colour a set
DOT = 3  # pixels across
MOST_BARS = 96
BAR_LIMIT = 2.0  # of a number's deviations, at which a bar is full


class Painter:
    """Draws observations of one space at `size` pixels squared.

    middle, width: by key, mean and deviation of numbers [shape] that bars are drawn about; of keys
    that are not there, 0 and 1.
    """

    def __init__(
        self,
        space: gs.Dict,
        size: int = 240,
        middle: Mapping[str, Array] | None = None,
        width: Mapping[str, Array] | None = None,
    ) -> None:
        self.space, self.size = space, size
        self.middle, self.width = dict(middle or {}), dict(width or {})
        self.frames = [k for k, s in space.spaces.items() if _is_frame(s)]
        self.sets = [k for k in space.spaces if _is_placed(k, space)]
        taken = {*self.frames, *self.sets}
        self.numbers = [
            key
            for key, sub in space.spaces.items()
            if key not in taken and not key.endswith("_mask") and f"{key}_mask" not in space.spaces
            if isinstance(sub, gs.Box)
        ]

    def draw(self, observation: Mapping[str, Array]) -> Picture:
        """One observation [...] as uint8 [size, size, 3]."""
        main = None
        if self.frames:
            main = self._frame(observation[self.frames[0]])
        elif self.sets:
            main = self._map(observation)
        if not self.numbers:
            return self._blank(self.size) if main is None else main
        if main is None:
            return self._bars(observation, self.size)
        strip = self.size // 4
        bars = self._bars(observation, strip)
        return np.concatenate([fitted(main, self.size - strip, self.size), bars], 0)

    def _blank(self, height: int) -> Picture:
        return np.full((height, self.size, 3), PAPER, np.uint8)

    def _frame(self, frame: Array) -> Picture:
        if frame.ndim == 2:
            shown = PALETTE[np.minimum(frame, len(PALETTE) - 1)]
        else:
            shown = frame[..., :3] if frame.shape[2] >= 3 else frame[..., :1].repeat(3, 2)
        return fitted(np.asarray(shown, np.uint8), self.size, self.size)

    def _map(self, observation: Mapping[str, Array]) -> Picture:
        out = self._blank(self.size)
        half = self.size // 2
        out[half, :], out[:, half] = LINE, LINE
        for index, key in enumerate(self.sets):
            rows, there = observation[key], observation[f"{key}_mask"]
            for row in rows[there.astype(np.bool_)]:
                place = row[:2] / MAP_LIMIT
                if not np.isfinite(place).all() or np.abs(place).max() > 1.0:
                    continue
                x = int(half + place[0] * (half - DOT))
                y = int(half - place[1] * (half - DOT))
                out[max(0, y - 1) : y + DOT - 1, max(0, x - 1) : x + DOT - 1] = DOTS[
                    index % len(DOTS)
                ]
        out[half - 3 : half + 4, half - 3 : half + 4] = (20, 20, 20)
        return out

    def _bars(self, observation: Mapping[str, Array], height: int) -> Picture:
        values = np.concatenate([self._scaled(key, observation[key]) for key in self.numbers])
        values = values[:MOST_BARS]
        out = self._blank(height)
        half = height // 2
        out[half, :] = LINE
        step = self.size / max(1, len(values))
        for index, value in enumerate(np.nan_to_num(values)):
            left, right = int(index * step), max(int((index + 1) * step) - 1, int(index * step) + 1)
            tall = int(np.clip(value / BAR_LIMIT, -1.0, 1.0) * (half - 1))
            low, high = sorted((half - tall, half))
            out[low : high + 1, left:right] = INK
        return out

    def _scaled(self, key: str, value: Array) -> npt.NDArray[np.float64]:
        flat = np.asarray(value, np.float64).ravel()
        middle = np.ravel(self.middle.get(key, np.zeros(1)))
        width = np.ravel(self.width.get(key, np.ones(1)))
        return np.asarray((flat - middle) / width)


def _is_frame(sub: gs.Space[object]) -> bool:
    return isinstance(sub, gs.Box) and sub.dtype == np.uint8 and len(sub.shape) in (2, 3)


def _is_placed(key: str, space: gs.Dict) -> bool:
    """Sets whose rows begin with a place on the ground."""
    shape = space[key].shape or ()
    return key in ("entities", "pickups") and f"{key}_mask" in space.spaces and len(shape) == 2


def fitted(picture: Picture, height: int, width: int) -> Picture:
    """Stretched to a size by the nearest pixels, its sides in proportion, paper around it."""
    rows, columns = picture.shape[:2]
    scale = min(height / rows, width / columns)
    tall, wide = max(1, int(rows * scale)), max(1, int(columns * scale))
    chosen = picture[(np.arange(tall) / scale).astype(int).clip(0, rows - 1)]
    chosen = chosen[:, (np.arange(wide) / scale).astype(int).clip(0, columns - 1)]
    out = np.full((height, width, 3), PAPER, np.uint8)
    top, left = (height - tall) // 2, (width - wide) // 2
    out[top : top + tall, left : left + wide] = chosen
    return out
