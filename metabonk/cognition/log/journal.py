"""The journal: every decision once, and what came of it, whatever is killed or full meanwhile.

Knows SQLite, the rows and how they are joined by request id; does not know sockets, models or who
decides. One thread writes, several rows to a transaction, so that a slow disk delays no one who
listens; the caller is told when its row is safe.

A row is safe from a kill of the process once it is `recorded` (write-ahead log), and from a power
cut too with `power_safe`. Writing one id twice changes nothing. While the disk takes nothing
(full, or its limit reached) decisions wait in memory, at most `backlog_bytes` of them, and go in
when it does again; outcomes are refused, for their senders keep them and send them again. What is
too old or too much goes by and by, on the same thread, between two rows that are written
(retention.py).

    decisions(agent, epoch, sequence, at, status, …)    one row per request, UNIQUE by its id
    outcomes(agent, epoch, sequence, at, reward, …)     one row per request, UNIQUE by its id
    joined                                              both side by side, where there are both
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from metabonk.cognition.log.journal_file import (
    FILE,
    lock,
    open_readonly,
    open_writable,
    transaction,
)
from metabonk.cognition.log.retention import STEP, Keep, Retention
from metabonk.cognition.menus.goal import MOST_CHARACTERS
from metabonk.cognition.protocol.wire import Outcome, Reply, RequestId
from metabonk.errors import MetabonkError

__all__ = ["FILE", "Decision", "Journal", "open_readonly"]

BACKLOG_BYTES = 32 << 20
MOST_WORDS = 300  # bytes that are kept of a reason and of what a model thought
_GROUP = 256  # rows per transaction
_NUMBERS = 1024  # bytes that a row takes beside its texts
_ONCE = "ON CONFLICT(agent, epoch, sequence) DO NOTHING"
_RETRY = 0.5  # seconds between tries while the disk takes nothing
_NAP = 0.005  # seconds between two steps of removing rows while nothing comes


class Decision(msgspec.Struct, kw_only=True):
    """One row of `decisions`, as far as `Reply` does not say it. at: seconds since 1970. goal: kept
    to its end, as what may be answered follows from it; of no request has it more characters.

    state, crowd, frames: what the journal's `pack` makes the columns of, on its own thread.
    """

    reply: Reply
    at: float
    question: str = "strategy"
    cause: str = "period"
    episode: int = 0
    goal: str = ""
    in_force: dict[str, Any] | None = None
    model: str = ""
    mode: str = ""
    probabilities: dict[str, float] = {}
    protocol: int = 2
    state: bytes = b""
    crowd: int = 0  # Question.crowd
    frames: Sequence[tuple[bytes, float, bool]] = ()  # JPEG, seconds from the capture, predicted


Row = tuple[Any, ...]
Told = Callable[[bool], None]
Item = tuple[Decision | Outcome, Told, Told]  # a row, who hears of it, and of one that was there
Pack = Callable[[Decision], tuple[bytes, bytes]]


def _plain(decision: Decision) -> tuple[bytes, bytes]:
    return decision.state, b""


class Journal:
    """The journal in a folder, which it makes.

    counts: rows that were written, decisions that came `again` though they were there, and what
    went wrong. pack: makes the columns `state` and `frames` of a decision, on the writing thread.
    tell: runs what a caller wants to know on its own thread (`loop.call_soon_threadsafe`).
    power_safe: also flushes every transaction. keep: how many rows stay; all by default. Raises
    LinkError if another process writes this journal, CorruptError if the file is none or of another
    version, OSError.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        pack: Pack = _plain,
        tell: Callable[[Callable[[], None]], Any] = lambda call: call(),
        power_safe: bool = False,
        keep: Keep | None = None,
        backlog_bytes: int = BACKLOG_BYTES,
    ) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / FILE
        self.counts = dict.fromkeys(
            ("decisions", "outcomes", "again", "lost", "failures", "unpacked", "unpictured",
             "removed"), 0,
        )  # fmt: skip
        self.problem = ""  # why the disk takes nothing now
        self._pack, self._tell = pack, tell
        self._lock = lock(self.folder)
        try:
            self._writer = open_writable(self.path, power_safe)
            self._reader = open_writable(self.path, power_safe)
            self.retention = Retention(self._writer, keep or Keep())
        except BaseException:
            os.close(self._lock)
            raise
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._backlog: deque[tuple[Row, int]] = deque()
        self._backlog_bytes = 0
        self._most = backlog_bytes
        # Bytes of frames that were handed in, and of those that the writing thread came to.
        self._came = self._looked_at = 0
        self._retry_at = 0.0
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Decisions that the disk did not take yet."""
        return len(self._backlog)

    @property
    def behind(self) -> int:
        """Rows that nobody looked at yet."""
        return self._queue.qsize()

    @property
    def alive(self) -> bool:
        """Whether the thread that writes still runs."""
        return self._thread.is_alive()

    def figures(self) -> dict[str, float]:
        """How full it is: bytes of rows, bytes that they may take (0: any number), and seconds
        since the oldest decision."""
        kept = self.retention
        age = max(time.time() - kept.oldest, 0.0) if kept.oldest else 0.0
        return {"bytes": kept.size, "limit_bytes": kept.keep.size, "oldest_seconds": round(age, 1)}

    def record(self, decision: Decision, told: Told) -> None:
        """Writes a decision; `told(True)` once it is safe, `told(False)` if it must wait for the
        disk. A second one of the same id changes nothing and counts as written. While a disk hangs,
        frames of more than `backlog_bytes` are not kept, counted as `unpictured`. One thread."""
        size = _pictured(decision)
        if size and self._came - self._looked_at + size > self._most:
            decision.frames, size = (), 0
            self.counts["unpictured"] += 1
        self._came += size
        self._queue.put((decision, told, told))

    def outcome(self, outcome: Outcome, told: Told, again: Told | None = None) -> None:
        """The same for an outcome, which is not kept if the disk does not take it. again: called
        in place of `told` where the row was there already, as for one that is sent until it is
        acknowledged."""
        self._queue.put((outcome, told, again or told))

    def reply(self, id: RequestId) -> Reply | None:
        """The reply that was recorded for a request; None also where the disk cannot be read."""
        row = self._read(
            "SELECT status, answer, code, reason, backend, confidence, reasoning, server_ms, stages"
            " FROM decisions WHERE agent=? AND epoch=? AND sequence=?",
            (id.agent, id.epoch, id.sequence),
        )
        if row is None:
            return None
        status, answer, code, reason, backend, confidence, reasoning, server_ms, stages = row
        return Reply(
            id=id, status=status, answer=_from_json(answer), code=code, reason=reason,
            backend=backend, confidence=confidence, reasoning=reasoning, server_ms=server_ms,
            stages=_from_json(stages), replayed=True,
        )  # fmt: skip

    def newest(self, agent: str) -> tuple[int, int]:
        """The latest epoch of an agent and the largest sequence in it; (-1, -1) for a new one."""
        row = self._read(
            "SELECT epoch, sequence FROM decisions WHERE agent=?"
            " ORDER BY epoch DESC, sequence DESC LIMIT 1",
            (agent,),
        )
        return (int(row[0]), int(row[1])) if row else (-1, -1)

    def _read(self, sql: str, values: Row) -> Row | None:
        try:
            row: Row | None = self._reader.execute(sql, values).fetchone()
        except sqlite3.Error as error:  # a request comes again, and its row stays unique
            self.counts["failures"] += 1
            self.problem = f"{self.path}: {error}"
            return None
        return row

    def close(self) -> None:
        """Writes what waits, as far as the disk takes it, and ends; safe to call twice."""
        if self._lock < 0:
            return
        self._queue.put(None)
        self._thread.join()
        self._reader.close()
        self._writer.close()
        os.close(self._lock)
        self._lock = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _run(self) -> None:
        going = True
        while going:
            group, going = self._group()
            rows: list[tuple[str, Row, int]] = []
            for item, _, _ in group:
                rows.append(self._row(item))
            known = self._write(rows) if rows or self._backlog else set()
            if known is None:
                for table, row, size in rows:
                    if table == "decisions":
                        self._keep(row, size)
            if group:  # one call for all: each wakes the other thread
                calls = [
                    again if known and place in known else told
                    for place, (_, told, again) in enumerate(group)
                ]
                self._tell(_Telling(calls, known is not None))
            if going and not self._backlog:
                self._tend(len(group))
        if self._backlog:
            self._write([])

    def _group(self) -> tuple[list[Item], bool]:
        """What came since, at least one row unless a retry or a look is due; False at the end."""
        group: list[Item] = []
        wait = _NAP if self.retention.due else self.retention.wait()
        if self._backlog:
            wait = max(0.0, self._retry_at - time.monotonic())
        with contextlib.suppress(queue.Empty):
            item = self._queue.get(timeout=wait)
            while item is not None:
                group.append(item)
                if len(group) == _GROUP:
                    return group, True
                item = self._queue.get_nowait()
            return group, False
        return group, True

    def _tend(self, written: int) -> None:
        """One step of removing what is too much, as many rows as were written or a few."""
        if self.retention.wait() > 0.0 and not self.retention.due:
            return
        try:
            if self.retention.wait() <= 0.0:
                self.retention.look()
            if self.retention.due:
                self.retention.step(max(written, STEP))
            self.problem = ""
        except sqlite3.Error as error:  # tried again in a while; nothing waits for it
            self.counts["failures"] += 1
            self.problem = f"{self.path}: {error}"
        self.counts["removed"] = self.retention.removed

    def _row(self, item: Decision | Outcome) -> tuple[str, Row, int]:
        if isinstance(item, Outcome):
            return "outcomes", _outcome_row(item), 0
        state = frames = b""
        self._looked_at += _pictured(item)
        try:
            state, frames = self._pack(item)
        except (MetabonkError, OSError, ValueError):  # what was decided is kept in any case
            self.counts["unpacked"] += 1
        row = _decision_row(item, state, frames)
        size = sum(len(value) for value in row if isinstance(value, str | bytes))
        return "decisions", row, _NUMBERS + size

    def _write(self, rows: Sequence[tuple[str, Row, int]]) -> set[int] | None:
        """One transaction of the backlog and these rows: the places of those outcomes that were
        there already; None if the disk does not take it."""
        decisions = [row for row, _ in self._backlog]
        decisions += [row for table, row, _ in rows if table == "decisions"]
        outcomes = [(n, row) for n, (table, row, _) in enumerate(rows) if table == "outcomes"]
        written, known = 0, set()
        try:
            with transaction(self._writer):
                if decisions:
                    before = self._writer.total_changes
                    self._writer.executemany(_insert("decisions", decisions[0]), decisions)
                    written = self._writer.total_changes - before
                sql = _insert("outcomes", outcomes[0][1]) if outcomes else ""
                for place, row in outcomes:  # one by one: who sent it is told which it was
                    if not self._writer.execute(sql, row).rowcount:
                        known.add(place)
        except sqlite3.Error as error:
            self.counts["failures"] += 1
            self.problem = f"{self.path}: {error}"
            self._retry_at = time.monotonic() + _RETRY
            return None
        self.counts["decisions"] += written
        self.counts["again"] += len(decisions) - written
        self.counts["outcomes"] += len(outcomes) - len(known)
        self.problem = ""
        self._backlog.clear()
        self._backlog_bytes = 0
        return known

    def _keep(self, row: Row, size: int) -> None:
        self._backlog.append((row, size))
        self._backlog_bytes += size
        while self._backlog_bytes > self._most and len(self._backlog) > 1:
            self._backlog_bytes -= self._backlog.popleft()[1]
            self.counts["lost"] += 1


class _Telling:
    """`told(safe)` of every row of a transaction, as one call without arguments."""

    __slots__ = ("safe", "told")

    def __init__(self, told: list[Told], safe: bool) -> None:
        self.told, self.safe = told, safe

    def __call__(self) -> None:
        for told in self.told:
            told(self.safe)


def _insert(table: str, row: Row) -> str:
    return f"INSERT INTO {table} VALUES({','.join('?' * len(row))}) {_ONCE}"


def _decision_row(decision: Decision, state: bytes, frames: bytes) -> Row:
    reply = decision.reply
    id = reply.id
    if id is None:
        raise ValueError("decision: a reply without a request's id is not recorded")
    return (
        id.agent, id.epoch, id.sequence, decision.at, reply.status, reply.code,
        _cut(reply.reason), decision.question, decision.cause, decision.episode,
        decision.goal[:MOST_CHARACTERS], _to_json(reply.answer), _to_json(decision.in_force or {}),
        reply.backend, decision.model, decision.mode, reply.confidence,
        _to_json(decision.probabilities), _cut(reply.reasoning), reply.server_ms,
        _to_json(reply.stages), decision.protocol, state, frames,
    )  # fmt: skip


def _outcome_row(o: Outcome) -> Row:
    id = o.id
    return (
        id.agent, id.epoch, id.sequence, time.time(), o.status, o.applied, o.seconds, o.reward,
        o.health_change, o.kills, o.xp, o.alive, o.age_ms,
    )  # fmt: skip


def _pictured(decision: Decision) -> int:
    return sum(len(jpeg) for jpeg, _, _ in decision.frames)


def _cut(text: str) -> str:
    """As much as is kept, in whole characters."""
    if len(text) <= MOST_WORDS // 4:
        return text
    return text.encode()[:MOST_WORDS].decode("utf-8", "ignore")


def _to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode() if value else ""


def _from_json(text: str) -> Any:
    return msgspec.json.decode(text) if text else {}
