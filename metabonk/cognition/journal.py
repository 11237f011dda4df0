"""The journal: every decision once, and what came of it, whatever is killed or full meanwhile.

Knows SQLite, the rows and how they are joined by request id; does not know sockets, models or who
decides. One thread writes, several rows to a transaction, so that a slow disk delays no one who
listens; the caller is told when its row is safe.

A row is safe from a kill of the process once it is `recorded` (write-ahead log), and from a power
cut too with `power_safe`. Writing one id twice changes nothing. While the disk takes nothing
(full, or its limit reached) decisions wait in memory, at most `backlog_bytes` of them, and go in
when it does again; outcomes are refused, for their senders keep them and send them again.

    decisions(agent, epoch, sequence, at, status, …)    one row per request, UNIQUE by its id
    outcomes(agent, epoch, sequence, at, reward, …)     one row per request, UNIQUE by its id
    joined                                              both side by side, where there are both
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from metabonk.cognition.wire import Outcome, Reply, RequestId
from metabonk.errors import CorruptError, LinkError, MetabonkError

FILE = "decisions.sqlite"
APPLICATION = 0x4D424331  # "MBC1", in the file's header
VERSION = 1
BACKLOG_BYTES = 32 << 20
MOST_REASONING = 300  # characters that are kept
_GROUP = 256  # rows per transaction
_PAGE = 16_384  # bytes: rows of one to two kilobytes leave little of it empty
_WAL_BYTES = 4 << 20
_ONCE = "ON CONFLICT(agent, epoch, sequence) DO NOTHING"
_RETRY = 0.5  # seconds between tries while the disk takes nothing

SCHEMA = """
CREATE TABLE decisions(
  agent TEXT NOT NULL, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,
  at REAL NOT NULL,        -- seconds since 1970, when it was decided
  status TEXT NOT NULL,    -- ok, fallback, stale, rejected, error
  code TEXT NOT NULL, reason TEXT NOT NULL,
  question TEXT NOT NULL, cause TEXT NOT NULL, episode INTEGER NOT NULL, goal TEXT NOT NULL,
  answer TEXT NOT NULL,    -- JSON, as vocabulary.spell writes it
  in_force TEXT NOT NULL,  -- JSON, empty for none
  backend TEXT NOT NULL, model TEXT NOT NULL, mode TEXT NOT NULL,
  confidence REAL NOT NULL, probabilities TEXT NOT NULL, reasoning TEXT NOT NULL,
  server_ms REAL NOT NULL, stages TEXT NOT NULL,
  protocol INTEGER NOT NULL,
  state BLOB NOT NULL,     -- situation.shrink
  frames BLOB NOT NULL,    -- MessagePack: [[hash, seconds from the capture, predicted], …]
  UNIQUE(agent, epoch, sequence));
CREATE TABLE outcomes(
  agent TEXT NOT NULL, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,
  at REAL NOT NULL, status TEXT NOT NULL, applied INTEGER NOT NULL, seconds REAL NOT NULL,
  reward REAL NOT NULL, health_change REAL NOT NULL, kills INTEGER NOT NULL, xp REAL NOT NULL,
  alive INTEGER NOT NULL, age_ms REAL NOT NULL,
  PRIMARY KEY(agent, epoch, sequence)) WITHOUT ROWID;
CREATE VIEW joined AS SELECT d.*, o.at AS outcome_at, o.status AS seen_status, o.applied,
  o.seconds, o.reward, o.health_change, o.kills, o.xp, o.alive, o.age_ms
  FROM decisions d JOIN outcomes o USING(agent, epoch, sequence);
"""


class Decision(msgspec.Struct, kw_only=True):
    """One row of `decisions`, as far as `Reply` does not say it. at: seconds since 1970.

    state, frames: what the journal's `pack` makes the columns of, on its own thread.
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
    frames: Sequence[tuple[bytes, float, bool]] = ()  # JPEG, seconds from the capture, predicted


Row = tuple[Any, ...]
Told = Callable[[bool], None]
Pack = Callable[[Decision], tuple[bytes, bytes]]


def _plain(decision: Decision) -> tuple[bytes, bytes]:
    return decision.state, b""


