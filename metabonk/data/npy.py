"""Arrays in `.npz` files: their shapes without reading them, and reading them within bounds.

Knows zip files and numpy's format; does not know what the arrays mean. Nothing in a file is run,
and no file makes its reader allocate more than the bytes that it says it holds.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from metabonk.errors import CorruptError
from metabonk.protocols import Array

MOST_BYTES = 4 << 30  # of all arrays of a file together
_SUFFIX = ".npy"
_READ = (ValueError, zipfile.BadZipFile, EOFError, KeyError, NotImplementedError, RuntimeError)


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
    path = Path(path)
    found: dict[str, Shape] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename.endswith(_SUFFIX):
                    with archive.open(member) as file:
                        name = member.filename.removesuffix(_SUFFIX)
                        found[name] = _shape(file, member.file_size)
    except _READ as error:
        raise _unreadable(path, error) from error
    total = sum(s.nbytes for s in found.values())
    if total > most_bytes:
        raise CorruptError(
            f"{path}: its arrays fill {total:,} bytes, at most {most_bytes:,} are read: cut it up"
        )
    return found


def load(path: Path | str, *, most_bytes: int = MOST_BYTES) -> dict[str, Array]:
    """Every array by name. Raises CorruptError as `shapes` does."""
    path = Path(path)
    names = shapes(path, most_bytes=most_bytes)
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except _READ as error:
        raise _unreadable(path, error) from error


def column(path: Path | str, name: str) -> Array:
    """One array of a file. Raises CorruptError, also where there is none of that name."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            found: Array = file[name]
            return found
    except _READ as error:
        raise _unreadable(path, error) from error


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
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"an array of numpy's format {version}")
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    found = Shape(dtype, shape)
    if min(shape, default=0) < 0 or found.nbytes != size - file.tell():
        raise ValueError(f"an array {dtype} {shape} in {size - file.tell()} bytes")
    return found


def _unreadable(path: Path, error: Exception) -> CorruptError:
    return CorruptError(
        f"{path} cannot be read without running code from it ({error}): "
        "write it again as plain arrays"
    )
