"""The recorder: takes rows from whoever plays and brings them to the disk, however slow it is.

Knows threads, journals and sinks; does not know games or rates.

A row waits in a queue for half a second at most and is written to a journal: from then on no kill
of the process takes it. The row at hand, which may take longer than that to become complete, is
kept in a file of its own meanwhile (`hold`). A thread of its own makes chunks of journals, for
compressing and flushing take long; while it is behind, journals wait on the disk and nobody is held
up. Only where the disk does not even take journals does `append` wait, or where a game cannot wait
drop the row: then it is counted, and the next row begins an episode, so that nothing is joined that
did not follow.

Layout: the sinks' files; `journal-<row>` for rows that are in no chunk yet, `journal-at-hand` for
the one that is not complete; `lock`, held while somebody records.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from metabonk import files
from metabonk.data import journal
from metabonk.data.episode import CHUNK_BYTES, Header
from metabonk.data.journal import Journal
from metabonk.data.recovery import AT_HAND, close_journal, details_of, lock, recover_locked
from metabonk.data.sampling import Row
from metabonk.data.sinks import FORMATS, make_sink
from metabonk.errors import ConfigError, CorruptError

QUEUE_SECONDS = 0.5  # of rows that no journal holds yet
CHUNK_SECONDS = 30.0  # after which rows are given to readers though the chunk is not full
SYNC_SECONDS = 0.5  # between flushes of the journal, for power cuts
HELD_SECONDS = 0.4  # after which the row at hand is kept, and between two copies of it
_MOST = 256  # rows in the queue, whatever the rate
_UNTIMED = 2  # of games that have no rate

Full = Literal["wait", "drop"]


@dataclass
class Counts:
    """What became of the rows. taken: by `append`. kept: safe from a kill. closed: in chunks.

    dropped: of rows that the disk was too slow for, and gaps the episodes that were cut in two.
    recovered: rows that an earlier recording was killed before closing. waited: seconds that
    `append` was held up. bytes: in journals so far.
    """

    taken: int = 0
    kept: int = 0
    closed: int = 0
    dropped: int = 0
    gaps: int = 0
    recovered: int = 0
    waited: float = 0.0
    bytes: int = 0


class Recorder:
    """Records rows of one environment into a directory; goes on where one ended before.

    formats: of FORMATS. full: what `append` does when the queue is full. compress: `.npz` files.
    Raises CorruptError if the directory records something else, ConfigError if somebody is
    recording there now.
    """

    def __init__(
        self,
        directory: Path | str,
        header: Header,
        *,
        formats: Sequence[str] = ("episodes",),
        full: Full = "wait",
        compress: bool = True,
        chunk_bytes: int = CHUNK_BYTES,
        chunk_seconds: float = CHUNK_SECONDS,
    ) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._counts = Counts()
        self._opened = contextlib.ExitStack()
        if not self._opened.enter_context(lock(self.directory)):
            raise ConfigError(f"{self.directory}: somebody records there now, give another folder")
        with contextlib.ExitStack() as failed:
            failed.callback(self._opened.close)
            self._counts.recovered = recover_locked(self.directory)
            self._header, self._compress = header, compress
            self._sinks = {
                name: make_sink(name, self.directory, header, compress=compress) for name in formats
            }
            if not self._sinks:
                raise ConfigError(f"formats: none given, there are {', '.join(FORMATS)}")
            failed.pop_all()
        self._base = {name: sink.position for name, sink in self._sinks.items()}
        self._drop = full == "drop"
        self._chunk_bytes, self._chunk_seconds = chunk_bytes, chunk_seconds
        self._room = _UNTIMED
        if header.rate:
            self._room = int(np.clip(QUEUE_SECONDS * header.rate, 1, _MOST))
        # Rows that come less often than that: even one in the queue would be there for too long.
        self._at_once = not self._drop and 0.0 < header.rate < 1.0 / QUEUE_SECONDS
        self._rows: deque[Row] = deque()
        self._changed = threading.Condition()
        self._closing = self._gap = False
        self._error: BaseException | None = None
        self._begun = 0  # rows in journals that were begun before the one at hand
        self._open: _Open | None = None
        self._held: _Held | None = None
        self._kept_at = 0.0  # when a row at hand was kept last, and which that was
        self._kept_held: _Held | None = None
        self._full: queue.SimpleQueue[_Open | None] = queue.SimpleQueue()
        self._done = threading.Event()
        works = {"journal": self._keep, "chunks": self._close_chunks, "sync": self._sync}
        self._threads = [
            threading.Thread(target=self._guard, args=(work,), name=f"record-{name}", daemon=True)
            for name, work in works.items()
        ]
        for thread in self._threads:
            thread.start()

    @property
    def counts(self) -> Counts:
        """A copy of the counts so far."""
        with self._changed:
            return replace(self._counts)

    @property
    def behind(self) -> int:
        """Rows in the queue."""
        return len(self._rows)

    def append(self, row: Row) -> bool:
        """Takes a row, whose arrays are the recorder's from then on; False if it was dropped.

        Raises the OSError that a thread met (disk full): rows in journals stay, and are recovered.
        """
        began = 0.0
        with self._changed:
            while len(self._rows) >= self._room and not self._drop and self._error is None:
                began = began or time.monotonic()
                self._changed.wait(0.1)
            if self._error is not None:
                raise self._error
            if self._closing:
                raise ValueError("append: the recorder is closed")
            self._counts.waited += time.monotonic() - began if began else 0.0
            if len(self._rows) >= self._room:
                self._counts.dropped += 1
                self._gap = True
                self._held = None
                return False
            if self._gap:
                self._gap = False
                self._counts.gaps += 1
                row = {**row, "is_first": np.array(True)}
            self._rows.append(row)
            self._counts.taken += 1
            self._held = None
            self._changed.notify_all()
            self._await_kept()
            return True

    def hold(self, row: Row) -> None:
        """Takes a copy of the row at hand, the next that will be appended, as far as it has come;
        its arrays are the recorder's. Where that takes long the copy is kept from kills."""
        with self._changed:
            number, held = self._counts.taken, self._held
            began = held.began if held is not None else time.monotonic()
            if self._gap:
                row = {**row, "is_first": np.array(True)}
            self._held = _Held(number, row, began)

    def close(self) -> Counts:
        """Brings every row that was taken into a chunk. Raises OSError if that failed."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._opened.close()
        if self._error is not None:
            self._counts.dropped += len(self._rows)
            self._rows.clear()
            raise self._error
        return self.counts

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _await_kept(self) -> None:
        """Where rows are seldom and the game waits, until this one is in a journal."""
        while self._at_once and self._counts.kept < self._counts.taken and self._error is None:
            self._changed.wait(0.1)

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised again where the caller is
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()

    # The thread of journals.

    def _keep(self) -> None:
        """Takes rows from the queue into journals until the recorder closes."""
        try:
            while (row := self._next()) is not None:
                self._fitting(row).append(row)
                with self._changed:
                    self._counts.kept += 1
                    if self._at_once:
                        self._changed.notify_all()
                self._hand_over_old()
            self._hand_over()
            if self._kept_held is not None:  # it is complete by now
                (self.directory / AT_HAND).unlink()
        finally:
            self._full.put(None)
            self._done.set()

    def _next(self) -> Row | None:
        """The next row, None when there will be none."""
        while True:
            with self._changed:
                if self._rows:
                    row = self._rows.popleft()
                    self._changed.notify_all()
                    return row
                if self._closing or self._error is not None:
                    return None
                self._changed.wait(min(self._chunk_seconds / 4, HELD_SECONDS / 2))
            self._keep_held()
            self._hand_over_old()

    def _fitting(self, row: Row) -> _Open:
        """The journal that takes this row: another one, and another episode, if the game's frames
        have changed their size."""
        if self._open is not None and not self._open.takes(row):
            self._hand_over()
            row["is_first"] = np.array(True)
            with self._changed:
                self._counts.gaps += 1
        if self._open is None:
            path = self.directory / f"journal-{self._begun:012d}"
            self._open = _Open(Journal(path, row, self._details(self._begun)), row)
        return self._open

    def _details(self, number: int) -> dict[str, Any]:
        """What a journal says whose first row is that one of this recorder's."""
        first = {name: base + number for name, base in self._base.items()}
        return details_of(self._header, self._compress, first)

    def _keep_held(self) -> None:
        """Writes the row at hand if that takes long, all rows before it are in journals, and it is
        another one than was written last. One that was completed since is told by its number."""
        now = time.monotonic()
        with self._changed:
            held = self._held
            if held is None or held is self._kept_held or self._counts.kept != held.number:
                return
        if now - held.began < HELD_SECONDS or now - self._kept_at < HELD_SECONDS:
            return
        row = held.row
        if self._open is not None and not self._open.takes(row):
            row = {**row, "is_first": np.array(True)}
        files.place(self.directory / AT_HAND, journal.encoded(row, self._details(held.number)))
        self._kept_at, self._kept_held = now, held

    def _hand_over_old(self) -> None:
        chunk = self._open
        if chunk is not None and chunk.over(self._chunk_bytes, self._chunk_seconds):
            self._hand_over()

    def _hand_over(self) -> None:
        """Gives the journal at hand to the thread of chunks."""
        chunk, self._open = self._open, None
        if chunk is not None:
            self._begun += chunk.rows
            with self._changed:
                self._counts.bytes += chunk.journal.nbytes
            self._full.put(chunk)

    # The thread of chunks, and that of flushing.

    def _close_chunks(self) -> None:
        """Makes chunks of journals until the last one, or until something failed: what is left in
        journals then is recovered later."""
        while (chunk := self._full.get()) is not None and self._error is None:
            chunk.journal.sync()
            chunk.journal.close()
            path = chunk.journal.path
            rows = close_journal(path, journal.read(path), self._sinks)
            if rows != chunk.rows:
                raise CorruptError(f"{path} has {rows} rows of {chunk.rows}: the disk lost some")
            path.unlink()
            with self._changed:
                self._counts.closed += rows

    def _sync(self) -> None:
        """Flushes the journal at hand now and then; whoever closes it flushes the rest."""
        while not self._done.wait(SYNC_SECONDS):
            chunk = self._open
            if chunk is not None:
                chunk.journal.sync()


@dataclass(frozen=True)
class _Held:
    """A copy of the row at hand. number: of it among the rows taken. began: when the first copy of
    this row came."""

    number: int
    row: Row
    began: float


class _Open:
    """A journal that is being filled, and what its rows look like."""

    def __init__(self, made: Journal, row: Row) -> None:
        self.journal = made
        self.rows = 0
        self._like = {key: (value.shape, value.dtype) for key, value in row.items()}
        self._began = time.monotonic()

    def takes(self, row: Row) -> bool:
        return {key: (value.shape, value.dtype) for key, value in row.items()} == self._like

    def append(self, row: Row) -> None:
        self.journal.append(row)
        self.rows += 1

    def over(self, most_bytes: int, seconds: float) -> bool:
        return self.journal.nbytes >= most_bytes or time.monotonic() - self._began >= seconds
