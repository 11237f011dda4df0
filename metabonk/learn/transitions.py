"""Transitions: single decisions and what came after them, out of episodes or rollouts.

Knows episodes, the library and rollouts; does not know networks or who learns. All rows lie one
after another in memory. What came next is a row's number, so that whoever looks at one row cannot
see the next one by accident: it has to be asked for.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gymnasium import spaces as gs

from metabonk.data.library import Library, Piece
from metabonk.errors import ConfigError
from metabonk.learn.replay import Replay
from metabonk.learn.rollout import Rollout
from metabonk.protocols import Array, BoolArray, FloatArray
from metabonk.spaces import ActionLayout

OBSERVATION = "observation/"
FLAT = ("action", "reward", "terminated")
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Transitions:
    """S rows, D of them decisions.

    observation: by key [S, ...]. action float32 [S, columns], reward float32 [S] and terminated
    bool [S]: of the rows that are decisions. decisions int64 [D]: those rows. after int64 [S]: the
    row of the next observation, -1 where there is none or nobody saw it. left_out: decisions that
    cannot be learned from, by reason.
    """

    observation: dict[str, Array]
    action: FloatArray
    reward: FloatArray
    terminated: BoolArray
    decisions: Indices
    after: Indices
    left_out: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.decisions)

    @property
    def judged(self) -> Indices:
        """Decisions [J] whose outcome is known: the next observation was seen, or is no matter."""
        known = (self.after[self.decisions] >= 0) | self.terminated[self.decisions]
        return self.decisions[known]

    def returns(self, gamma: float) -> FloatArray:
        """Discounted rewards from every row to the last one that is known after it, [S]."""
        total = np.zeros(len(self.reward), np.float64)
        acted = np.zeros(len(self.reward), np.bool_)
        acted[self.decisions] = True
        for row in range(len(total) - 1, -1, -1):
            if acted[row]:
                later = self.after[row]
                future = 0.0 if self.terminated[row] or later < 0 else gamma * total[later]
                total[row] = self.reward[row] + future
        return total.astype(np.float32)

    def digest(self) -> str:
        """SHA-256, hexadecimal, of all that is learned from."""
        whole = hashlib.sha256()
        arrays = {f"{OBSERVATION}{k}": v for k, v in sorted(self.observation.items())}
        for name in ("action", "reward", "terminated", "decisions", "after"):
            arrays[name] = getattr(self, name)
        for name, array in arrays.items():
            whole.update(f"{name} {array.dtype} {array.shape}".encode())
            whole.update(np.ascontiguousarray(array).data)
        return whole.hexdigest()

    def check(self, space: gs.Dict, layout: ActionLayout) -> None:
        """Raises ConfigError naming the first way in which these are of another game."""
        for key, sub in space.spaces.items():
            found = self.observation.get(key)
            wanted = tuple(sub.shape or ())
            if found is None:
                raise ConfigError(
                    f"observation {key!r}: was not recorded, only {sorted(self.observation)} "
                    "were; record the game with it, or learn another game's motor"
                )
            if found.shape[1:] != wanted or found.dtype != sub.dtype:
                raise ConfigError(
                    f"observation {key!r}: recorded as {found.dtype} {list(found.shape[1:])}, the "
                    f"game has {sub.dtype} {list(wanted)}; record it anew"
                )
        if self.action.shape[1] != layout.columns:
            raise ConfigError(
                f"actions: recorded with {self.action.shape[1]} columns, the game has "
                f"{layout.columns}; record it anew"
            )


def from_pieces(
    pieces: Iterable[Mapping[str, Array]], layout: ActionLayout, most_steps: int = 0
) -> Transitions:
    """Rows of pieces of episodes, each in order of time.

    pieces: arrays by the keys of Library: `observation/<key>` with T or T + 1 rows, `action`,
    `reward` and `terminated` with T. most_steps: decisions after which no more is read; 0: all.
    Raises ConfigError where nothing is left to learn from.
    """
    parts = list(_first(pieces, most_steps))
    return _filled(parts, sum(_rows_of(part) for part in parts), layout)


def _first(pieces: Iterable[Mapping[str, Array]], steps: int) -> Iterator[Mapping[str, Array]]:
    """Pieces until they hold `steps` decisions together, the last one cut; 0: all."""
    left = steps
    for piece in pieces:
        yield _cut(piece, left) if steps else piece
        left -= len(piece["action"])
        if steps and left <= 0:
            return


def _filled(
    pieces: Iterable[Mapping[str, Array]], most_rows: int, layout: ActionLayout
) -> Transitions:
    """Rows of pieces, at most `most_rows` of them. There is room for them from the first one on, so
    that no piece has to be kept: recordings may be half as large as the memory is."""
    table: _Table | None = None
    for piece in pieces:
        table = table or _Table(piece, most_rows)
        table.add(piece)
    if table is None:
        raise ConfigError("transitions: no episodes were given; record some, with `train --record`")
    found = table.found()
    acted, after = table.acted[: table.rows], found.after
    usable, left_out = _usable(found.observation, found.action, found.reward, acted, after, layout)
    decisions = np.flatnonzero(usable)
    if len(decisions) < 2:
        raise ConfigError(
            f"transitions: {len(decisions)} of {int(acted.sum())} decisions can be learned from "
            f"({_reasons(left_out)}); record more"
        )
    return replace(found, decisions=decisions, left_out=left_out)


class _Table:
    """Rows that are filled piece by piece, `rows` so far. acted bool: which are decisions."""

    def __init__(self, piece: Mapping[str, Array], most: int) -> None:
        """piece: of whose kind all are."""
        self.rows = 0
        self._seen = {
            key.removeprefix(OBSERVATION): np.empty((most, *value.shape[1:]), value.dtype)
            for key, value in piece.items()
            if key.startswith(OBSERVATION)
        }
        self._action = np.zeros((most, piece["action"].shape[1]), np.float32)
        self._reward, self._terminated = np.zeros(most, np.float32), np.zeros(most, np.bool_)
        self.acted, self._after = np.zeros(most, np.bool_), np.full(most, -1, np.int64)

    def add(self, piece: Mapping[str, Array]) -> None:
        """Raises ConfigError for an observation of another kind than the first piece's."""
        first, count, done = self.rows, _rows_of(piece), len(piece["action"])
        for key, rows in self._seen.items():
            value = piece.get(f"{OBSERVATION}{key}")
            if value is None or (value.dtype, value.shape[1:]) != (rows.dtype, rows.shape[1:]):
                other = "not at all" if value is None else _kind_of(value)
                raise ConfigError(
                    f"observation {key!r}: recorded as {_kind_of(rows)} in one episode and {other} "
                    "in another; give recordings of one game"
                )
            rows[first : first + count] = value
        span = slice(first, first + done)
        self._action[span], self._reward[span] = piece["action"], piece["reward"]
        self._terminated[span], self.acted[span] = piece["terminated"], True
        self._after[first : first + count - 1] = np.arange(first + 1, first + count)
        self.rows += count

    def found(self) -> Transitions:
        """What there is; which decisions can be learned from is still to be told."""
        rows = slice(self.rows)
        terminated, after = self._terminated[rows], self._after[rows]
        after[terminated] = -1
        seen = {key: value[rows] for key, value in self._seen.items()}
        nothing = np.zeros(0, np.int64)
        return Transitions(seen, self._action[rows], self._reward[rows], terminated, nothing, after)


