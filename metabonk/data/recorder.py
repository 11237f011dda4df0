"""The recorder: takes rows from whoever plays and brings them to the disk, however slow it is.

Knows threads, journals and sinks; does not know games or rates.

A row waits in a queue for half a second at most, is written to a journal (from then on no kill of
the process takes it) and with others becomes a chunk, by a thread of its own, for compressing and
flushing take long. Where the disk stays behind, `append` waits, or where a game cannot wait drops
the row: then it is counted, and the next row begins an episode, so that nothing is joined that did
not follow. What a kill leaves in journals is put into chunks by whoever opens the directory next.

Layout: the sinks' files; `journal-<n>` for rows that are in no chunk yet; `lock`, held while
somebody records.
"""

from __future__ import annotations

import contextlib
import fcntl
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

import msgspec
import numpy as np

from metabonk.data import journal
from metabonk.data.episode import CHUNK_BYTES, Header
from metabonk.data.journal import Journal
from metabonk.data.sampling import Row
from metabonk.data.sinks import FORMATS, Sink, make_sink
from metabonk.errors import ConfigError, CorruptError
from metabonk.protocols import Array

QUEUE_SECONDS = 0.5  # of rows that no journal holds yet
CHUNK_SECONDS = 30.0  # after which rows are given to readers though the chunk is not full
SYNC_SECONDS = 0.5  # between flushes of the journal, for power cuts
WAITING_CHUNKS = 2
_ROOM = (2, 256)  # rows in the queue, whatever the rate

Full = Literal["wait", "drop"]


