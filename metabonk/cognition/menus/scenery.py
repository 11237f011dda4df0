"""Whether a picture is of another screen than the one before: for menus that show no widgets.

Knows mean colours of a picture's parts and how long each of them moves; does not know menus, models
or presses. Behind many menus a scene goes on: a part that moves on and on says nothing of the
screen, and what drifts is compared with how it was a moment ago.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from metabonk.cognition.menus.screens import SIZE, FloatArray, shrink
from metabonk.protocols import Array, BoolArray

_GRID = (12, 16)  # cells of a picture, down and across
# Noise moves the mean of a cell by less than 1 of 255; a cursor, a lit button and words that blink
# move a few cells far. Between the arena's menus 77 of the 192 move, of random layouts' 75.
_MOVED = 8.0  # of 255: a cell that is another one
_ANOTHER = 16  # still cells that moved, above which the screen is another one
_SHARE = 3  # where few are still, one in so many of them
_MOMENT = 0.5  # seconds back that a picture is compared with
# A cell stirs that moves at a pace which makes another one of it in a moment. It is not still that
# stirred for longer than `_RESTLESS` of the seconds that are remembered: a screen that comes, at
# once or in a fade, stirs it for less.
_PACE = 0.15
_STIRRED = _MOVED * _PACE / _MOMENT
_MEMORY, _RESTLESS = 4.0, 1.0


class Scenery:
    """Pictures of one game's screens, looked at one after the other. Times are seconds."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, FloatArray]] = deque()  # of the last moment
        self._stirs: deque[tuple[float, float, BoolArray]] = deque()  # when, how long, which cells
        self._stirred = np.zeros(_GRID)  # seconds of the memory
        self._since = -np.inf  # when the screen was noticed

    def forget(self) -> None:
        """What comes next has nothing to do with what was."""
        self._past.clear()
        self._stirs.clear()
        self._stirred[:] = 0.0
        self._since = -np.inf

    def look(self, now: float, pixels: Array) -> bool:
        """Whether this is another screen than the picture before. pixels: uint8 [H, W, 3]; the
        first one is not."""
        cells = _cells(pixels)
        another = False
        if self._past:
            self._note(now, _moved(cells, self._before(now - _PACE), _STIRRED))
            still = self._stirred <= _RESTLESS
            most = min(_ANOTHER, int(still.sum()) // _SHARE)
            moved = _moved(cells, self._before(now - _MOMENT, self._since), _MOVED)
            another = int((moved & still).sum()) > most
        if another:
            self._since = now
        self._past.append((now, cells))
        while len(self._past) > 1 and self._past[1][0] <= now - _MOMENT:
            self._past.popleft()
        return another

    def _before(self, time: float, since: float = -np.inf) -> FloatArray:
        """The newest picture of `time` or before, else the first of those that are kept from
        `since` on."""
        kept = [(at, cells) for at, cells in self._past if at >= since] or [self._past[-1]]
        return next((cells for at, cells in reversed(kept) if at <= time), kept[0][1])

    def _note(self, now: float, stirs: BoolArray) -> None:
        """How long each cell stirred within what is remembered."""
        lasted = min(now - self._past[-1][0], _MOMENT)
        self._stirs.append((now, lasted, stirs))
        self._stirred += lasted * stirs
        while self._stirs[0][0] < now - _MEMORY:
            _, lasted, stirs = self._stirs.popleft()
            self._stirred -= lasted * stirs


def _cells(pixels: Array) -> FloatArray:
    """A picture's cells: their mean colours, 0..255, float32 [3, 12, 16]."""
    # Of large pictures some pixels are enough: a hundred or so a cell.
    step = max(1, min(pixels.shape[0] // (2 * SIZE[0]), pixels.shape[1] // (2 * SIZE[1])))
    small = shrink(np.ascontiguousarray(pixels[::step, ::step]))
    parts = small.reshape(3, _GRID[0], SIZE[0] // _GRID[0], _GRID[1], SIZE[1] // _GRID[1])
    return np.asarray(parts.mean((2, 4)) * 255.0, np.float32)


def _moved(cells: FloatArray, others: FloatArray, by: float) -> BoolArray:
    """Which cells differ by more than this, bool [12, 16]."""
    return np.asarray(np.abs(cells - others).max(0) > by)
