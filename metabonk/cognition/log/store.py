"""Frames on disk, each once, by what they are: evidence beside the journal, within a quota.

Knows files, hashes and ages; does not know decisions. A frame's name is the first 16 bytes of its
SHA-256, so a frame that was seen before costs nothing, and what a power cut tore shows when it is
read. The oldest go when the quota is full or their time is over. A disk that takes nothing costs
frames, which are counted, and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import threading
import time
from collections import OrderedDict
from pathlib import Path

from metabonk import files
from metabonk.errors import CorruptError

HASH_BYTES = 16
QUEUED_BYTES = 32 << 20  # of frames on their way to the disk; more are left out
_SWEEP = 60.0  # seconds between looks for what is too old


def name_of(jpeg: bytes) -> bytes:
    """What a frame is known by, 16 bytes."""
    return hashlib.sha256(jpeg).digest()[:HASH_BYTES]


class FrameStore:
    """Frames under a folder, which it makes.

    quota: bytes on disk at most; 0 keeps none. days: how long a frame is kept; 0: while there is
    room. started: False for who must know first that the folder is his, as what is too much there
    goes at once; nothing is touched then until `start`. Call `put` from one thread, anything else
    from any.
    """

    def __init__(
        self, folder: Path | str, *, quota: int, days: float = 0.0, started: bool = True
    ) -> None:
        self.folder = Path(folder)
        self.quota, self._age = quota, days * 86_400.0
        # stuck: files that should have gone and could not be removed; they count no longer.
        self.counts = {"stored": 0, "known": 0, "dropped": 0, "removed": 0, "stuck": 0}
        self.problem = ""  # what the disk did not do last
        self.bytes = 0
        self._lock = threading.Lock()
        self._frames: OrderedDict[bytes, tuple[int, float]] = OrderedDict()  # oldest first
        self._queued = 0
        self._queue: queue.SimpleQueue[tuple[bytes, bytes] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if started:
            self.start()

    def start(self) -> None:
        """Makes the folder, looks at what is there and begins to write; without a quota nothing.
        Raises OSError."""
        if self.quota > 0 and self._thread is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._thread = threading.Thread(target=self._run, name="frames", daemon=True)
            self._thread.start()

    def put(self, jpeg: bytes) -> bytes:
        """The frame's name; it goes to the disk by and by, or is counted as dropped."""
        name = name_of(jpeg)
        if self._thread is None:
            return name
        with self._lock:
            if name in self._frames:
                self._frames.move_to_end(name)
                self._frames[name] = (self._frames[name][0], time.time())
                self.counts["known"] += 1
            elif self._queued + len(jpeg) > QUEUED_BYTES or len(jpeg) > self.quota:
                self.counts["dropped"] += 1
            else:
                self._frames[name] = (len(jpeg), time.time())
                self.bytes += len(jpeg)
                self._queued += len(jpeg)
                self._queue.put((name, jpeg))
        return name

    def get(self, name: bytes) -> bytes | None:
        """A frame's bytes, None if it is not (or no longer) there. Raises CorruptError."""
        try:
            data = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        if name_of(data) != name:
            raise CorruptError(f"{self._path(name)}: the frame is damaged; delete it")
        return data

    def close(self) -> None:
        """Writes what is on its way; safe to call twice."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def __len__(self) -> int:
        return len(self._frames)

    def _path(self, name: bytes) -> Path:
        text = name.hex()
        return self.folder / text[:2] / f"{text}.jpg"

    def _run(self) -> None:
        self._scan()  # here, since looking at ten thousand files would keep a server from starting
        swept = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                item = self._queue.get(timeout=_SWEEP)
                if item is None:
                    return
                self._write(*item)
            if time.monotonic() - swept >= _SWEEP or self.bytes > self.quota:
                swept = time.monotonic()
                self._sweep()

    def _write(self, name: bytes, jpeg: bytes) -> None:
        path = self._path(name)
        if name not in self._frames:  # went with the quota before its turn came
            with self._lock:
                self._queued -= len(jpeg)
            return
        try:
            path.parent.mkdir(exist_ok=True)
            files.place(path, jpeg)
        except OSError as error:
            self.problem = f"{path}: {error.strerror}"
            self._forget(name, "dropped")
        else:
            self.problem = ""
            self.counts["stored"] += 1
        finally:
            with self._lock:
                self._queued -= len(jpeg)

    def _sweep(self) -> None:
        """Removes the oldest: those past their time, and until the quota holds."""
        while True:
            with self._lock:
                if not self._frames:
                    return
                name, (_, seen) = next(iter(self._frames.items()))
                old = self._age > 0 and time.time() - seen > self._age
                if not old and self.bytes <= self.quota:
                    return
            try:
                self._path(name).unlink(missing_ok=True)
            except OSError as error:  # the others' turn comes all the same
                self.problem = f"{self._path(name)}: {error.strerror}"
                self._forget(name, "stuck")
            else:
                self._forget(name, "removed")

    def _forget(self, name: bytes, why: str) -> None:
        with self._lock:
            size, _ = self._frames.pop(name, (0, 0.0))
            self.bytes -= size
            self.counts[why] += 1

    def _scan(self) -> None:
        found: list[tuple[float, bytes, int]] = []
        for folder in self.folder.glob("??"):
            try:
                self._scan_folder(folder, found)
            except NotADirectoryError:
                continue
            except OSError as error:
                self.problem = f"{folder}: {error.strerror}"
        with self._lock:
            for seen, name, size in sorted(found, reverse=True):
                if name not in self._frames:
                    self._frames[name] = (size, seen)
                    self._frames.move_to_end(name, last=False)
                    self.bytes += size
        self._sweep()

    def _scan_folder(self, folder: Path, found: list[tuple[float, bytes, int]]) -> None:
        # By directory entries: making a path of each would take the interpreter from who answers.
        with os.scandir(folder) as entries:
            for entry in entries:
                stem, suffix = os.path.splitext(entry.name)
                if suffix == ".partial" and entry.is_file():
                    os.unlink(entry.path)  # what a kill left half
                if suffix != ".jpg":
                    continue
                with contextlib.suppress(ValueError, FileNotFoundError):
                    status = entry.stat()
                    found.append((status.st_mtime, bytes.fromhex(stem), status.st_size))
