"""Recordings as replay: what others played, laid out so that a world model can draw from it.

Knows the library of recordings and replay; does not know networks or who learns. Episodes lie one
after another on one line of time, each begun by `is_first`, on disk and read through the page
cache, so that memory holds what is in use however much was recorded. Some whole episodes are held
out to judge by.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces as gs

from metabonk.data.episode import OBSERVATION, Header
from metabonk.data.library import Library, Piece
from metabonk.errors import ConfigError
from metabonk.learn.checkpoint import plain
from metabonk.learn.replay import Replay
from metabonk.protocols import Array, BoolArray, FloatArray
from metabonk.spaces import ActionLayout, Branch

BLOCK_BYTES = 64 << 20  # of rows that are in memory at once
SEEN = "observation."  # replay's names of observations begin so
HELD = 10  # every so many episodes one is held out
NOT_FINITE = "numbers that are not finite"
NO_ACTION = "an action that the game does not have"


@dataclass
class Recorded:
    """learned: replay to learn from. held: episodes to judge by, none of whose steps are in
    `learned`. space, layout: of what was recorded. source: the game's name. episodes: pieces that
    were read. left_out: rows that cannot be used, by reason."""

    learned: Replay
    held: Replay
    space: gs.Dict
    layout: ActionLayout
    source: str
    episodes: int
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Span:
    """Rows `start` to `stop` of a piece; one more than it has steps is its last observation."""

    piece: Piece
    start: int
    stop: int


def read(
    paths: Sequence[Path | str],
    directory: Path,
    *,
    space: gs.Dict | None = None,
    layout: ActionLayout | None = None,
    most_steps: int = 1 << 40,
) -> Recorded:
    """Lays recordings out under `directory`.

    space, layout: of the game they are for; without, those that the recordings speak of. most_steps
    of the newest ones; those of older ones are counted in `left_out`. Raises ConfigError where
    recordings are of another game or of none, or hold nothing to learn from, CorruptError for
    damaged ones.
    """
    every = Library(list(paths)).pieces
    pieces = _newest(every, most_steps)
    header = pieces[0].header
    layout = layout or layout_of(header, str(pieces[0].where))
    space = space or _space_of(pieces[0])
    learned, held = _apart(pieces)
    rows = sum(piece.steps + 1 for piece in pieces)  # what was chosen is kept, last rows and all
    found = Recorded(
        Replay(directory / "learned", rows, 1),
        Replay(directory / "held", rows, 1),
        space,
        layout,
        header.source,
        len(pieces),
        _left_out(every, pieces, most_steps),
    )
    for piece in pieces:
        _check(piece, layout)
    _lay(learned, found.learned, found)
    _lay(held, found.held, found)
    _check_enough(found)
    return found


def layout_of(header: Header, where: str) -> ActionLayout:
    """The layout that a header names; columns without bounds where it names only their number."""
    width = header.columns
    unbounded = gs.Box(-np.inf, np.inf, (width,), np.float32)
    if not header.branches:
        return ActionLayout.of(unbounded)
    try:
        branches = tuple(_branch(dict(one)) for one in header.branches)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: its header describes no actions: {error}") from error
    return ActionLayout(width, branches, unbounded)


def _branch(values: dict[str, Any]) -> Branch:
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    for name, bound in (("low", -np.inf), ("high", np.inf)):  # JSON has no infinity, but null
        values[name] = tuple(bound if v is None else float(v) for v in values.get(name, ()))
    return Branch(**values)


def _space_of(piece: Piece) -> gs.Dict:
    """The observation of a piece, from its first row."""
    rows = piece.read(0, 1, None)
    found: dict[str, gs.Space[Any]] = {}
    for name, array in rows.items():
        if name.startswith(OBSERVATION):
            whole = array.dtype.kind in "biu"
            low, high = (0, 255) if whole else (-np.inf, np.inf)
            box = gs.Box(low, high, array.shape[1:], array.dtype.type)
            found[name.removeprefix(OBSERVATION)] = box
    return gs.Dict(found)


def _newest(pieces: Sequence[Piece], most_steps: int) -> list[Piece]:
    """The last pieces that together have no more steps, at least one, in their order."""
    chosen: list[Piece] = []
    steps = 0
    for piece in reversed(pieces):
        steps += piece.steps
        if chosen and steps > most_steps:
            break
        chosen.append(piece)
    return chosen[::-1]


def _left_out(every: Sequence[Piece], chosen: Sequence[Piece], most_steps: int) -> dict[str, int]:
    """Steps of the pieces that were not chosen, by the reason and what to do about it."""
    total = sum(piece.steps for piece in every)
    older = total - sum(piece.steps for piece in chosen)
    remedy = f"learn from all with --set world.replay={total}"
    return (
        {f"older than the newest of world.replay = {most_steps}; {remedy}": older} if older else {}
    )


def _apart(pieces: Sequence[Piece]) -> tuple[list[_Span], list[_Span]]:
    """What is learned from and what is held out: whole episodes, or the last tenth of a single
    one."""
    if len(pieces) == 1:
        piece = pieces[0]
        cut = piece.steps - max(1, piece.steps // HELD)
        return [_Span(piece, 0, cut)], [_Span(piece, cut, piece.steps + 1)]
    spans = [_Span(piece, 0, piece.steps + 1) for piece in pieces]
    every = min(HELD, len(pieces))
    out = [i % every == every - 1 for i in range(len(spans))]
    return (
        [s for s, held in zip(spans, out, strict=True) if not held],
        [s for s, held in zip(spans, out, strict=True) if held],
    )


def _check(piece: Piece, layout: ActionLayout) -> None:
    header = piece.header
    if header.columns != layout.columns:
        raise ConfigError(
            f"{piece.where}: actions of {header.columns} columns, wanted {layout.columns}: "
            "these are of another game, or of another version of it; leave them out"
        )
    if header.branches and plain(header.branches) != plain(layout.to_json()):
        raise ConfigError(
            f"{piece.where}: its actions, of {header.source}, are laid out in another way than "
            "those of the game: learn from one game's recordings at a time"
        )


def _lay(spans: Sequence[_Span], replay: Replay, found: Recorded) -> None:
    """Puts spans into a replay, in blocks of a size that is quick to draw from."""
    waiting: list[dict[str, Array]] = []
    size = 0
    for span in spans:
        begins = True
        for rows in _blocks(span, found.space):
            usable = _usable(rows, found)
            # What follows a row that was left out has nothing known before it.
            rows["is_first"][1:] |= ~usable[:-1]
            rows["is_first"][0] |= begins
            begins = not usable[-1]
            waiting.append({key: value[usable] for key, value in rows.items()})
            size += sum(value.nbytes for value in waiting[-1].values())
            if size >= BLOCK_BYTES:
                _append(waiting, replay)
                waiting, size = [], 0
    _append(waiting, replay)


def _append(blocks: Sequence[Mapping[str, Array]], replay: Replay) -> None:
    if any(len(block["reward"]) for block in blocks):
        names = blocks[0]
        replay.append({k: np.concatenate([b[k] for b in blocks])[:, None] for k in names})


def _blocks(span: _Span, space: gs.Dict) -> Iterator[dict[str, Array]]:
    """Rows of a span by replay's names, [T, ...] each."""
    keys, piece = list(space.spaces), span.piece
    size = sum(int(np.prod(s.shape or ())) * np.dtype(s.dtype).itemsize for s in space.values())
    starts = list(range(span.start, span.stop, max(2, BLOCK_BYTES // max(1, size))))
    if len(starts) > 1 and span.stop - starts[-1] == 1:
        starts.pop()  # nothing is read of a last observation alone
    for start, stop in itertools.pairwise([*starts, span.stop]):
        read = piece.read(start, stop, keys)
        seen = {k: read[f"{OBSERVATION}{k}"] for k in keys}
        _check_shapes(seen, space, str(piece.where))
        known = len(next(iter(seen.values())))
        acted = min(known, piece.steps - start)
        rows: dict[str, Array] = {f"{SEEN}{k}": v for k, v in seen.items()}
        rows |= {k: _padded(read[k][:acted], known) for k in ("action", "reward", "terminated")}
        rows["is_first"] = np.zeros(known, np.bool_)
        over = start + acted == piece.steps and stop > piece.steps
        if over and known == acted and rows["terminated"][-1]:
            # Nobody saw what it ended in: the last that was seen stands for it, so that the end
            # and what it paid are not lost.
            rows = {
                k: np.concatenate([v, v[-1:]]) if k.startswith(SEEN) else _padded(v, known + 1)
                for k, v in rows.items()
            }
        yield rows


def _padded(array: Array, length: int) -> Array:
    """With zeros behind where nothing was done any more."""
    out = np.zeros((length, *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out


def _check_shapes(seen: Mapping[str, Array], space: gs.Dict, where: str) -> None:
    for key, array in seen.items():
        wanted = space[key]
        if array.shape[1:] != wanted.shape or array.dtype != wanted.dtype:
            raise ConfigError(
                f"{where}: observation {key!r} is {array.dtype} {list(array.shape[1:])}, wanted "
                f"{wanted.dtype} {list(wanted.shape or ())}: learn from recordings of one shape"
            )


def _usable(rows: Mapping[str, Array], found: Recorded) -> BoolArray:
    """Which rows can be learned from; counts the others."""
    count = len(rows["reward"])
    finite = np.ones(count, np.bool_)
    for value in rows.values():
        if value.dtype.kind == "f":
            finite &= np.isfinite(value).reshape(count, -1).all(1)
    there = finite & _exists(rows["action"], found.layout)
    for reason, test in ((NOT_FINITE, ~finite), (NO_ACTION, finite & ~there)):
        if test.any():
            found.left_out[reason] = found.left_out.get(reason, 0) + int(test.sum())
    return there


def _exists(action: FloatArray, layout: ActionLayout) -> BoolArray:
    """Which rows [T, columns] hold only choices that there are."""
    fine = np.ones(len(action), np.bool_)
    with np.errstate(invalid="ignore"):
        for branch in layout.branches:
            if branch.kind == "categorical":
                value = action[:, branch.column]
                fine &= (value >= 0) & (value < branch.size) & (value == np.floor(value))
    return fine


def _check_enough(found: Recorded) -> None:
    steps = len(found.learned)
    if not steps:
        told = ", ".join(f"{count} rows with {why}" for why, count in found.left_out.items())
        raise ConfigError(f"recordings: nothing can be learned from ({told or 'no rows'})")
    ends = found.learned.ends
    if ends and not found.learned.leading:
        raise ConfigError(
            f"recordings: every one of {ends} steps ends an episode, so that nothing ever follows "
            "from what was done: record with the ends that the game has"
        )
