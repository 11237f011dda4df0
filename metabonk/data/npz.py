"""`.npz` recordings: demonstrations and on-policy chunks that other tools write and read.

Knows their columns (metabonk.transports has the table) and the Episode; does not know who recorded.
Files are read without pickles, and no larger than they say. Frames are `observations` uint8
[T, H, W, 3]; actions are ten columns that lack jump, slide and choice, so our own files carry the
whole rows beside them in `rows`. Files of games with other actions have `rows` alone: to a reader
of version 1 they are films that nobody labelled.

A writer of version 1 marks the last row of every file as done, whether the game had ended or not.
That is a cut and not a death: without a key `truncated` the mark of the last row is read as one.
Our files keep `dones` true to the game and have `is_first` and `truncated` beside it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import numpy as np

from metabonk.data import npy
from metabonk.data.episode import Episode, EpisodeWriter
from metabonk.data.index import Header
from metabonk.errors import CorruptError
from metabonk.files import replacing
from metabonk.protocols import Array, BoolArray, FloatArray
from metabonk.records import ACTION_COLUMNS, ACTION_LAYOUT, Action
from metabonk.transports import ACTION_FIELDS

NPZ_COLUMNS = 10
_PLACE = re.compile(r"actions\[(\d+)(?::(\d+))?\]")


def _columns() -> Iterator[tuple[str, int, list[int]]]:
    """(field, its first column in our rows, its columns in the file) as the table says."""
    ours = {b.name: b.column for b in ACTION_LAYOUT.branches}
    for name, carried in ACTION_FIELDS.items():
        if carried.npz is not None:
            spans = [(int(a), int(b or int(a) + 1)) for a, b in _PLACE.findall(carried.npz)]
            yield name, ours[name], [c for a, b in spans for c in range(a, b)]


def to_columns(rows: FloatArray) -> FloatArray:
    """Action rows float32 [T, 12] as the ten columns of a recording; jump, slide, choice go."""
    out = np.zeros((len(rows), NPZ_COLUMNS), np.float32)
    for name, first, columns in _columns():
        if name == "click":
            clicked = np.logical_and(rows[:, first] >= 0.0, rows[:, first + 1] >= 0.0)
            out[:, columns[0]] = clicked
            out[:, columns[1:]] = np.where(clicked[:, None], rows[:, first : first + 2], 0.0)
        else:
            out[:, columns] = rows[:, first : first + len(columns)]
    return out


def from_columns(columns: FloatArray) -> FloatArray:
    """Inverse of `to_columns`: float32 [T, 12] with jump, slide and choice zero."""
    out = np.zeros((len(columns), ACTION_COLUMNS), np.float32)
    for name, first, places in _columns():
        if name == "click":
            clicked = columns[:, places[0]] >= 0.5
            out[:, first : first + 2] = np.where(clicked[:, None], columns[:, places[1:]], -1.0)
        else:
            out[:, first : first + len(places)] = columns[:, places]
    return out


def write_npz(
    path: Path | str, episode: Episode, *, frames: str = "pixels", meta: Mapping[str, Any] = {}
) -> None:
    """One episode as a file that version 1 readers open too; whole or not at all.

    frames: key of the observation uint8 [T, H, W, 3]. Raises ValueError without such frames.
    """
    if frames not in episode.observation:
        raise ValueError(f"frames: no observation {frames!r}, only {sorted(episode.observation)}")
    steps = len(episode)
    part = Part(
        frames=episode.observation[frames][:steps],
        rows=episode.action,
        reward=episode.reward,
        terminated=episode.terminated,
        truncated=episode.truncated,
        is_first=np.arange(steps) == 0,
    )
    name = f"{episode.header.source}-{episode.env}-{episode.number}"
    write_part(path, part, episode.header, {"episode_id": name, "chunk_index": 0, **meta})


class Part(NamedTuple):
    """Consecutive rows of one episode: frames uint8 [T, H, W, 3], rows float32 [T, columns]; the
    rest [T]. extra: more arrays [T, ...], under names of their own."""

    frames: Array
    rows: FloatArray
    reward: Array
    terminated: Array
    truncated: Array
    is_first: Array
    extra: Mapping[str, Array] = MappingProxyType({})


def write_part(
    path: Path | str,
    part: Part,
    header: Header,
    meta: Mapping[str, Any],
    *,
    compress: bool = True,
) -> None:
    """A part of an episode as a file that version 1 readers open too; whole or not at all.

    meta: added to the header; `episode_id` and `chunk_index` say where the part belongs.
    """
    arrays: dict[str, Array] = {
        "observations": np.ascontiguousarray(part.frames),
        "rows": part.rows,
        "rewards": part.reward,
        "dones": part.terminated,
        "truncated": part.truncated,
        "is_first": part.is_first,
        "video_source": np.array(header.source),
        "meta": np.array(msgspec.json.encode({**msgspec.to_builtins(header), **meta}).decode()),
        **part.extra,
    }
    if header.columns == ACTION_COLUMNS:
        arrays["actions"] = to_columns(part.rows)
    with replacing(path) as partial, partial.open("wb") as file:
        npy.save(file, arrays, compress=compress)


def read_npz(path: Path | str) -> list[Episode]:
    """The episodes of a recording, observations under `pixels`; the last may go on elsewhere.

    What else was noted of every row (labels, capture times) is in `extra`. Raises CorruptError
    naming the key that is missing or of the wrong shape, or for a file that only pickle could read.
    """
    path = Path(path)
    arrays = npy.load(path)
    frames = arrays.get("observations")
    if frames is None or frames.ndim != 4 or frames.dtype != np.uint8:
        raise CorruptError(f"{path}: observations must be uint8 [T, H, W, 3]")
    steps = len(frames)
    action = _actions(path, arrays, steps)
    reward = _column(path, arrays, "rewards", steps).astype(np.float32)
    ends = ends_of(path, arrays, steps)
    header = _header(path, arrays, action.shape[1])
    known = {"observations", "actions", "rows", "rewards", "dones", "truncated", "is_first"}
    extra = {k: v for k, v in arrays.items() if k not in known and v.shape[:1] == (steps,)}
    return [
        Episode(
            0,
            number,
            header,
            {"pixels": frames[a:b]},
            action[a:b],
            np.zeros((b - a, 0), np.float32),
            reward[a:b],
            ends.terminated[a:b],
            ends.truncated[a:b],
            {key: value[a:b] for key, value in extra.items()},
        )
        for number, (a, b) in enumerate(spans_of(ends))
    ]


class Ends(NamedTuple):
    """Where episodes begin and end in a file, bool [T] each."""

    terminated: BoolArray
    truncated: BoolArray
    is_first: BoolArray


def ends_of(path: Path, arrays: Mapping[str, Array], steps: int) -> Ends:
    """What a file says of them, and what a writer of version 1 meant: see the module."""
    terminated = _column(path, arrays, "dones", steps).astype(np.bool_)
    truncated = _column(path, arrays, "truncated", steps).astype(np.bool_)
    if "truncated" not in arrays and steps and terminated[-1]:
        terminated[-1], truncated[-1] = False, True
    is_first = _column(path, arrays, "is_first", steps).astype(np.bool_)
    is_first[1:] |= (terminated | truncated)[:-1]
    return Ends(terminated, truncated, is_first)


def spans_of(ends: Ends) -> list[tuple[int, int]]:
    """First row and the row after the last of every episode, or part of one."""
    starts = [int(i) for i in np.flatnonzero(ends.is_first) if i]
    return list(itertools.pairwise([0, *starts, len(ends.is_first)]))


def import_npz(paths: Iterable[Path | str], directory: Path | str) -> int:
    """Puts recordings into an episode directory, in the order given; returns the rows written.

    Files whose `meta` names the same episode are joined where one follows the other.
    """
    writer: EpisodeWriter | None = None
    rows, previous, pending = 0, "", None
    for path in paths:
        episodes = read_npz(path)
        writer = writer or EpisodeWriter(directory, episodes[0].header)
        name = str(episodes[0].header.details.get("episode_id", path))
        for index, episode in enumerate(episodes):
            joined = index == 0 and name == previous
            if pending is not None:
                rows += _append(writer, pending, cut=not joined)
            if not joined:
                writer.begin(0)
            pending = episode
        previous = name
    if writer is not None and pending is not None:
        rows += _append(writer, pending)
        writer.close()
    return rows


def _append(writer: EpisodeWriter, episode: Episode, cut: bool = True) -> int:
    """cut: False where the episode goes on, so that the file's end is not its end."""
    if not cut:
        episode.truncated[-1] = False
    nothing = np.zeros(1, np.bool_)
    for t in range(len(episode)):
        one = slice(t, t + 1)
        writer.append_step(
            {key: value[one] for key, value in episode.observation.items()},
            episode.action[one],
            episode.log_prob[one],
            episode.reward[one],
            episode.terminated[one],
            episode.truncated[one],
            nothing,
        )
    return len(episode)


