"""Whether a picture is of another screen than the one before: for menus that show no widgets.

Knows mean colours of a picture's parts and how long each of them moves; does not know menus, models
or presses. Behind many menus a scene goes on: a part that moves on and on says nothing of the
screen until it stands still, and what drifts is followed. Of a picture that moves everywhere only
its end is seen.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from metabonk.cognition.menus.screens import SIZE, FloatArray, shrink
from metabonk.protocols import Array, BoolArray

_GRID = (12, 16)  # cells of a picture, down and across
# Noise moves the mean of a cell by less than 1 of 255; a cursor, a lit button and words that blink
# move a few cells far. Between the arena's menus 77 of the 192 move, of random layouts' 75.
_MOVED = 8.0  # of 255: a cell that is another one
_ANOTHER = 16  # still cells that moved, above which the screen is another one
_SHARE, _FEW = 3, 3  # where few are still, one in so many of them, and more than so many
_DRIFT = 16.0  # of 255 in a second: what is slower is followed, and no other screen
# A cell stirs that moves faster than that, between now and so many seconds ago.
_PACE = 0.15
# It is restless while it stirs for more than this share of the time, told over so many seconds: for
# longer than a screen takes that fades in, or two. Quiet for so long it has come to rest.
_RESTLESS, _MEMORY = 0.3, 4.0
_QUIET = 1.0
_AGAIN = 2.0  # seconds after which a change of screen is held against no cell anew


class Scenery:
    """Pictures of one game's screens, looked at one after the other. Times are seconds."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """What comes next has nothing to do with what was."""
        self._past: deque[tuple[float, FloatArray]] = deque()  # as far back as `_PACE`
        self._known = np.zeros((3, *_GRID), np.float32)  # the screen's, as far as it has drifted
        self._share = np.zeros(_GRID)  # of the time in which a cell stirs
        self._stirred = np.full(_GRID, -math.inf)  # when it last did
        self._excused = -math.inf  # when stirring was last put down to a change of screen

    def look(self, now: float, pixels: Array) -> bool:
        """Whether this is another screen than the picture before. pixels: uint8 [H, W, 3]; the
        first one is not."""
        cells = _cells(pixels)
        if not self._past:
            self._known = cells
            self._past.append((now, cells))
            return False
        self._note(now, cells)
        restless = self._share > _RESTLESS
        moved = np.abs(cells - self._known).max(0) > _MOVED
        most = max(_FEW, min(_ANOTHER, int((~restless).sum()) // _SHARE))
        ended = restless & (self._stirred < now - _QUIET)
        another = int((moved & ~restless).sum()) > most or int(ended.sum()) > _ANOTHER
        if another:
            self._known = cells
            self._share[ended] = 0.0
            if now - self._excused > _AGAIN:
                self._excused = now
                self._share[~restless] = 0.0
        else:
            self._follow(now - self._past[-1][0], cells, moved, restless)
        self._past.append((now, cells))
        return another

    def _follow(
        self, passed: float, cells: FloatArray, moved: BoolArray, restless: BoolArray
    ) -> None:
        """What differs by little drifts; what moved far enough to count is kept as it was. A
        restless cell is known as what it rests at."""
        most = np.float32(_DRIFT * passed)
        drift = np.where(moved, np.float32(0.0), (cells - self._known).clip(-most, most))
        self._known = np.where(restless, cells, self._known + drift)

    def _note(self, now: float, cells: FloatArray) -> None:
        """Which cells stir, and for what share of the time."""
        while len(self._past) > 1 and self._past[1][0] <= now - _PACE:
            self._past.popleft()
        at, before = self._past[0]
        fast = _DRIFT * max(_PACE, min(now - at, 0.5))
        stirs = np.abs(cells - before).max(0) > fast
        self._stirred[stirs] = now
        passed = min(max(0.0, now - self._past[-1][0]), 0.5)
        self._share += (stirs - self._share) * -math.expm1(-passed / _MEMORY)


def _cells(pixels: Array) -> FloatArray:
    """A picture's cells: their mean colours, 0..255, float32 [3, 12, 16]."""
    # Of large pictures some pixels are enough: a hundred or so a cell.
    step = max(1, min(pixels.shape[0] // (2 * SIZE[0]), pixels.shape[1] // (2 * SIZE[1])))
    small = shrink(np.ascontiguousarray(pixels[::step, ::step]))
    parts = small.reshape(3, _GRID[0], SIZE[0] // _GRID[0], _GRID[1], SIZE[1] // _GRID[1])
    return np.asarray(parts.mean((2, 4)) * 255.0, np.float32)