def _rows_of(piece: Mapping[str, Array]) -> int:
    """Observations of a piece: one more than its decisions where the last is known."""
    return len(next(value for key, value in piece.items() if key.startswith(OBSERVATION)))


def _kind_of(value: Array) -> str:
    return f"{value.dtype} {list(value.shape[1:])}"


def from_library(
    paths: Iterable[Path | str], space: gs.Dict, layout: ActionLayout, most_steps: int = 0
) -> Transitions:
    """What recordings hold of a game: folders of episodes, `.npz` or `.pt` files.

    most_steps: that many decisions of the newest episodes, of whoever played last; 0: all.
    Raises ConfigError for recordings of another game, CorruptError for damaged ones.
    """
    library = Library(list(paths))
    keys = list(space.spaces)
    newest = list(_newest(library, most_steps))
    rows = sum(piece.steps + 1 for piece in newest)
    read = (_whole(piece.read(0, piece.steps + 1, keys), piece.steps) for piece in newest)
    most_rows = min(rows, most_steps + len(newest)) if most_steps else rows
    found = _filled(_first(read, most_steps), most_rows, layout)
    found.check(space, layout)
    return found


def from_rollout(rollout: Rollout, layout: ActionLayout) -> Transitions:
    """What a rollout's environments went through, episode by episode."""
    pieces: list[dict[str, Array]] = []
    for env in range(rollout.num_envs):
        rows = {f"{OBSERVATION}{k}": v[:, env] for k, v in rollout.observation.items()}
        rows |= {k: getattr(rollout, k)[:, env] for k in (*FLAT, "is_first")}
        pieces += _episodes(rows)
    return from_pieces(pieces, layout)


