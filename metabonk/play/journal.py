"""Journals as they lie on disk: files of records of one size, read a part at a time.

Knows the framing (csrc/play/journal.h) and what a kill leaves: whole records are handed out, a torn
end is not. Files are read, not mapped: one that is cut short meanwhile is an error and no fault.
Does not know what is in a record.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metabonk import _core
from metabonk.errors import CorruptError

Array = npt.NDArray[Any]

MAGIC, FORMAT, HEADER_BYTES = b"MBJOURN1", 1, 64
PART_BYTES = 16 << 20  # that are in memory at a time, or one record


class JournalReader:
    """The records of a journal as it is when it is opened; it may be written to meanwhile.

    count: whole records, whose checksums were all looked at. torn: bytes behind them. Raises
    CorruptError for a file that is no journal `name` of these records, or that is damaged anywhere
    but at its end. Takes up PART_BYTES of memory, however long the file is.
    """

    def __init__(self, path: Path, name: str, record: np.dtype[Any]) -> None:
        self.path, self.record = path, record
        self._file = path.open("rb")
        try:
            self._check_header(name)
            room = os.fstat(self._file.fileno()).st_size - HEADER_BYTES
            self.count = self._whole(room // record.itemsize)
            self.torn = room - self.count * record.itemsize
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Harmless twice."""
        self._file.close()

    def read(self, first: int, count: int) -> Array:
        """Records [count] from number `first` on. Raises CorruptError if they are there no more."""
        rows = np.empty(count, self.record)
        self._file.seek(HEADER_BYTES + first * self.record.itemsize)
        if self._file.readinto(_bytes(rows).data) != rows.nbytes:
            raise CorruptError(f"{self.path} was cut short while it was read: restore it")
        return rows

    def parts(self) -> Iterator[Array]:
        """All records, one part after the other."""
        return self._parts(0, self.count)

    def _parts(self, first: int, end: int) -> Iterator[Array]:
        step = max(PART_BYTES // self.record.itemsize, 1)
        for at in range(first, end, step):
            yield self.read(at, min(step, end - at))

    def _check_header(self, name: str) -> None:
        path, head = self.path, self._file.read(HEADER_BYTES)
        if len(head) < HEADER_BYTES or head[:8] != MAGIC:
            raise CorruptError(
                f"{path} is no journal: its first {HEADER_BYTES} bytes are not those"
            )
        version, bytes_each = np.frombuffer(head[8:16], "<u4")
        if _core.play.crc32c(head[:60]) != int(np.frombuffer(head[60:], "<u4")[0]):
            raise CorruptError(f"{path} is damaged: the checksum of its header differs")
        if version > FORMAT:
            raise CorruptError(f"{path} has format {version}, this version reads up to {FORMAT}")
        size = self.record.itemsize
        if head[24:56].rstrip(b"\0") != name.encode() or bytes_each != size:
            raise CorruptError(f"{path} holds other records than {name} of {size} bytes")

    def _whole(self, there: int) -> int:
        """How many of the records that there is room for are whole."""
        good = 0
        for rows in self._parts(0, there):
            found = int(_core.play.whole_records(_bytes(rows).reshape(len(rows), -1)))
            good += found
            if found < len(rows):
                break
        # A kill tears the last record only; the disk may have lost the end of one that grew.
        if good < there - 1 and any(_bytes(rows).any() for rows in self._parts(good, there)):
            raise CorruptError(
                f"{self.path} is damaged at record {good} of {there}: restore it from a copy"
            )
        return good


def _bytes(rows: Array) -> npt.NDArray[np.uint8]:
    return rows.view(np.uint8)