@dataclass
class Counts:
    """What became of the rows. taken: by `append`. kept: safe from a kill. closed: in chunks.

    dropped: of rows that the disk was too slow for, and gaps the episodes that this cut in two.
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
        if not self._opened.enter_context(_lock(self.directory)):
            raise ConfigError(f"{self.directory}: somebody records there now, give another folder")
        with contextlib.ExitStack() as failed:
            failed.callback(self._opened.close)
            self._counts.recovered = _recover(self.directory)
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
        self._room = int(np.clip(QUEUE_SECONDS * header.rate, *_ROOM))
        self._rows: deque[Row] = deque()
        self._changed = threading.Condition()
        self._closing = self._gap = False
        self._error: BaseException | None = None
        self._begun = 0  # rows in journals that were begun before the one at hand
        self._chunks: queue.Queue[_Open | None] = queue.Queue(WAITING_CHUNKS)
        self._open: _Open | None = None
        self._threads = [
            threading.Thread(target=self._guard, args=(work,), name=f"record-{name}", daemon=True)
            for name, work in (("journal", self._keep), ("chunks", self._close_chunks))
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
                return False
            if self._gap:
                self._gap = False
                self._counts.gaps += 1
                row = {**row, "is_first": np.array(True)}
            self._rows.append(row)
            self._counts.taken += 1
            self._changed.notify_all()
            return True

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

    def _guard(self, work: Any) -> None:
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
                self._hand_over_old()
            self._hand_over()
        finally:
            self._put(None)

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
                self._changed.wait(self._chunk_seconds / 4)
            self._hand_over_old()

    def _fitting(self, row: Row) -> _Open:
        """The chunk that this row goes into: another one, and another episode, if the game's frames
        have changed their size."""
        if self._open is not None and not self._open.takes(row):
            self._hand_over()
            row["is_first"] = np.array(True)
            with self._changed:
                self._counts.gaps += 1
        if self._open is None:
            at = {name: base + self._begun for name, base in self._base.items()}
            details = {
                "first": at,
                "header": msgspec.to_builtins(self._header),
                "compress": self._compress,
            }
            path = self.directory / f"journal-{self._begun:012d}"
            self._open = _Open(Journal(path, row, details))
        return self._open

    def _hand_over_old(self) -> None:
        chunk = self._open
        if chunk is not None and chunk.over(self._chunk_bytes, self._chunk_seconds):
            self._hand_over()

    def _hand_over(self) -> None:
        """Gives the open chunk to the other thread; waits if too many are there already."""
        chunk, self._open = self._open, None
        if chunk is not None:
            self._begun += len(chunk.rows)
            with self._changed:
                self._counts.bytes += chunk.journal.nbytes
            self._put(chunk)

    def _put(self, chunk: _Open | None) -> None:
        while self._error is None:
            with contextlib.suppress(queue.Full):
                self._chunks.put(chunk, timeout=0.1)
                return
        if chunk is not None:
            chunk.journal.close()

    # The thread of chunks.

    def _close_chunks(self) -> None:
        """Writes chunks, and between them flushes the journal that is open."""
        while True:
            try:
                chunk = self._chunks.get(timeout=SYNC_SECONDS)
            except queue.Empty:
                if self._error is not None:
                    return
                self._sync()
                continue
            if chunk is None:
                return
            chunk.journal.sync()
            _write(self._sinks, chunk.arrays(), chunk.first(self._base, self._counts.closed))
            chunk.journal.close()
            chunk.journal.path.unlink()
            with self._changed:
                self._counts.closed += len(chunk.rows)

    def _sync(self) -> None:
        chunk = self._open  # closed by this thread alone
        if chunk is not None:
            chunk.journal.sync()


class _Open:
    """A chunk that is being filled: its rows in memory and in a journal."""

    def __init__(self, made: Journal) -> None:
        self.journal = made
        self.rows: list[Row] = []
        self._began = time.monotonic()

    def takes(self, row: Row) -> bool:
        first = self.rows[0] if self.rows else row
        return row.keys() == first.keys() and all(
            row[k].shape == v.shape and row[k].dtype == v.dtype for k, v in first.items()
        )

    def append(self, row: Row) -> None:
        self.journal.append(row)
        self.rows.append(row)

    def over(self, most_bytes: int, seconds: float) -> bool:
        return self.journal.nbytes >= most_bytes or time.monotonic() - self._began >= seconds

    def arrays(self) -> dict[str, Array]:
        return {key: np.stack([row[key] for row in self.rows]) for key in self.rows[0]}

    @staticmethod
    def first(base: Mapping[str, int], closed: int) -> dict[str, int]:
        return {name: position + closed for name, position in base.items()}


def recover(directory: Path | str) -> int:
    """Puts what a kill left in journals into chunks; returns how many rows those were.

    Nothing happens while somebody records there. Raises CorruptError for a damaged journal.
    """
    directory = Path(directory)
    if not any(directory.glob("journal-*")):
        return 0
    with _lock(directory) as ours:
        return _recover(directory) if ours else 0


def _recover(directory: Path) -> int:
    rows = 0
    for path in sorted(directory.glob("journal-*")):
        if b"\n" in path.read_bytes()[: 1 << 20]:  # else it was killed before its first line
            rows += _replay(directory, path)
        path.unlink()
    return rows


def _replay(directory: Path, path: Path) -> int:
    found = journal.read(path)
    count = len(next(iter(found.arrays.values()), ()))
    try:
        header = msgspec.convert(found.details["header"], Header)
        first = msgspec.convert(found.details["first"], dict[str, int])
        compress = bool(found.details["compress"])
    except (KeyError, msgspec.ValidationError) as error:
        raise CorruptError(f"{path} is no journal of a recording: {error}") from error
    if count:
        sinks = {name: make_sink(name, directory, header, compress=compress) for name in first}
        _write(sinks, found.arrays, first)
    return count


def _write(
    sinks: Mapping[str, Sink], arrays: Mapping[str, Array], first: Mapping[str, int]
) -> None:
    """Rows whose first one is number `first[name]` of each sink, but for those it has already."""
    for name, sink in sinks.items():
        have = min(max(0, sink.position - first[name]), len(arrays["reward"]))
        if have < len(arrays["reward"]):
            sink.write({key: value[have:] for key, value in arrays.items()})


@contextlib.contextmanager
def _lock(directory: Path) -> Iterator[bool]:
    """Whether nobody else holds the directory; held until the block ends."""
    file: IO[bytes]
    with (directory / "lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
