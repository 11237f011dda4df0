"""Episodes on disk: what was seen, done and earned, in append-only chunks with an index.

Knows rows of environments and safetensors; does not know games, networks or who records. Any number
of processes may read while one writes; whatever a kill tears off is never handed out.

A row is one decision of one environment: the observation, the action taken in it, the
log-probability of each action branch, and the reward and flags that the action led to. After the
row that ended an episode comes one row with `is_last`: its observation is the episode's last, its
action led nowhere. `is_first` marks the first observation of an episode.

Layout: `header.json`, `index.jsonl` (a line per chunk) and `chunk-<step>.safetensors` with arrays
[N, T, ...] of N environments and T rows: `observation/<key>`, `action` float32 [N, T, columns],
`log_prob` float32 [N, T, branches], `reward` float32, `terminated`, `truncated`, `is_first` and
`is_last` bool [N, T]. Each chunk carries the header, so that a file is whole without its folder.
What else was noted of every row, such as its capture time, is `extra/<key>`.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import msgspec
import numpy as np

from metabonk import files
from metabonk.data.index import (
    INDEX,
    Chunk,
    Header,
    Segment,
    append_chunk,
    read_header,
    read_index,
    replace_index,
    write_header,
)
from metabonk.errors import CorruptError
from metabonk.protocols import Array, BoolArray, FloatArray, Observation

__all__ = ["Episode", "EpisodeStore", "EpisodeWriter", "Header"]

CHUNK_BYTES = 32 << 20
OBSERVATION, EXTRA = "observation/", "extra/"


@dataclass(frozen=True)
class Episode:
    """One episode in memory, T actions long, with T + 1 observations if its end was seen.

    observation: arrays [T or T + 1, ...]; action float32 [T, columns]; log_prob float32
    [T, branches]; reward float32, terminated, truncated bool [T]. extra: what else was noted, as
    long as the observations.
    """

    env: int
    number: int
    header: Header
    observation: dict[str, Array]
    action: FloatArray
    log_prob: FloatArray
    reward: FloatArray
    terminated: BoolArray
    truncated: BoolArray
    extra: dict[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.action)

    @property
    def complete(self) -> bool:
        """Whether the episode ended and its last observation is known."""
        return all(len(v) == len(self) + 1 for v in self.observation.values())


class EpisodeWriter:
    """Appends rows of N environments; a chunk reaches the disk when it is full or on `flush`.

    Opening a directory that already holds episodes goes on after its last whole chunk.
    """

    def __init__(
        self, directory: Path | str, header: Header, *, chunk_bytes: int = CHUNK_BYTES
    ) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.header = header
        self._chunk_bytes = chunk_bytes
        self._rows: dict[str, Array] = {}
        self._next_first: BoolArray = np.ones(header.num_envs, np.bool_)
        self._filled = 0
        self._steps = 0  # rows of the next chunk, 0 for what fits
        write_header(self.directory, header)
        files.drop_torn_line(self.directory / INDEX)
        self._continue_from(read_index(self.directory))

    @property
    def position(self) -> int:
        """Rows per environment on disk; `cut` takes it back to here."""
        return self._first

    def append_step(
        self,
        observation: Observation,
        action: FloatArray,
        log_prob: FloatArray,
        reward: FloatArray,
        terminated: BoolArray,
        truncated: BoolArray,
        is_reset: BoolArray,
        extra: Mapping[str, Array] = MappingProxyType({}),
    ) -> None:
        """One row of every environment: arrays [N, ...]; log_prob [N, branches].

        is_reset: the step only started a new episode (NEXT_STEP), so this row's observation was
        the last of the old one. Copies; the caller may reuse its arrays.
        """
        row = {f"{OBSERVATION}{key}": value for key, value in observation.items()}
        row |= {"action": action, "log_prob": log_prob, "reward": reward}
        row |= {"terminated": terminated, "truncated": truncated, "is_last": is_reset}
        row |= {f"{EXTRA}{key}": value for key, value in extra.items()}
        if not self._rows:
            self._allocate(row)
        at = self._filled
        for key, value in row.items():
            self._rows[key][:, at] = value
        self._rows["is_first"][:, at] = self._next_first
        self._next_first = np.array(is_reset, np.bool_)
        self._filled += 1
        if self._filled == self._rows["reward"].shape[1]:
            self.flush()

    def make_room(self, steps: int) -> None:
        """The next `steps` rows go into one chunk, whatever its size, after those buffered."""
        self.flush()
        self._rows = {}
        self._steps = max(1, steps)

    def begin(self, env: int) -> None:
        """The next row of `env` starts an episode, though nobody saw how the last one ended."""
        self._next_first[env] = True

    def flush(self) -> int:
        """Writes what is buffered as a chunk; returns `position`. Raises OSError (disk full)."""
        if self._filled == 0:
            return self._first
        arrays = {k: np.ascontiguousarray(v[:, : self._filled]) for k, v in self._rows.items()}
        name = f"chunk-{self._first:012d}.safetensors"
        segments = self._segments(arrays)
        chunk = Chunk(
            file=name,
            first=self._first,
            steps=self._filled,
            sha256=_write_chunk(self.directory / name, arrays, self.header),
            segments=segments,
        )
        append_chunk(self.directory, chunk)
        self._first += self._filled
        self._filled = 0
        return self._first

    def cut(self, position: int) -> None:
        """Forgets every row after `position`, which an earlier `flush` returned.

        Raises ValueError if no chunk ends there.
        """
        self._filled = 0
        chunks = read_index(self.directory)
        kept = [c for c in chunks if c.first + c.steps <= position]
        if sum(c.steps for c in kept) != position:
            raise ValueError(f"no chunk of {self.directory} ends at position {position}")
        replace_index(self.directory, kept)
        for chunk in chunks[len(kept) :]:
            (self.directory / chunk.file).unlink(missing_ok=True)
        self._continue_from(kept)

    def close(self) -> None:
        self.flush()

    def __enter__(self) -> EpisodeWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _allocate(self, row: Mapping[str, Array]) -> None:
        num_envs = self.header.num_envs
        for key, value in row.items():
            if value.shape[:1] != (num_envs,):
                raise ValueError(f"{key}: shape {value.shape}, expected [{num_envs}, ...]")
        size = max(1, sum(v.nbytes for v in row.values()) + num_envs)
        steps = self._steps or max(1, self._chunk_bytes // size)
        kinds = {"terminated": np.bool_, "truncated": np.bool_, "is_last": np.bool_}
        for key, value in row.items():
            dtype = kinds.get(key, value.dtype)
            self._rows[key] = np.zeros((num_envs, steps, *value.shape[1:]), dtype)
        self._rows["is_first"] = np.zeros((num_envs, steps), np.bool_)

    def _continue_from(self, chunks: list[Chunk]) -> None:
        num_envs = self.header.num_envs
        self._first = sum(c.steps for c in chunks)
        self._next_first = np.ones(num_envs, np.bool_)
        self._episode = [-1] * num_envs
        for segment in (s for c in chunks for s in c.segments):
            self._next_first[segment.env] = segment.complete
            self._episode[segment.env] = segment.episode

    def _segments(self, arrays: Mapping[str, Array]) -> list[Segment]:
        found: list[Segment] = []
        for env in range(self.header.num_envs):
            starts = np.flatnonzero(arrays["is_first"][env]).tolist()
            bounds = sorted({0, *starts, self._filled})
            for start, stop in itertools.pairwise(bounds):
                self._episode[env] += int(arrays["is_first"][env, start])
                rows = slice(start, stop)
                terminated = bool(arrays["terminated"][env, rows].any())
                truncated = bool(arrays["truncated"][env, rows].any())
                found.append(
                    Segment(
                        env=env,
                        episode=self._episode[env],
                        start=start,
                        stop=stop,
                        ended="terminated" if terminated else "truncated" if truncated else "",
                        complete=bool(arrays["is_last"][env, stop - 1]),
                        reward=float(arrays["reward"][env, rows].sum(dtype=np.float64)),
                    )
                )
        return found


class EpisodeStore:
    """Reads a directory of episodes, also while it is written; `refresh` sees what was added."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.header = read_header(self.directory)
        self.refresh()

    def refresh(self) -> None:
        """Reads the index again."""
        self.chunks = read_index(self.directory)
        self._parts: dict[tuple[int, int], list[tuple[Chunk, Segment]]] = {}
        for chunk in self.chunks:
            for segment in chunk.segments:
                self._parts.setdefault((segment.env, segment.episode), []).append((chunk, segment))

    def entries(self, *, complete: bool = True) -> list[tuple[int, int]]:
        """(environment, number) of every episode, in the order in which they began.

        complete: leave out those whose end is not on disk (yet).
        """
        chosen = [
            (parts[0][0].first + parts[0][1].start, key)
            for key, parts in self._parts.items()
            if parts[-1][1].complete or not complete
        ]
        return [key for _, key in sorted(chosen)]

    def steps(self, env: int, number: int) -> int:
        """Actions of an episode, without reading it."""
        parts = self._parts[(env, number)]
        return sum(s.stop - s.start for _, s in parts) - int(parts[-1][1].complete)

    def read(self, env: int, number: int) -> Episode:
        """One episode. Raises KeyError if there is none, CorruptError for a damaged chunk."""
        rows = self.read_rows(env, number)
        steps = len(rows["reward"]) - int(rows["is_last"][-1])
        names = ("action", "log_prob", "reward", "terminated", "truncated")
        fields = {name: rows[name][:steps] for name in names}
        seen, extra = _under(rows, OBSERVATION), _under(rows, EXTRA)
        return Episode(env, number, self.header, seen, **fields, extra=extra)

    def read_rows(
        self,
        env: int,
        number: int,
        start: int = 0,
        stop: int | None = None,
        wanted: Callable[[str], bool] = lambda key: True,
    ) -> dict[str, Array]:
        """Rows `start` to `stop` of an episode, of all without, as arrays by the chunks' keys; only
        those rows of keys that are `wanted` are read. Raises as `read` does."""
        pieces: list[dict[str, Array]] = []
        at = 0
        for chunk, segment in self._parts[(env, number)]:
            rows = segment.stop - segment.start
            first, last = max(0, start - at), rows if stop is None else min(rows, stop - at)
            if first < last:
                span = slice(segment.start + first, segment.start + last)
                pieces.append(_read_rows(self.directory / chunk.file, env, span, wanted))
            at += rows
        return {key: np.concatenate([p[key] for p in pieces]) for key in pieces[0]}

    def __iter__(self) -> Iterator[Episode]:
        """Every complete episode, oldest first."""
        for env, number in self.entries():
            yield self.read(env, number)

    def verify(self) -> None:
        """Compares every chunk with its hash. Raises CorruptError naming the first that is missing
        or damaged."""
        for chunk in self.chunks:
            path = self.directory / chunk.file
            if not path.is_file():
                raise CorruptError(f"{path} is gone: remove its line from {INDEX}")
            if hashlib.sha256(path.read_bytes()).hexdigest() != chunk.sha256:
                raise CorruptError(
                    f"{path} is damaged (its SHA-256 differs): remove its index line"
                )

    def manifest(self) -> str:
        """SHA-256 over header and chunk hashes: what an artifact's card names as its data."""
        parts = [msgspec.json.encode(self.header, order="sorted")]
        parts += [c.sha256.encode() for c in self.chunks]
        return hashlib.sha256(b"\n".join(parts)).hexdigest()


def _write_chunk(path: Path, arrays: dict[str, Array], header: Header) -> str:
    from safetensors.numpy import save

    data = bytes(save(arrays, metadata={"header": msgspec.json.encode(header).decode()}))
    files.replace(path, data)
    return hashlib.sha256(data).hexdigest()


def _under(rows: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {k.removeprefix(prefix): v for k, v in rows.items() if k.startswith(prefix)}


def _read_rows(
    path: Path, env: int, span: slice, wanted: Callable[[str], bool]
) -> dict[str, Array]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            keys = [key for key in file.keys() if wanted(key)]  # noqa: SIM118
            rows = (slice(env, env + 1), span)
            return {key: np.array(file.get_slice(key)[rows][0]) for key in keys}
    except (SafetensorError, OSError) as error:
        raise CorruptError(f"{path} cannot be read ({error}): remove its index line") from error
