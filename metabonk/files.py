"""Files that are whole or not there, whatever is killed or full meanwhile; how many may be open.

Knows the operating system's renames, flushes and limits; does not know what the bytes mean.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A sibling of `path`, of the same suffix, to be written; takes its place at the end.

    What was at `path` stays until then, and for good if the block raises; the sibling is gone
    either way. On the disk when this returns.
    """
    path = Path(path)
    sibling = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield sibling
        sync(sibling)
        os.replace(sibling, path)
        sync(path.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            sibling.unlink()


def replace(path: Path | str, data: bytes) -> None:
    """Makes `data` the content of `path`, or leaves what was there. Raises OSError."""
    with replacing(path) as sibling:
        sibling.write_bytes(data)


def write(path: Path | str, data: bytes) -> None:
    """Writes a file whose directory is not in its place yet; on the disk when this returns."""
    with Path(path).open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def create(path: Path | str, data: bytes, mode: int) -> None:
    """Writes a file that must not be there yet, with permissions `mode` from its first moment on;
    on the disk when this returns. Raises FileExistsError, OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def place(path: Path | str, data: bytes) -> None:
    """As `replace`, for what may be lost with the machine, not with the process: whole or not there
    after a kill, and not waited for until it is on the disk. Raises OSError."""
    partial = Path(path).with_suffix(".partial")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def append(path: Path | str, line: bytes) -> None:
    """Adds one line without its break, on the disk when this returns.

    Half a line that a kill or a full disk left at the end is dropped before.
    """
    path = Path(path)
    drop_torn_line(path)
    with path.open("ab") as file:
        file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())


def drop_torn_line(path: Path | str) -> None:
    """Clears what stands behind the last line break; nothing where there is no file."""
    path = Path(path)
    if path.exists():
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 1))
            if file.read() in (b"", b"\n"):
                return
        os.truncate(path, len(whole_lines(path.read_bytes())))


def whole_lines(data: bytes) -> bytes:
    """`data` up to its last line break."""
    return data[: data.rfind(b"\n") + 1]


def allow_many() -> int:
    """Lets this process open as many files as it may, where it begins with fewer (1,024 as a rule);
    returns how many. A mapped file counts as an open one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # some systems name a most that they refuse
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def sync(path: Path | str) -> None:
    """Puts on the disk what a file holds, or the names that a directory does: what was created in
    it or renamed."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
