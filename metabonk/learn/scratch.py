"""Folders that one process works in, gone when it is done.

Knows processes and files; does not know what is worked at. What a process that was killed left
behind is swept by the next one that works in the same place.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def scratch(where: Path, prefix: str) -> Iterator[Path]:
    """An empty folder `<where>/<prefix><number of this process>`, gone at the end; those of
    processes that are gone go at the beginning."""
    sweep(where, prefix)
    path = where / f"{prefix}{os.getpid()}"
    shutil.rmtree(path, ignore_errors=True)  # of another process of that number, of before
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def sweep(where: Path, prefix: str) -> None:
    """Clears away the folders of processes that are gone."""
    for path in where.glob(f"{prefix}*"):
        owner = path.name.removeprefix(prefix)
        if owner.isdigit() and not _lives(int(owner)):
            shutil.rmtree(path, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True  # somebody else's, or of another machine
    return True
