"""Recovery: rows in journals into chunks, by the recorder itself or after a kill by whoever opens
its folder next.

Knows journals, sinks and the lock of a folder; does not know threads or games.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from metabonk.data import journal
from metabonk.data.episode import Header
from metabonk.data.sinks import Sink, make_sink
from metabonk.errors import CorruptError

PATTERN = "journal-*"
AT_HAND = "journal-at-hand"  # sorts behind the others: of a row that was not complete


def recover(directory: Path | str) -> int:
    """Puts what a kill left in journals into chunks; returns how many rows those were.

    Nothing happens while somebody records there. Raises CorruptError for a damaged journal.
    """
    directory = Path(directory)
    if not any(directory.glob(PATTERN)):
        return 0
    with lock(directory) as ours:
        return recover_locked(directory) if ours else 0


def recover_locked(directory: Path) -> int:
    """The same for who holds the lock."""
    rows = 0
    for path in sorted(directory.glob(PATTERN)):
        with path.open("rb") as file:
            begun = file.readline(1 << 20).endswith(b"\n")  # else killed before its first line
        if begun:
            found = journal.read(path)
            header, compress = _about(path, found.details)
            sinks = {
                name: make_sink(name, directory, header, compress=compress)
                for name in _first(path, found.details)
            }
            if not path.name.startswith(AT_HAND) or _follows(path, found, sinks):
                rows += close_journal(path, found, sinks)
        path.unlink()
    return rows


def details_of(header: Header, compress: bool, first: Mapping[str, int]) -> dict[str, Any]:
    """What a journal says of its rows. first: number of its first row in each sink."""
    return {
        "first": dict(first),
        "header": msgspec.to_builtins(header),
        "compress": compress,
    }


def close_journal(path: Path, found: journal.Rows, sinks: Mapping[str, Sink]) -> int:
    """Gives every sink the rows that it does not have yet; returns how many rows there are."""
    first = _first(path, found.details)
    count = len(next(iter(found.arrays.values()), ()))
    for name, sink in sinks.items():
        have = max(0, sink.position - first[name])
        if have < count:
            sink.write({key: value[have:] for key, value in found.arrays.items()})
    return count


def _follows(path: Path, found: journal.Rows, sinks: Mapping[str, Sink]) -> bool:
    """Whether a row that was at hand is the next one: not where it was completed since, nor where
    rows before it are lost (to a power cut)."""
    first = _first(path, found.details)
    return min((sink.position - first[name] for name, sink in sinks.items()), default=-1) == 0


@contextlib.contextmanager
def lock(directory: Path) -> Iterator[bool]:
    """Whether nobody else holds the directory; held until the block ends."""
    with (directory / "lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _first(path: Path, details: Mapping[str, Any]) -> dict[str, int]:
    try:
        return msgspec.convert(details["first"], dict[str, int])
    except (KeyError, msgspec.ValidationError) as error:
        raise CorruptError(f"{path} is no journal of a recording: {error}") from error


def _about(path: Path, details: Mapping[str, Any]) -> tuple[Header, bool]:
    try:
        return msgspec.convert(details["header"], Header), bool(details["compress"])
    except (KeyError, msgspec.ValidationError) as error:
        raise CorruptError(f"{path} is no journal of a recording: {error}") from error