def _actions(path: Path, arrays: Mapping[str, Array], steps: int) -> FloatArray:
    for key in ("rows", "actions"):
        found = arrays.get(key)
        if found is None:
            continue
        if found.ndim != 2 or len(found) != steps or found.dtype.kind not in "fiu":
            raise CorruptError(
                f"{path}: {key} is {found.dtype} {found.shape}, not numbers ({steps}, columns)"
            )
        rows: FloatArray = np.asarray(found, np.float32)
        # Other labellers have other columns; those nobody names stay as they are.
        named = key == "actions" and rows.shape[1] == NPZ_COLUMNS
        return from_columns(rows) if named else rows
    return np.tile(Action().row(), (steps, 1))  # a film that nobody labelled yet: no action at all


def _column(path: Path, arrays: Mapping[str, Array], key: str, steps: int) -> Array:
    found = arrays.get(key)
    if found is None:
        return np.zeros(steps, np.float32)
    if found.shape != (steps,):
        raise CorruptError(f"{path}: {key} has shape {found.shape}, not ({steps},)")
    return np.array(found)


def _header(path: Path, arrays: Mapping[str, Array], columns: int) -> Header:
    meta = meta_of(path, arrays)
    source = meta.get("source") or str(arrays.get("video_source", np.array("")).item())
    labelled = "actions" in arrays or "rows" in arrays
    named = ACTION_LAYOUT.to_json() if columns == ACTION_COLUMNS else meta.get("branches")
    try:
        return Header(
            source=str(source or path.stem),
            seed=int(meta.get("seed") or 0),
            actor=str(meta.get("actor") or ("unknown" if labelled else "unlabelled")),
            num_envs=1,
            rate=float(meta.get("rate") or meta.get("hz") or 0.0),
            branches=msgspec.convert(named or [], list[dict[str, Any]]),
            columns=columns,
            created=str(meta.get("created") or ""),
            details=meta,
        )
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise CorruptError(f"{path}: meta does not say what it should ({error})") from error


def meta_of(path: Path, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """The description in a file, empty where it has none. Raises CorruptError if it is damaged."""
    try:
        raw = arrays.get("meta", np.array("{}")).item()
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise CorruptError(f"{path}: meta is not a JSON object ({error})") from error