class Journal:
    """The journal in a folder, which it makes.

    pack: makes the columns `state` and `frames` of a decision, on the writing thread. tell: runs
    what a caller wants to know on its own thread (`loop.call_soon_threadsafe`). power_safe: also
    flushes every transaction. Raises LinkError if another process writes this journal, CorruptError
    if the file is none or of another version, OSError.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        pack: Pack = _plain,
        tell: Callable[[Callable[[], None]], Any] = lambda call: call(),
        power_safe: bool = False,
        backlog_bytes: int = BACKLOG_BYTES,
    ) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / FILE
        self.counts = {"decisions": 0, "outcomes": 0, "lost": 0, "failures": 0, "unpacked": 0}
        self.problem = ""  # why the disk takes nothing now
        self._pack, self._tell = pack, tell
        self._lock = _lock(self.folder)
        try:
            self._writer = _open(self.path, power_safe)
            self._reader = _open(self.path, power_safe)
        except BaseException:
            os.close(self._lock)
            raise
        self._queue: queue.SimpleQueue[tuple[Decision | Outcome, Told] | None] = queue.SimpleQueue()
        self._backlog: deque[tuple[Row, int]] = deque()
        self._backlog_bytes = 0
        self._most = backlog_bytes
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

    def record(self, decision: Decision, told: Told) -> None:
        """Writes a decision; `told(True)` once it is safe, `told(False)` if it must wait for the
        disk. A second one of the same id changes nothing and counts as written."""
        self._queue.put((decision, told))

    def outcome(self, outcome: Outcome, told: Told) -> None:
        """The same for an outcome, which is not kept if the disk does not take it."""
        self._queue.put((outcome, told))

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
            for item, _ in group:
                rows.append(self._row(item))
            safe = self._write(rows)
            if not safe:
                for table, row, size in rows:
                    if table == "decisions":
                        self._keep(row, size)
            if group:  # one call for all: each wakes the other thread
                self._tell(_Telling([told for _, told in group], safe))
        if self._backlog:
            self._write([])

    def _group(self) -> tuple[list[tuple[Decision | Outcome, Told]], bool]:
        """What came since, at least one row unless a retry is due; False at the end."""
        group: list[tuple[Decision | Outcome, Told]] = []
        wait = max(0.0, self._retry_at - time.monotonic()) if self._backlog else None
        with contextlib.suppress(queue.Empty):
            item = self._queue.get(timeout=wait)
            while item is not None:
                group.append(item)
                if len(group) == _GROUP:
                    return group, True
                item = self._queue.get_nowait()
            return group, False
        return group, True

    def _row(self, item: Decision | Outcome) -> tuple[str, Row, int]:
        if isinstance(item, Outcome):
            return "outcomes", _outcome_row(item), 0
        state = frames = b""
        try:
            state, frames = self._pack(item)
        except (MetabonkError, OSError, ValueError):  # what was decided is kept in any case
            self.counts["unpacked"] += 1
        return "decisions", _decision_row(item, state, frames), 1024 + len(state) + len(frames)

    def _write(self, rows: Sequence[tuple[str, Row, int]]) -> bool:
        """One transaction of the backlog and these rows. False if the disk does not take it."""
        decisions = [row for row, _ in self._backlog]
        decisions += [row for table, row, _ in rows if table == "decisions"]
        outcomes = [row for table, row, _ in rows if table == "outcomes"]
        try:
            with _transaction(self._writer):
                for name, found in (("decisions", decisions), ("outcomes", outcomes)):
                    if found:
                        marks = ",".join("?" * len(found[0]))
                        sql = f"INSERT INTO {name} VALUES({marks}) {_ONCE}"
                        before = self._writer.total_changes
                        self._writer.executemany(sql, found)
                        self.counts[name] += self._writer.total_changes - before
        except sqlite3.Error as error:
            self.counts["failures"] += 1
            self.problem = f"{self.path}: {error}"
            self._retry_at = time.monotonic() + _RETRY
            return False
        self.problem = ""
        self._backlog.clear()
        self._backlog_bytes = 0
        return True

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


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite ends it by itself after some errors
            connection.execute("ROLLBACK")
        raise


def open_readonly(folder: Path | str) -> sqlite3.Connection:
    """A journal for reading, also while it is written. Raises CorruptError, FileNotFoundError."""
    path = Path(folder) / FILE
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no journal here")
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
    try:
        _check(connection, path)
    except BaseException:
        connection.close()
        raise
    connection.row_factory = sqlite3.Row
    return connection


def _open(path: Path, power_safe: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, timeout=5.0, check_same_thread=False, cached_statements=32
    )
    try:
        connection.execute("PRAGMA trusted_schema=OFF")
        if not _tables(connection):
            connection.execute(f"PRAGMA page_size={_PAGE}")
            with _transaction(connection):
                for statement in SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id={APPLICATION}")
                connection.execute(f"PRAGMA user_version={VERSION}")
        _check(connection, path)  # before anything that would change a file which is not ours
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={_WAL_BYTES // _PAGE}")
        connection.execute(f"PRAGMA synchronous={'FULL' if power_safe else 'NORMAL'}")
    except sqlite3.OperationalError as error:
        connection.close()
        raise OSError(f"{path}: {error}; is the disk full, or not writable?") from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise CorruptError(f"{path}: {error}; move it away to begin a new journal") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _tables(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _check(connection: sqlite3.Connection, path: Path) -> None:
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise CorruptError(f"{path}: {error}; move it away to begin a new journal") from error
    if application != APPLICATION:
        raise CorruptError(f"{path}: not a journal of decisions; move it away to begin one")
    if version != VERSION:
        raise CorruptError(
            f"{path}: a journal of version {version}, this program writes {VERSION}; "
            "move it away to begin a new one"
        )


def _lock(folder: Path) -> int:
    """A lock that ends with the process, however that ends."""
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise LinkError(
            f"{folder}: another process writes this journal; give one of them another folder"
        ) from error
    return fd


def _decision_row(decision: Decision, state: bytes, frames: bytes) -> Row:
    reply = decision.reply
    id = reply.id
    if id is None:
        raise ValueError("decision: a reply without a request's id is not recorded")
    return (
        id.agent, id.epoch, id.sequence, decision.at, reply.status, reply.code,
        reply.reason[:MOST_REASONING], decision.question, decision.cause, decision.episode,
        decision.goal, _to_json(reply.answer), _to_json(decision.in_force or {}), reply.backend,
        decision.model, decision.mode, reply.confidence, _to_json(decision.probabilities),
        reply.reasoning[:MOST_REASONING], reply.server_ms, _to_json(reply.stages),
        decision.protocol, state, frames,
    )  # fmt: skip


def _outcome_row(o: Outcome) -> Row:
    id = o.id
    return (
        id.agent, id.epoch, id.sequence, time.time(), o.status, o.applied, o.seconds, o.reward,
        o.health_change, o.kills, o.xp, o.alive, o.age_ms,
    )  # fmt: skip


def _to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode() if value else ""


def _from_json(text: str) -> Any:
    return msgspec.json.decode(text) if text else {}
