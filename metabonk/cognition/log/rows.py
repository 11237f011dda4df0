"""The decision log as rows: what was decided, in which situation, and what came of it.

Knows the journal's columns, its frames, and which rows are whole; does not know export formats or
learning. Reading never writes, goes on while the journal is written, holds a few rows at a time and
runs nothing of what it reads: a damaged row is left out, and counted by what is wrong with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from metabonk.cognition import situation
from metabonk.cognition import vocabulary as v
from metabonk.cognition.backends.choice import family
from metabonk.cognition.log import journal
from metabonk.cognition.log.store import FrameStore
from metabonk.cognition.question import Frame, Kind, Press, Question
from metabonk.errors import CorruptError
from metabonk.records import GAME_STATE, FieldGroup, GameState

_MOST_FRAMES = 64  # of one row
_MOST_BYTES = 4 << 20  # of one row: a broker's take two kilobytes
EXPLORED = "explore"  # the mode of an answer that was tried at random


class FrameName(msgspec.Struct, frozen=True, array_like=True):
    """A frame of a row. hash: 16 bytes, its name in the store. time: seconds from the capture."""

    hash: bytes
    time: float
    predicted: bool = False


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a decision, in the `seconds` after it; see wire.Outcome."""

    applied: bool
    seconds: float
    reward: float
    health_change: float
    kills: int
    xp: float
    alive: bool
    age_ms: float


@dataclass(frozen=True)
class Row:
    """A decision and what came of it. packed: the state as the journal keeps it, expanded.
    outlook: of the state as it was, None of one that had none. directive, press: of an answer, None
    of a request that got none. at: seconds since 1970."""

    agent: str
    epoch: int
    sequence: int
    at: float
    status: str
    question: str
    cause: str
    episode: int
    goal: str
    backend: str
    model: str
    mode: str
    confidence: float
    probabilities: Mapping[str, float]
    reasoning: str
    server_ms: float
    packed: bytes
    frames: tuple[FrameName, ...]
    directive: v.Directive | None
    press: Press | None
    in_force: v.Directive | None
    came: Came
    outlook: situation.Outlook | None = None

    @property
    def id(self) -> str:
        return f"{self.agent}/{self.epoch}/{self.sequence}"

    @property
    def story(self) -> str:
        """The episode: rows of one are never split. The agent's run by its seed, for a game goes on
        when its client starts again and counts from another epoch; runs of equal seeds are one.
        Where a state says none, the episode as the client counted."""
        if self.packed:
            record = np.frombuffer(self.packed, GAME_STATE)[0]
            seed = int(record["run_seed"])
            if int(record["fields"]) & FieldGroup.RUN and seed:  # a plugin that finds none says 0
                return f"{self.agent}/run/{seed}"
        return f"{self.agent}/{self.epoch}/{self.episode}"

    @property
    def answered(self) -> bool:
        """Whether it has an answer: a directive or a press."""
        return self.directive is not None or self.press is not None

    def is_of(self, backends: Collection[str]) -> bool:
        """Whether one of these answered: `openai` is any of its servers, openai2 the second one."""
        return self.backend in backends or family(self.backend) in backends

    @property
    def explored(self) -> bool:
        """Whether the answer was tried at random, to see what comes of it: not the backend's."""
        return self.mode == EXPLORED

    @cached_property
    def state(self) -> GameState:
        """The state as a record; an empty one without."""
        return GameState.unpack(self.packed) if self.packed else GameState()

    @property
    def near(self) -> int | None:
        """Enemies near: within ten metres, or as an agent of version 1 counted them. None without
        a state, or of one that has no numbers to look from."""
        try:
            seen = self.outlook or (situation.outlook(self.packed) if self.packed else None)
        except CorruptError:
            return None
        return None if seen is None else seen.near

    @property
    def crowd(self) -> int:
        """Enemies that were said to be near and not where: `near` of a state without entities."""
        told = bool(self.state.fields & FieldGroup.ENTITIES)
        return 0 if told or self.outlook is None else self.outlook.near

    def asked(self, pictures: tuple[Frame, ...] = ()) -> Question:
        """The question as it would be asked again, without when its answer takes effect."""
        kind: Kind = "menu" if self.question == "menu" else "strategy"
        return Question(
            self.agent, kind, self.packed, pictures, in_force=self.in_force, goal=self.goal,
            crowd=self.crowd,
        )  # fmt: skip


@dataclass
class Refused:
    """Rows that were left out. undecided: decisions whose outcome has not come; unknown: outcomes
    of no decision; damaged: by what is wrong."""

    undecided: int = 0
    unknown: int = 0
    damaged: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.undecided + self.unknown + sum(self.damaged.values())


