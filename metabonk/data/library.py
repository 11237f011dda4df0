"""The library: whatever was recorded, by us or by writers of version 1, as pieces of episodes.

Knows episode folders, `.npz` and `.pt` files and which of them belong together; does not know
batches or Torch. A piece is a run of consecutive decisions of one episode, whose length is known
before anything of it is read. Chunks of one episode that lie in several files are one piece: the
`done` that writers of version 1 put at the end of every file does not cut it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from metabonk.data import npy
from metabonk.data.episode import EXTRA, OBSERVATION, Episode, EpisodeStore
from metabonk.data.index import HEADER, Header
from metabonk.data.npz import Ends, ends_of, meta_of, read_npz, spans_of
from metabonk.data.pt import read_pt
from metabonk.data.recovery import recover
from metabonk.data.sinks import EPISODES
from metabonk.errors import ConfigError, CorruptError
from metabonk.protocols import Array

CACHE_BYTES = 256 << 20  # of decoded files that a process keeps
FIELDS = ("action", "reward", "terminated", "truncated", "is_first")
READERS: dict[str, Callable[[Path], list[Episode]]] = {".npz": read_npz, ".pt": read_pt}
FRAME = "frame"  # an extra that stands in for the observation `pixels`


class Piece(Protocol):
    """Consecutive decisions of one episode."""

    steps: int

    @property
    def where(self) -> Path:
        """What is opened to read it; pieces of one place are cheap to read together."""

    @property
    def header(self) -> Header:
        """What it says of itself."""

    def read(self, start: int, stop: int, keys: Sequence[str] | None) -> dict[str, Array]:
        """Rows `start` to `stop`: FIELDS, and observations as `observation/<key>`. keys: which of
        them, and of what else was noted; without, every observation. Raises CorruptError, or
        ConfigError for a key that is not there."""


class Library:
    """The pieces of all that `paths` name, in their order.

    paths: `.npz` or `.pt` files; folders of episodes, of such files, or of either. A folder that
    holds the same rows in both formats is read in ours. Rows of a recording that was killed are
    recovered. Raises ConfigError where there is nothing, CorruptError for what is damaged.
    """

    def __init__(self, paths: Sequence[Path | str] | Path | str) -> None:
        given = [paths] if isinstance(paths, Path | str) else list(paths)
        self.pieces: list[Piece] = []
        files: list[Path] = []
        self._cache = _Cache(CACHE_BYTES)
        for path in map(Path, given):
            before = len(self.pieces) + len(files)
            _find(path, self._add_store, files.append)
            if len(self.pieces) + len(files) == before:
                raise ConfigError(f"{path}: neither episodes nor .npz or .pt files are there")
        self.pieces += _joined(files, self._cache)

    @property
    def steps(self) -> int:
        """Decisions in all pieces together."""
        return sum(piece.steps for piece in self.pieces)

    def _add_store(self, directory: Path) -> None:
        store = EpisodeStore(directory)
        for env, number in store.entries(complete=False):
            steps = store.steps(env, number)
            if steps:
                self.pieces.append(StoredPiece(store, env, number, steps))


@dataclass
class StoredPiece:
    """An episode in our format: only what is asked for is read."""

    store: EpisodeStore
    env: int
    number: int
    steps: int

    @property
    def where(self) -> Path:
        return self.store.directory

    @property
    def header(self) -> Header:
        return self.store.header

    def read(self, start: int, stop: int, keys: Sequence[str] | None) -> dict[str, Array]:
        rows = self.store.read_rows(self.env, self.number, start, stop, _wanting(keys))
        return _chosen(rows, keys, str(self.store.directory))


@dataclass
class FilePiece:
    """A part of an episode in files of other writers. parts: file, its episode, decisions."""

    parts: list[tuple[Path, int, int]]
    cache: _Cache = field(repr=False)
    steps: int = 0

    @property
    def where(self) -> Path:
        return self.parts[0][0]

    @property
    def header(self) -> Header:
        path, number, _ = self.parts[0]
        return self.cache.read(path)[number].header

    def read(self, start: int, stop: int, keys: Sequence[str] | None) -> dict[str, Array]:
        found: list[dict[str, Array]] = []
        at = 0
        for index, (path, number, steps) in enumerate(self.parts):
            first, last = max(0, start - at), min(steps, stop - at)
            if first < last:
                rows = _rows(self.cache.read(path)[number], first, last)
                goes_on = index + 1 < len(self.parts)
                if goes_on and last == steps:
                    rows["truncated"][-1] = False  # the file ended, not the episode
                rows["is_first"][0] = at + first == 0
                found.append(_chosen(rows, keys, str(path)))
            at += steps
        return {key: np.concatenate([f[key] for f in found]) for key in found[0]}


class _Cache:
    """Decoded files, those used last, of `most_bytes` together; every process has its own."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[Path, tuple[list[Episode], int]] = OrderedDict()

    def read(self, path: Path) -> list[Episode]:
        found = self._kept.pop(path, None)
        if found is None:
            episodes = READERS[path.suffix](path)
            found = episodes, sum(_nbytes(e) for e in episodes)
        self._kept[path] = found
        while len(self._kept) > 1 and sum(size for _, size in self._kept.values()) > self._most:
            self._kept.popitem(last=False)
        return found[0]

    def __getstate__(self) -> dict[str, Any]:
        return {"_most": self._most, "_kept": OrderedDict()}  # nothing to send to other processes


