"""Arrays in `.npz` files: their shapes without reading them, and reading them within bounds.

Knows zip files and numpy's format; does not know what the arrays mean. Nothing in a file is run,
and no file makes its reader allocate more than the bytes that it says it holds.
"""

from __future__ import annotations

import contextlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from metabonk.errors import CorruptError
from metabonk.protocols import Array

MOST_BYTES = 4 << 30  # of all arrays of a file together
_SUFFIX = ".npy"
_HEADER_BYTES = 1 << 14
# What zip files and arrays that were damaged make their readers raise.
_DAMAGE = (
    *(ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, OverflowError, TypeError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)
# As numpy writes it. Its own reader takes more, by way of Python's parser.
_HEADER = re.compile(
    rb"\{'descr': '([<>|=][a-zA-Z]\d+)', 'fortran_order': (?:True|False), "
    rb"'shape': \(((?:\d+,? ?)*)\), \} *\n"
)


class Shape(NamedTuple):
    """An array that was not read yet."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


def shapes(path: Path | str, *, most_bytes: int = MOST_BYTES) -> dict[str, Shape]:
    """Every array's type and shape by name; reads their headers alone.

    Raises CorruptError for a file that is none, that only pickle could read, whose arrays are not
    as long as they say, or that would fill more than `most_bytes` of memory.
    """
    found: dict[str, Shape] = {}
    with _reading(Path(path)), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith(_SUFFIX):
                with archive.open(member) as file:
                    name = member.filename.removesuffix(_SUFFIX)
                    found[name] = _shape(file, member.file_size)
    total = sum(s.nbytes for s in found.values())
    if total > most_bytes:
        raise CorruptError(
            f"{path}: its arrays fill {total:,} bytes, at most {most_bytes:,} are read: cut it up"
        )
    return found


def load(path: Path | str, *, most_bytes: int = MOST_BYTES) -> dict[str, Array]:
    """Every array by name. Raises CorruptError as `shapes` does."""
    names = shapes(path, most_bytes=most_bytes)
    with _reading(Path(path)), np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in names}


def column(path: Path | str, name: str) -> Array:
    """One array of a file of which `shapes` was asked. Raises CorruptError, also where there is
    none of that name."""
    with _reading(Path(path)), np.load(path, allow_pickle=False) as file:
        found: Array = file[name]
        return found


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What damage does becomes a CorruptError that names the file."""
    try:
        yield
    except _DAMAGE as error:
        raise CorruptError(
            f"{path} cannot be read without running code from it ({error}): "
            "write it again as plain arrays"
        ) from error
    except OSError as error:
        if error.filename is not None:  # it is not there, or may not be read
            raise
        raise CorruptError(f"{path} is damaged: {error}") from error


def save(file: IO[bytes], arrays: Mapping[str, Array], *, compress: bool = True) -> None:
    """Writes an `.npz` file, as `numpy.savez_compressed` does, at the quickest level: rendered
    frames become hardly smaller for more time, and a recorder has to keep up."""
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", kind, compresslevel=1 if compress else None) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}{_SUFFIX}", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def _shape(file: IO[bytes], size: int) -> Shape:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"an array of numpy's format {version}")
    width = 2 if version == (1, 0) else 4
    length = int.from_bytes(file.read(width), "little")
    header = _HEADER.fullmatch(file.read(min(length, _HEADER_BYTES)))
    if header is None:
        raise ValueError("an array of anything but plain numbers or text")
    dtype = np.dtype(header[1].decode())
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    found = Shape(dtype, tuple(int(n) for n in header[2].replace(b" ", b"").split(b",") if n))
    held = size - file.tell()
    if found.nbytes != held:
        raise ValueError(f"an array {dtype} {found.shape} in {held} bytes")
    return found