class Log:
    """A journal's folder, for reading. Raises FileNotFoundError, CorruptError.

    refused: rows that `rows` left out; whole once it came to its end. Rows may come and go while it
    is read: what has to agree is read in one block of `still`.
    """

    FRAMES = "frames"

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.refused = Refused()
        self._connection = journal.open_readonly(folder)
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
        # A text that is none spoils its row, not the log.
        self._connection.text_factory = lambda data: data.decode("utf-8", "replace")
        self._store = FrameStore(self.folder / self.FRAMES, quota=0)  # writes nothing

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Whatever is read in the block is of one moment, also where rows are removed meanwhile;
        who writes does not wait for it. Raises CorruptError where the file itself is damaged."""
        if self._connection.in_transaction:  # a block inside another
            yield
            return
        with self._whole():
            self._connection.execute("BEGIN")
            self._connection.execute("SELECT 1 FROM decisions LIMIT 1").fetchone()  # from now on
        try:
            yield
        finally:
            if self._connection.in_transaction:  # SQLite ends it by itself after some errors
                self._connection.execute("COMMIT")

    def rows(self) -> Iterator[Row]:
        """Every decision that has an outcome, by agent and in the order it was asked.

        Raises CorruptError where the file itself is damaged.
        """
        with self._whole():
            self.refused = Refused(*self._unpaired())
            cursor = self._connection.execute(
                "SELECT * FROM joined ORDER BY agent, epoch, sequence"
            )
            for raw in cursor:
                try:
                    row = _row(raw)
                except CorruptError as error:
                    self.refused.damaged[str(error).partition(":")[0]] += 1
                else:
                    yield row

    def strategists(self) -> frozenset[tuple[str, int, str]]:
        """Whose directives have an outcome, those that press buttons aside: agent, epoch, backend.

        Raises CorruptError where the file itself is damaged.
        """
        with self._whole():
            found = self._connection.execute(_STRATEGISTS).fetchall()
        return frozenset(row for row in found if isinstance(row[2], str))

    def frame(self, name: bytes) -> bytes | None:
        """A frame's JPEG; None if it is not, or no longer, kept, or damaged."""
        try:
            return self._store.get(name)
        except CorruptError:
            return None

    def digest(self) -> str:
        """SHA-256, hexadecimal, of the ids of all rows: which data something was learned from."""
        sums = hashlib.sha256()
        with self._whole():
            for agent, epoch, sequence in self._connection.execute(
                "SELECT agent, epoch, sequence FROM joined ORDER BY agent, epoch, sequence"
            ):
                sums.update(f"{agent}/{epoch}/{sequence}\n".encode())
        return sums.hexdigest()

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """Raises CorruptError for a file that is damaged."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise CorruptError(
                f"{self.folder / journal.FILE}: {error}; restore it from a copy"
            ) from error

    def _unpaired(self) -> tuple[int, int]:
        """Decisions without an outcome, outcomes without a decision."""
        counts = []
        for one, other in (("decisions", "outcomes"), ("outcomes", "decisions")):
            sql = (
                f"SELECT count(*) FROM {one} a WHERE NOT EXISTS (SELECT 1 FROM {other} b WHERE "
                "b.agent=a.agent AND b.epoch=a.epoch AND b.sequence=a.sequence)"
            )
            counts.append(int(self._connection.execute(sql).fetchone()[0]))
        return counts[0], counts[1]


_STRATEGISTS = """
SELECT DISTINCT agent, epoch, backend FROM joined
WHERE question <> 'menu' AND answer <> '' AND instr(answer, '"click"') = 0
"""
_FRAMES = msgspec.msgpack.Decoder(list[FrameName])
_SHARES = msgspec.json.Decoder(dict[str, float])


_KINDS: Mapping[Any, tuple[str, ...]] = {
    str: (
        "agent", "status", "question", "cause", "goal", "answer", "in_force", "backend", "model",
        "mode", "probabilities", "reasoning",
    ),
    int: ("epoch", "sequence", "episode", "applied", "kills", "alive"),
    float | int: (
        "at", "confidence", "server_ms", "seconds", "reward", "health_change", "xp", "age_ms",
    ),
    bytes: ("state", "frames"),
}  # fmt: skip


def _row(raw: sqlite3.Row) -> Row:
    """Raises CorruptError that begins with the column and a colon."""
    for kind, columns in _KINDS.items():
        for column in columns:
            if not isinstance(raw[column], kind):
                raise CorruptError(f"{column}: a {type(raw[column]).__name__}")
            if isinstance(raw[column], float) and not math.isfinite(raw[column]):
                raise CorruptError(f"{column}: {raw[column]}; wanted a finite number")
    answer = _json(raw["answer"], "answer")
    menu = raw["question"] == "menu"
    try:
        directive = v.read(answer) if answer and not menu else None
        press = msgspec.convert(answer, Press) if answer and menu else None
        in_force = _json(raw["in_force"], "in_force")
        followed = v.read(in_force) if in_force else None
        frames = _FRAMES.decode(raw["frames"]) if raw["frames"] else []
        shares = _SHARES.decode(raw["probabilities"]) if raw["probabilities"] else {}
    except (CorruptError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise CorruptError(f"answer: {error}") from error
    if len(frames) > _MOST_FRAMES:
        raise CorruptError(f"frames: {len(frames)}; wanted at most {_MOST_FRAMES}")
    try:
        kept = situation.unfold(raw["state"])
    except CorruptError as error:
        raise CorruptError(f"state: {error}") from error
    came = Came(
        applied=bool(raw["applied"]), seconds=raw["seconds"], reward=raw["reward"],
        health_change=raw["health_change"], kills=raw["kills"], xp=raw["xp"],
        alive=bool(raw["alive"]), age_ms=raw["age_ms"],
    )  # fmt: skip
    return Row(
        raw["agent"], raw["epoch"], raw["sequence"], raw["at"], raw["status"], raw["question"],
        raw["cause"], raw["episode"], raw["goal"], raw["backend"], raw["model"], raw["mode"],
        raw["confidence"], shares, raw["reasoning"], raw["server_ms"], kept.packed,
        tuple(frames), directive, press, followed, came, kept.outlook,
    )  # fmt: skip


def _json(text: str, column: str) -> Any:
    if not text:
        return {}
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise CorruptError(f"{column}: {error}") from error