def from_replay(replay: Replay, layout: ActionLayout, most_steps: int) -> Transitions:
    """What the newest `most_steps` steps of a replay, of all environments together, went through.
    Raises ConfigError where that is nothing."""
    num = replay.num_envs
    each = max(2, most_steps // num)
    pieces = (piece for env in range(num) for piece in _played(replay.newest(env, each)))
    return _filled(pieces, num * min(each, len(replay) // num), layout)


def _played(newest: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    """Pieces of one environment's newest steps, [T, ...] by name; none where there are none."""
    if newest:
        rows = {k.replace(".", "/", 1): v for k, v in newest.items()}
        yield from _episodes({**rows, **{k: v[:-1] for k, v in rows.items() if k in FLAT}})


def _episodes(rows: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    """One environment's time cut where episodes begin: observations and `is_first` [T + 1, ...],
    FLAT [T, ...]."""
    stops = len(rows["reward"])
    starts = np.flatnonzero(rows["is_first"]).tolist()
    bounds = sorted({0, *(s for s in starts if s <= stops), stops + 1})
    for start, stop in itertools.pairwise(bounds):
        # The step out of the last observation of an episode only started the next one.
        if stop - 1 > start:
            piece = {k: v[start:stop] for k, v in rows.items() if k.startswith(OBSERVATION)}
            yield piece | {k: rows[k][start : stop - 1] for k in FLAT}


def _newest(library: Library, steps: int) -> Iterator[Piece]:
    """The newest pieces that hold `steps` decisions together, the newest first; 0: all."""
    left = steps
    for piece in reversed(library.pieces):
        yield piece
        left -= piece.steps
        if steps and left <= 0:
            return


def _whole(rows: Mapping[str, Array], steps: int) -> dict[str, Array]:
    """A piece's rows with one observation more than actions where the last one is known."""
    return {k: v[:steps] if k in FLAT else v for k, v in rows.items()}


def _cut(piece: Mapping[str, Array], steps: int) -> Mapping[str, Array]:
    """The first `steps` decisions of a piece, and the observation after them."""
    if len(piece["action"]) <= steps:
        return piece
    return {k: v[: steps + k.startswith(OBSERVATION)] for k, v in piece.items()}


def _usable(
    observation: Mapping[str, Array],
    action: FloatArray,
    reward: FloatArray,
    acted: BoolArray,
    after: Indices,
    layout: ActionLayout,
) -> tuple[BoolArray, dict[str, int]]:
    """Which rows can be learned from, and how many cannot, by reason."""
    seen = np.ones(len(acted), np.bool_)
    for value in observation.values():
        if np.issubdtype(value.dtype, np.floating):
            seen &= np.isfinite(value).reshape(len(value), -1).all(1)
    later = np.where(after >= 0, seen[after], True)
    chosen = np.isfinite(action).all(1)
    for branch in layout.branches:
        if branch.kind == "categorical" and branch.column < action.shape[1]:
            value = action[:, branch.column]
            chosen &= (value >= 0) & (value < branch.size) & (value == np.floor(value))
    tests = {
        "an observation that is not finite": seen & later,
        "a reward that is not finite": np.isfinite(reward),
        "an action that the game does not have": chosen,
    }
    left_out = {reason: int((acted & ~test).sum()) for reason, test in tests.items()}
    usable = acted.copy()
    for test in tests.values():
        usable &= test
    return usable, {reason: count for reason, count in left_out.items() if count}


def _reasons(left_out: Mapping[str, int]) -> str:
    return ", ".join(f"{count} with {reason}" for reason, count in left_out.items()) or "too few"
