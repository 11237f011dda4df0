"""What goes from a journal that is full or old: the oldest rows first, a few at a time.

Knows the journal's tables, what their rows take of the file, and how old they are; does not know
threads, nor who writes. A row stays, whatever the limits say,

- while its outcome may still come, for `OUTCOME_SECONDS` after the decision: without a pair it
  would teach nobody anything;
- while it is the newest of its agent: by that a server that starts again knows which numbers were
  given, and decides nothing twice.

So a journal may stand above its limit for a while, which is shown. Each step is one short
transaction; between two steps whoever writes decisions has its turn. Readers see the moment at
which they began, as always. The file does not shrink: what is free in it is used again.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

from metabonk.cognition.log.journal_file import transaction
from metabonk.errors import ConfigError

# An agent keeps some 4096 outcomes for a server that is away: more than two hours of them.
OUTCOME_SECONDS = 3 * 3600.0
STEP = 32  # rows that a step looks at: about a millisecond
LOOK_SECONDS = 1.0  # between two looks at the limits
PAUSE_SECONDS = 60.0  # until what could not go, or could not be done, is tried again
ROUND_SECONDS = 3600.0  # after which rows that had to stay are looked at again
_LOW = 0.98  # of the limit: down to there, so that not every new row brings a step

# Rows from a place on, in the order in which they came, and whether each may go.
_OLDEST = """
SELECT d.rowid, CAST(d.at AS REAL),
  (o.agent IS NOT NULL OR d.at < :waits)
  AND EXISTS (SELECT 1 FROM decisions n WHERE n.agent = d.agent
              AND (n.epoch, n.sequence) > (d.epoch, d.sequence))
FROM decisions d LEFT JOIN outcomes o USING (agent, epoch, sequence)
WHERE d.rowid > :after ORDER BY d.rowid LIMIT :most
"""
# Outcomes from an id on, and whether their decision never came, or went before them.
_OUTCOMES = """
SELECT o.agent, o.epoch, o.sequence,
  o.at < :waits AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.agent = o.agent
                                AND d.epoch = o.epoch AND d.sequence = o.sequence)
FROM outcomes o WHERE (o.agent, o.epoch, o.sequence) > (:agent, :epoch, :sequence)
ORDER BY o.agent, o.epoch, o.sequence LIMIT :most
"""
_GO = (
    "DELETE FROM outcomes WHERE (agent, epoch, sequence) IN"
    " (SELECT agent, epoch, sequence FROM decisions WHERE rowid=?)",
    "DELETE FROM decisions WHERE rowid=?",
)
_FIRST_AT = "SELECT CAST(at AS REAL) FROM decisions WHERE rowid > ? ORDER BY rowid LIMIT 1"
_Id = tuple[str, int, int]
_FIRST: _Id = ("", -1, -1)


@dataclass(frozen=True)
class Keep:
    """How much of a journal is kept. size: bytes of rows; days: since the decision. 0: no limit.

    Raises ConfigError for a number below 0.
    """

    size: int = 0
    days: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("size", self.size), ("days", self.days)):
            if not value >= 0:
                raise ConfigError(f"{name}: {value}; wanted 0 (no limit) or more")


class Retention:
    """Removes rows of the journal behind `connection`, which belongs to the calling thread.

    size: bytes that rows and their index take. oldest: when the oldest row was decided behind those
    that steps found have to stay, as the last one of an agent that left for good; seconds since
    1970, 0 without any. removed: decisions that went. All as of the last look or step. clock:
    seconds since 1970. ticks: monotonic seconds.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        keep: Keep,
        *,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keep = keep
        self.size, self.oldest, self.removed = 0, 0.0, 0
        self.due = False  # whether a step has something to do
        self._connection, self._clock, self._ticks = connection, clock, ticks
        self._page = int(connection.execute("PRAGMA page_size").fetchone()[0])
        now = ticks()
        self._look_at = now + LOOK_SECONDS  # not at once: agents are waiting for a server's start
        self._round_at = now + ROUND_SECONDS
        self._after = 0  # rowid of the decision that was looked at last
        self._outcome: _Id | None = None  # the outcome that was, while those are looked at
        with contextlib.suppress(sqlite3.Error):  # the first look says it
            self._measure()

    def wait(self) -> float:
        """Seconds until `look` is worth a call."""
        return max(self._look_at - self._ticks(), 0.0)

    def look(self) -> None:
        """Measures, and decides whether there is something to do. Raises sqlite3.Error."""
        now = self._ticks()
        self._look_at = now + LOOK_SECONDS
        again = now >= self._round_at  # what had to stay is looked at again, where any should go
        self._measure()
        if not self.due:
            first = self._first_at(0) if again else self.oldest
            old = any(0.0 < at < self._cutoff() for at in (self.oldest, first))
            self.due = self._above(1.0) or old
        if self.due and again:
            self._round_at = now + ROUND_SECONDS
            self._outcome = _FIRST

    def step(self, most: int = STEP) -> None:
        """Looks at `most` rows and removes those that may go. Raises sqlite3.Error; then nothing
        was removed, and the next try is some time away."""
        try:
            with transaction(self._connection):
                if self._outcome is not None:
                    removed = self._step_outcomes(self._outcome, most)
                else:
                    removed = self._step_decisions(most)
            self._measure()
        except sqlite3.Error:
            self._after, self._outcome = 0, None
            self._rest()
            raise
        self.removed += removed

    def _step_decisions(self, most: int) -> int:
        rows = self._connection.execute(
            _OLDEST, {"waits": self._waits(), "after": self._after, "most": most}
        ).fetchall()
        above, cutoff = self._above(_LOW), self._cutoff()
        going: list[tuple[int]] = []
        for row, at, free in rows:
            if not above and at >= cutoff:
                self.due = False
                break
            self._after = row
            if free:
                going.append((row,))
        for statement in _GO:
            self._connection.executemany(statement, going)
        if self.due and len(rows) < most:  # all were looked at: the rest has to stay for now
            self._after = 0
            self._rest()
        return len(going)

    def _step_outcomes(self, after: _Id, most: int) -> int:
        """Outcomes are not counted: what went is told in decisions."""
        agent, epoch, sequence = after
        rows = self._connection.execute(
            _OUTCOMES,
            {
                "waits": self._waits(), "agent": agent, "epoch": epoch, "sequence": sequence,
                "most": most,
            },
        ).fetchall()  # fmt: skip
        self._connection.executemany(
            "DELETE FROM outcomes WHERE agent=? AND epoch=? AND sequence=?",
            [row[:3] for row in rows if row[3]],
        )
        self._outcome = rows[-1][:3] if len(rows) == most else None
        if self._outcome is None:  # and now decisions, from the first one on
            self._after = 0
        return 0

    def _rest(self) -> None:
        self.due = False
        self._look_at = self._ticks() + PAUSE_SECONDS

    def _measure(self) -> None:
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        self.size = (int(pages) - int(free)) * self._page
        self.oldest = self._first_at(self._after)

    def _first_at(self, after: int) -> float:
        """When the first decision behind a place was made; 0 without any."""
        row = self._connection.execute(_FIRST_AT, (after,)).fetchone()
        return float(row[0]) if row else 0.0

    def _above(self, share: float) -> bool:
        return self.keep.size > 0 and self.size > share * self.keep.size

    def _cutoff(self) -> float:
        """When a decision was made that is too old; before everything without such a limit."""
        return self._clock() - self.keep.days * 86_400.0 if self.keep.days else float("-inf")

    def _waits(self) -> float:
        """Since when outcomes may still come."""
        return self._clock() - OUTCOME_SECONDS
