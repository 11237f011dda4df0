"""What an agent of a soak did, line by line, so that no kill takes it: the other half of the truth.

The broker's journal says what was decided; a ledger says what was asked, seen and followed. Knows
its entries and files; judges nothing (verdict.py does). Every entry is one write to a file of its
own process. Times are CLOCK_MONOTONIC nanoseconds, one clock for the whole machine.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec

from metabonk import files
from metabonk.errors import CorruptError


class Began(msgspec.Struct, frozen=True, tag="began"):
    """A client of `agent` started. epoch: of its requests. every_ns: between two of them. slow: it
    looks away from its replies on purpose."""

    at_ns: int
    agent: str
    epoch: int
    process: int
    every_ns: int = 0
    slow: bool = False


class Asked(msgspec.Struct, frozen=True, tag="asked"):
    """A request left the agent's hands; from here on it must have exactly one outcome."""

    at_ns: int
    id: str
    captured_ns: int
    deadline_ns: int


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """A reply came. answer: a digest of what it said, empty without an answer. backend: who
    answered."""

    at_ns: int
    id: str
    status: str
    answer: str = ""
    recorded: bool = True
    backend: str = ""


class Applied(msgspec.Struct, frozen=True, tag="applied"):
    """The game's thread followed an answer for the first time."""

    at_ns: int
    id: str


class Acknowledged(msgspec.Struct, frozen=True, tag="acknowledged"):
    """The broker said that the request's outcome is written down."""

    at_ns: int
    id: str


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The client ended in order. ticks: of the game's thread; late: those that began more than half
    a period after their time. blocked_ns: how long the client held the game's thread per tick:
    median, 99th percentile, most. counters: its own. asked_until_ns: when it stopped asking, before
    it waited for its last acknowledgements."""

    at_ns: int
    agent: str
    epoch: int
    ticks: int = 0
    late: int = 0
    blocked_ns: tuple[int, int, int] = (0, 0, 0)
    counters: dict[str, float] = {}
    asked_until_ns: int = 0


class Cut(msgspec.Struct, frozen=True, tag="cut"):
    """The agent closed its connection on purpose, to come back on another one."""

    at_ns: int
    agent: str


class Welcomed(msgspec.Struct, frozen=True, tag="welcomed"):
    """The broker gave the agent its name. session: of that start of the broker."""

    at_ns: int
    agent: str
    session: str


Entry: TypeAlias = Began | Asked | Answered | Applied | Acknowledged | Ended | Cut | Welcomed
_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


def now() -> int:
    """The clock of all entries."""
    return time.monotonic_ns()


class Ledger:
    """A file that entries are added to; each is one write, from any thread."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def add(self, entry: Entry) -> None:
        """Raises OSError where the disk is full."""
        os.write(self._fd, _ENCODER.encode(entry) + b"\n")

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read(directory: Path, agent: str = "") -> Iterator[Entry]:
    """The entries of every ledger in a folder, file by file; half a last line is left out.

    agent: of this one only. Raises CorruptError with file and line for what is no entry.
    """
    for path in sorted(directory.glob(f"{agent}-*.jsonl" if agent else "*.jsonl")):
        for number, line in enumerate(files.whole_lines(path.read_bytes()).splitlines(), 1):
            try:
                yield _DECODER.decode(line)
            except msgspec.DecodeError as error:
                raise CorruptError(f"{path}, line {number}: no entry ({error})") from error


class Seen:
    """The entries by what they are about."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.began: dict[tuple[str, int], Began] = {}
        self.asked: dict[str, Asked] = {}
        self.asked_twice: list[str] = []
        self.answered: dict[str, list[Answered]] = defaultdict(list)
        self.applied: list[Applied] = []
        self.acknowledged: set[str] = set()
        self.ended: list[Ended] = []
        self.welcomed: list[Welcomed] = []
        self.cuts = 0
        for entry in entries:
            if isinstance(entry, Began):
                self.began[entry.agent, entry.epoch] = entry
            elif isinstance(entry, Asked):
                if entry.id in self.asked:
                    self.asked_twice.append(entry.id)
                self.asked[entry.id] = entry
            elif isinstance(entry, Answered):
                self.answered[entry.id].append(entry)
            elif isinstance(entry, Applied):
                self.applied.append(entry)
            elif isinstance(entry, Acknowledged):
                self.acknowledged.add(entry.id)
            elif isinstance(entry, Ended):
                self.ended.append(entry)
            elif isinstance(entry, Welcomed):
                self.welcomed.append(entry)
            elif isinstance(entry, Cut):
                self.cuts += 1
        self.applied.sort(key=lambda entry: entry.at_ns)


def split(id: str) -> tuple[str, int, int]:
    """Agent, epoch and sequence of an id as `omega-0/17/3`."""
    agent, epoch, sequence = id.rsplit("/", 2)
    return agent, int(epoch), int(sequence)
