"""Journals: rows that are on their way into a chunk, kept so that no kill can take them.

Knows arrays of fixed shapes, checksums and files; does not know episodes or who records. A row is
safe from a kill of its process once `append` returns, and from a power cut once `sync` does.

Layout: a line of JSON (magic, where the rows belong, every field's dtype and shape), then records
of one size: the fields' bytes in order and their CRC-32. There is one writer and it only appends,
so a kill leaves whole records and at most one that is torn: reading stops at the first that is
short or whose checksum fails.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from metabonk import files
from metabonk.errors import CorruptError
from metabonk.protocols import Array

MAGIC = "metabonk-journal-1"
MOST_BYTES = 4 << 30  # of a journal that is read: more than any chunk, less than a machine's memory
_HEAD_BYTES = 1 << 20
_CRC_BYTES = 4

Row = Mapping[str, Array]


class Field(msgspec.Struct, frozen=True, array_like=True):
    """One array of every row."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. details: whatever the writer needs to put the rows where they belong."""

    magic: str
    details: dict[str, Any]
    fields: list[Field]


class Rows(NamedTuple):
    """What a journal holds: arrays [T, ...] by field. torn: bytes behind the last whole record."""

    details: dict[str, Any]
    arrays: dict[str, Array]
    torn: int


class Journal:
    """Appends rows of the same fields as `row` to a new file. Raises OSError (disk full)."""

    def __init__(self, path: Path | str, row: Row, details: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._fields = [Field(k, v.dtype.str, v.shape) for k, v in row.items()]
        self._file = self.path.open("wb", buffering=0)
        self._record = bytearray(sum(f.nbytes for f in self._fields) + _CRC_BYTES)
        self._places = _places(self._fields, memoryview(self._record))
        self._end = 0
        self._write(_line(self._fields, details))
        files.sync(self.path.parent)

    @property
    def nbytes(self) -> int:
        """Bytes of whole records and the head."""
        return self._end

    def append(self, row: Row) -> None:
        """One row; after a failure (disk full) the file ends where it did before.

        Raises ValueError for other fields than the first row's.
        """
        if row.keys() != self._places.keys():
            raise ValueError(f"row: fields {sorted(row)}, expected {sorted(self._places)}")
        for name, place in self._places.items():
            if row[name].shape != place.shape or row[name].dtype != place.dtype:
                raise ValueError(
                    f"{name}: {row[name].dtype} {row[name].shape}, expected {place.dtype} "
                    f"{place.shape}"
                )
            place[...] = row[name]
        view = memoryview(self._record)
        view[-_CRC_BYTES:] = zlib.crc32(view[:-_CRC_BYTES]).to_bytes(_CRC_BYTES, "little")
        self._write(view)

    def sync(self) -> None:
        """Puts the rows on the disk; nothing once it is closed. Any thread may."""
        with contextlib.suppress(ValueError):  # closed by another thread meanwhile
            os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Leaves the file as it is; safe to call twice."""
        self._file.close()

    def _write(self, data: bytes | memoryview) -> None:
        """All of it, or the file is as long as before: a short write must not tear what follows."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError:
            os.ftruncate(self._file.fileno(), self._end)
            self._file.seek(self._end)
            raise
        self._end += len(data)


def encoded(row: Row, details: Mapping[str, Any]) -> bytes:
    """A whole journal of one row."""
    fields = [Field(k, v.dtype.str, v.shape) for k, v in row.items()]
    data = b"".join(np.ascontiguousarray(row[field.name]).tobytes() for field in fields)
    return _line(fields, details) + data + zlib.crc32(data).to_bytes(_CRC_BYTES, "little")


def read(path: Path | str, *, most_bytes: int = MOST_BYTES) -> Rows:
    """The whole rows of a journal, also of one that is being written.

    Raises CorruptError for a file that is none, or that is larger than `most_bytes`.
    """
    path = Path(path)
    size = path.stat().st_size
    if size > most_bytes:
        raise CorruptError(f"{path}: {size:,} bytes, a journal has at most {most_bytes:,}")
    with path.open("rb") as file:
        line = file.readline(_HEAD_BYTES)
        head = _head(path, line)
        data = file.read(size - len(line)) if size > len(line) else b""
    width = sum(f.nbytes for f in head.fields) + _CRC_BYTES
    count = _whole(data, width)
    records = np.frombuffer(data, np.uint8, count * width).reshape(count, width)
    arrays: dict[str, Array] = {}
    at = 0
    for field in head.fields:
        flat = np.ascontiguousarray(records[:, at : at + field.nbytes])
        arrays[field.name] = flat.view(np.dtype(field.dtype)).reshape(count, *field.shape)
        at += field.nbytes
    return Rows(head.details, arrays, len(data) - count * width)


def _line(fields: list[Field], details: Mapping[str, Any]) -> bytes:
    head = Head(magic=MAGIC, details=dict(details), fields=fields)
    return msgspec.json.encode(head) + b"\n"


def _head(path: Path, line: bytes) -> Head:
    try:
        if not line.endswith(b"\n"):
            raise ValueError("its first line is torn")
        head = msgspec.json.decode(line, type=Head)
        if head.magic != MAGIC:
            raise ValueError(f"it begins with {head.magic!r}")
        for field in head.fields:
            # Plain numbers only: bytes of an object would be taken for addresses.
            if np.dtype(field.dtype).kind not in "biuf" or min(field.shape, default=0) < 0:
                raise ValueError(f"field {field.name!r} is {field.dtype} {field.shape}")
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise CorruptError(f"{path} is no journal of this version: {error}") from error
    return head


def _whole(data: bytes, width: int) -> int:
    """How many records from the first on are whole."""
    view = memoryview(data)
    for index in range(len(data) // width):
        record = view[index * width : (index + 1) * width]
        if zlib.crc32(record[:-_CRC_BYTES]).to_bytes(_CRC_BYTES, "little") != record[-_CRC_BYTES:]:
            return index
    return len(data) // width


def _places(fields: list[Field], record: memoryview) -> dict[str, Array]:
    """Views of the record by field. They need not be aligned: they are copied to, nothing more."""
    found: dict[str, Array] = {}
    at = 0
    for field in fields:
        raw = np.frombuffer(record[at : at + field.nbytes], np.uint8)
        found[field.name] = raw.view(np.dtype(field.dtype)).reshape(field.shape)
        at += field.nbytes
    return found
