"""The decision ledger and the record of inputs, as they lie on disk.

Knows the records in a session's journals (csrc/play/ledger.h, arena_game.h); does not know how
journals are framed, games or policies.

A record's times `woke`, `seen`, `decided` and `acted` are nanoseconds after `planned`; `planned`
and `capture` are of the machine's monotonic clock. `acted` is when the control thread handed the
action over: of games in other processes a thread sends it later, and the record is written by then.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metabonk import _core
from metabonk.errors import ConfigError, CorruptError
from metabonk.play.journal import JournalReader
from metabonk.records import ACTION_COLUMNS, GAME_STATE

Array = npt.NDArray[Any]

LEDGER, INPUTS, SEEN = "ledger", "inputs", "seen"
CAPACITY = 1 << 14  # records that wait for a disk: minutes of one agent, seconds of sixteen
BYTES_MAX = 4 << 30  # of what is taken in at once: four days of one agent's ledger

TICK = np.dtype(
    [
        ("crc", "<u4"), ("entry", "u1"), ("agent", "u1"), ("gate", "<u2"), ("tick", "<u8"),
        ("sequence", "<u8"), ("capture", "<i8"), ("planned", "<i8"), ("woke", "<i4"),
        ("seen", "<i4"), ("decided", "<i4"), ("acted", "<i4"), ("counter", "<u8"),
        ("observation", "<u8", 2), ("memory", "<u8"), ("artifact", "u1", 32),
        ("action", "<f4", ACTION_COLUMNS), ("directive", "<u4"), ("candidate", "<i4"),
        ("score", "<f4"), ("dt", "<f4"), ("frame", "<u8"),
    ]
)  # fmt: skip
DIRECTIVE = np.dtype(
    [
        ("crc", "<u4"), ("entry", "u1"), ("agent", "u1"), ("unused", "<u2"), ("tick", "<u8"),
        ("id", "<u4"), ("action", "u1"), ("target", "u1"), ("priority", "u1"), ("kind", "u1"),
        ("until", "<i8"), ("number", "<u4"), ("rest", "u1", 156),
    ]
)  # fmt: skip
INPUT = np.dtype(
    [
        ("crc", "<u4"), ("agent", "<u2"), ("reserved", "<u2"), ("step", "<u8"),
        ("action", "<f4", ACTION_COLUMNS),
    ]
)  # fmt: skip
# What a recording keeps of the state beside the observation: all but entities, pickups and offers.
STATE_HEAD: int = GAME_STATE.fields["entities"][1]  # type: ignore[index]
STATE_WIDGETS = GAME_STATE["widgets"].itemsize
_ENTRY_TICK, _ENTRY_DIRECTIVE = 1, 2


class Gate(enum.IntFlag):
    """What stood between the policy and the game in a tick (csrc/play/ledger.h)."""

    DECIDED = 1
    BEGINS = 2
    DIRECTED = 4
    EXPIRED = 8
    UNGROUNDED = 16
    RELEASED = 32
    HELD = 64
    SAFE = 128
    FAULT = 256
    UNANSWERED = 512
    REFUSED = 1024
    MISSED = 2048
    MUTED = 4096


MEANING = {
    Gate.DECIDED: "the policy answered a new moment",
    Gate.BEGINS: "a run began: it had forgotten its past",
    Gate.DIRECTED: "the directive in force changed the action",
    Gate.EXPIRED: "the directive had run out",
    Gate.UNGROUNDED: "the directive fits nothing in this state",
    Gate.RELEASED: "a choice or click was left out: games take a press after a release only",
    Gate.HELD: "nothing new came: the last action was sent again",
    Gate.SAFE: "nothing had come for too long: the safe action was sent",
    Gate.FAULT: "the policy refused the moment",
    Gate.UNANSWERED: "the policy, on a thread of its own, had no answer yet",
    Gate.REFUSED: "the game did not take the action",
    Gate.MISSED: "the action was handed over after the next tick's planned start",
    Gate.MUTED: "a choice or click of the policy was left out: somebody else has the menu",
}


@dataclass(frozen=True)
class Ledger:
    """What a ledger holds. ticks: TICK [T], in the order in which they were played; directives:
    DIRECTIVE [D], id 0 where a run began and the one in force ended. torn: bytes at the end that
    are no whole record."""

    ticks: Array
    directives: Array
    torn: int

    def at(self, tick: int, agent: int = 0) -> int:
        """Row of a tick in `ticks`. Raises ConfigError that says which there are."""
        of_agent = self.ticks["agent"] == agent
        rows = np.flatnonzero(of_agent & (self.ticks["tick"] == tick))
        if len(rows) == 0:
            known = self.ticks["tick"][of_agent]
            if len(known) == 0:
                raise ConfigError(f"the ledger has no tick of agent {agent}")
            raise ConfigError(
                f"the ledger has no tick {tick} of agent {agent}: it has {int(known.min())} to "
                f"{int(known.max())}, without those that were skipped"
            )
        return int(rows[0])

    def directive(self, number: int, agent: int = 0) -> Array | None:
        """The directive of that id, None if the ledger has none."""
        chosen = (self.directives["id"] == number) & (self.directives["agent"] == agent)
        rows = np.flatnonzero(chosen)
        return self.directives[rows[-1]] if len(rows) else None


def create(directory: Path, name: str, record_bytes: int, capacity: int) -> Any:
    """A native journal `<directory>/<name>.bin`. Raises OSError if there is one already."""
    return _core.play.Journal(str(path_of(directory, name)), name, record_bytes, capacity)


def path_of(directory: Path, name: str) -> Path:
    """Where a journal of a session lies."""
    return directory / f"{name}.bin"


def read_ledger(directory: Path) -> Ledger:
    """The ledger of a session, also while it is being written. Raises CorruptError."""
    rows, torn = read_journal(path_of(directory, LEDGER), LEDGER, TICK)
    directives = rows[rows["entry"] == _ENTRY_DIRECTIVE].view(DIRECTIVE)
    return Ledger(rows[rows["entry"] == _ENTRY_TICK], directives, torn)


def read_inputs(directory: Path) -> Array:
    """What was played, INPUT [T]. Raises CorruptError."""
    return read_journal(path_of(directory, INPUTS), INPUTS, INPUT)[0]


def seen_record(observed: int) -> np.dtype[Any]:
    """A record of what a decision saw; `observed`: bytes of its observation."""
    fields = [
        ("crc", "<u4"), ("agent", "<u2"), ("reserved", "<u2"), ("tick", "<u8"),
        ("head", "u1", STATE_HEAD), ("widgets", "u1", STATE_WIDGETS),
        ("observation", "u1", observed),
    ]  # fmt: skip
    used = np.dtype(fields).itemsize
    return np.dtype([*fields, ("padding", "u1", -used % 8)])


def read_journal(path: Path, name: str, record: np.dtype[Any]) -> tuple[Array, int]:
    """The whole records of a journal and how many bytes at its end are none.

    Raises CorruptError for a file that is no journal of these records, that is damaged anywhere but
    at its end, or that is too large to be taken in at once.
    """
    size = path.stat().st_size
    if size > BYTES_MAX:
        raise CorruptError(
            f"{path} has {size:,} bytes, at most {BYTES_MAX:,} are taken in at once: read it a "
            "part at a time (metabonk.play.journal), and play shorter sessions"
        )
    with JournalReader(path, name, record) as journal:
        return journal.read(0, journal.count), journal.torn