def _find(path: Path, store: Callable[[Path], None], file: Callable[[Path], None]) -> None:
    """Calls `store` for folders of episodes and `file` for files, in the order of their names."""
    if path.is_file() and path.suffix in READERS:
        file(path)
        return
    if not path.is_dir():
        return
    recover(path)
    for folder in (path, path / EPISODES):
        if (folder / HEADER).exists():
            store(folder)
            return
    inside = sorted(path.iterdir())
    files = [p for p in inside if p.is_file() and p.suffix in READERS]
    for found in files or [p for p in inside if p.is_dir()]:
        _find(found, store, file)


@dataclass(frozen=True)
class _Outline:
    """A file before it is read: its episodes' lengths, and where it belongs."""

    path: Path
    lengths: list[int]
    episode: str
    chunk: int
    ended: bool  # its last row is the end of an episode by the file's own account


def _outline(path: Path, cache: _Cache) -> _Outline:
    if path.suffix == ".npz":
        shapes = npy.shapes(path)
        if "observations" not in shapes:
            raise CorruptError(f"{path}: observations must be uint8 [T, H, W, 3]")
        steps = shapes["observations"].shape[0] if shapes["observations"].shape else 0
        small: dict[str, Array] = {
            name: npy.column(path, name)
            for name in ("dones", "truncated", "is_first", "meta")
            if name in shapes
        }
        ends, meta = ends_of(path, small, steps), meta_of(path, small)
        return _of(path, ends, meta, "truncated" in small)
    episodes = cache.read(path)
    lengths = [len(episode) for episode in episodes]
    meta = episodes[0].header.details if episodes else {}
    ended = bool(episodes and episodes[-1].terminated[-1:].any())
    return _Outline(path, lengths, _name(meta), _number(meta), ended)


def _of(path: Path, ends: Ends, meta: Mapping[str, Any], says: bool) -> _Outline:
    lengths = [b - a for a, b in spans_of(ends)]
    over = bool(ends.terminated[-1:].any()) or (says and bool(ends.truncated[-1:].any()))
    return _Outline(path, lengths, _name(meta), _number(meta), over)


def _name(meta: Mapping[str, Any]) -> str:
    return str(meta.get("episode_id") or "")


def _number(meta: Mapping[str, Any]) -> int:
    number = meta.get("chunk_index")
    return number if isinstance(number, int) else -1


def _joined(files: Sequence[Path], cache: _Cache) -> list[Piece]:
    """The pieces of files; chunks of one episode are joined where one follows the other."""
    outlines = [_outline(path, cache) for path in files]
    order = {o.episode: index for index, o in reversed(list(enumerate(outlines))) if o.episode}
    outlines.sort(key=lambda o: (order.get(o.episode, 0), o.chunk) if o.episode else (-1, 0))
    pieces: list[FilePiece] = []
    before: _Outline | None = None
    for outline in outlines:
        for number, steps in enumerate(outline.lengths):
            follows = number == 0 and before is not None and _follows(before, outline)
            if not steps:
                continue
            if follows and pieces:
                pieces[-1].parts.append((outline.path, number, steps))
            else:
                pieces.append(FilePiece([(outline.path, number, steps)], cache))
            pieces[-1].steps += steps
        before = outline
    return list(pieces)


def _follows(before: _Outline, after: _Outline) -> bool:
    same = bool(after.episode) and before.episode == after.episode
    return same and after.chunk == before.chunk + 1 > 0 and not before.ended


def _rows(episode: Episode, first: int, last: int) -> dict[str, Array]:
    span = slice(first, last)
    rows = {f"{OBSERVATION}{k}": v[span] for k, v in episode.observation.items()}
    rows |= {f"{EXTRA}{k}": v[span] for k, v in episode.extra.items()}
    rows |= {k: np.array(getattr(episode, k)[span]) for k in FIELDS if k != "is_first"}
    rows["is_first"] = np.zeros(last - first, np.bool_)
    return rows


def _wanting(keys: Sequence[str] | None) -> Callable[[str], bool]:
    """Which arrays of a chunk have to be read."""

    def wanted(name: str) -> bool:
        if name in FIELDS:
            return True
        prefix, _, key = name.partition("/")
        if keys is None:
            return f"{prefix}/" == OBSERVATION
        return key in keys or (f"{prefix}/{key}" == f"{EXTRA}{FRAME}" and "pixels" in keys)

    return wanted


def _chosen(rows: Mapping[str, Array], keys: Sequence[str] | None, where: str) -> dict[str, Array]:
    """FIELDS and the observations that were asked for; extras become observations."""
    if missing := [name for name in FIELDS if name not in rows]:
        raise CorruptError(f"{where}: a chunk has no {missing[0]!r}; remove it to read the rest")
    found = {name: rows[name] for name in FIELDS}
    if keys is None:
        return found | {k: v for k, v in rows.items() if k.startswith(OBSERVATION)}
    for key in keys:
        names = [f"{OBSERVATION}{key}", f"{EXTRA}{key}"]
        names += [f"{EXTRA}{FRAME}"] if key == "pixels" else []
        name = next((n for n in names if n in rows), None)
        if name is None:
            known = sorted(k.partition("/")[2] for k in rows if "/" in k)
            raise ConfigError(f"keys: {where} has no {key!r}, it has {', '.join(known)}")
        found[f"{OBSERVATION}{key}"] = rows[name]
    return found


def _nbytes(episode: Episode) -> int:
    arrays = [*episode.observation.values(), *episode.extra.values(), episode.action]
    return sum(a.nbytes for a in arrays)
