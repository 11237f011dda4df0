"""Sampling: the decisions of one environment as rows at a stated rate, by capture time.

Knows capture times and what a row adds up to; does not know games, clocks or disks.

A grid of 1 / rate begins with each episode, and the first capture of every period is kept. A
running game's captures come early and late, and its rate is not quite what it says: up to half a
period early they count for the period that follows, and where every period has one capture the grid
goes along with them, so that a game recorded at its own rate gives every capture once. Nothing is
doubled, and a period in which nothing was captured stays empty and is counted. The first and the
last observation of an episode are always kept.

A row stands for all decisions until the next row: its reward is their sum, its flags are theirs.
Its action is the one that was decided on its observation; where actions are the records', presses
that came before the next row (buttons, choices, clicks) are in it as well, for a click that nobody
recorded would make a menu close by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metabonk.errors import ConfigError
from metabonk.protocols import Array, FloatArray
from metabonk.records import ACTION_LAYOUT, BUTTONS
from metabonk.spaces import ActionLayout

NANOSECONDS = 1_000_000_000
_PERIOD = 1000 * NANOSECONDS  # in thousandths of a row times nanoseconds
_EARLY_LIVE, _EARLY = _PERIOD // 2, _PERIOD // 100  # games that wait are early by rounding alone
_FOLLOW = 16  # the grid goes along by this part of the difference: slower than jitter
CAPTURE, DECISIONS = "extra/capture_ns", "extra/decisions"  # of a row: its time, what it adds up
_ASKED_SECONDS = 0.1  # between two copies of the row at hand, after its first
# What decisions add to in a row: the rest of it is as it was from the beginning.
_SUMS = ("action", "reward", "terminated", "truncated", DECISIONS)

Row = dict[str, Array]

_COLUMN = {branch.name: branch.column for branch in ACTION_LAYOUT.branches}
_PRESSED = slice(_COLUMN[BUTTONS[0]], _COLUMN[BUTTONS[-1]] + 1)
_CHOICE, _CLICK = _COLUMN["choice"], slice(_COLUMN["click"], _COLUMN["click"] + 2)


@dataclass
class Sampled:
    """What became of the captures. decisions: all of them. rows: those kept. empty: periods
    in which the game captured nothing. repeated: captures seen a second time, which make no row."""

    decisions: int = 0
    rows: int = 0
    empty: int = 0
    repeated: int = 0


class Stream:
    """One environment's rows. For every decision: `due`, `open` if it is, then `add`.

    rate: rows per second of capture time, 0 for one per decision. live: captures are a running
    game's, where the same time twice is the same capture.
    """

    def __init__(self, rate: float, layout: ActionLayout, *, live: bool = False) -> None:
        if not 0.0 <= rate <= 1000.0:
            raise ConfigError(f"hz: {rate:g} rows per second, give up to 1000, or 0 for every one")
        self.counts = Sampled()
        self._rate = rate
        self._live = live
        self._early = _EARLY_LIVE if live else _EARLY
        self._presses = layout.branches == ACTION_LAYOUT.branches
        self._row: Row | None = None
        self._began = self._latest = 0  # capture times: of the episode, and the newest
        self._at = 0  # period of the row at hand
        self._captures = 0  # in that row
        self._copied = -1  # decisions in the last copy of the row at hand, -1 for none yet
        self._copy_due = 0.0

    @property
    def empty(self) -> bool:
        """Whether no row is open."""
        return self._row is None

    def due(self, capture_ns: int, *, first: bool, last: bool) -> bool:
        """Whether this capture begins a row; first, last: of its episode."""
        if first or last or self._row is None:
            return True
        if self._live and capture_ns <= self._latest:
            self.counts.repeated += 1
            return False
        self._latest = capture_ns
        if not self._rate or self._period(capture_ns) > self._at:
            return True
        self._captures += 1
        return False

    def open(
        self,
        observation: Mapping[str, Array],
        action: FloatArray,
        capture_ns: int,
        *,
        first: bool,
        last: bool,
    ) -> Row | None:
        """Begins a row; returns the one before, which is complete now.

        observation: arrays of one environment, by key of the row (`observation/<key>` and
        `extra/<key>`), kept without a copy. action: float32 [columns].
        """
        done = self.finish()
        if first or done is None:
            self._began, self._at = capture_ns, 0
        elif self._rate and not last:
            period = self._period(capture_ns)
            self.counts.empty += period - self._at - 1
            self._at = period
            if self._live and self._captures == 1:
                self._began += self._difference(capture_ns) // _FOLLOW
        self._captures, self._copied = 1, -1
        self._latest = capture_ns
        self.counts.rows += 1
        self._row = {
            **observation,
            "action": np.array(action, np.float32),
            "reward": np.array(0.0, np.float32),
            "terminated": np.array(False),
            "truncated": np.array(False),
            "is_first": np.array(first),
            "is_last": np.array(last),
            CAPTURE: np.array(capture_ns, np.int64),
            DECISIONS: np.array(0, np.int32),
        }
        return done

    def add(self, action: FloatArray, reward: float, terminated: bool, truncated: bool) -> None:
        """One decision and what it led to, in the row that is open."""
        self.counts.decisions += 1
        row = self._row
        if row is None:
            raise ValueError("a decision belongs to a row: call open first")
        if row[DECISIONS] and self._presses:
            _press(row["action"], action)
        row["reward"] += np.float32(reward)
        row["terminated"] |= terminated
        row["truncated"] |= truncated
        row[DECISIONS] += 1

    def at_hand(self, now: float) -> Row | None:
        """A copy of the row at hand, for who keeps it from kills: its first, then one where it has
        changed and some time has passed; else None. now: seconds on the caller's clock."""
        row = self._row
        if row is None or int(row[DECISIONS]) == self._copied:
            return None
        if self._copied >= 0 and now < self._copy_due:
            return None
        self._copied, self._copy_due = int(row[DECISIONS]), now + _ASKED_SECONDS
        return {**row, **{name: row[name].copy() for name in _SUMS}}

    def finish(self) -> Row | None:
        """The row at hand, if any, as it is."""
        row, self._row = self._row, None
        return row

    def _period(self, capture_ns: int) -> int:
        """The period that a capture counts for. In whole numbers, for times are large."""
        milli = round(self._rate * 1000)
        return ((capture_ns - self._began) * milli + self._early) // _PERIOD

    def _difference(self, capture_ns: int) -> int:
        """Nanoseconds from the beginning of the period at hand to a capture."""
        return capture_ns - self._began - self._at * _PERIOD // round(self._rate * 1000)


def _press(action: FloatArray, later: FloatArray) -> None:
    """Adds presses of a later decision to the action of a row."""
    np.maximum(action[_PRESSED], later[_PRESSED], out=action[_PRESSED])
    if action[_CHOICE] <= 0.0:
        action[_CHOICE] = later[_CHOICE]
    if action[_CLICK].min() < 0.0:
        action[_CLICK] = later[_CLICK]
