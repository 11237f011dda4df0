"""Sinks: where a recording's rows end up, in our episode format or as `.npz` files.

Knows rows as arrays [T, ...], the two formats and their indexes; does not know threads or journals.
A sink's `position` is how many rows of the recording it has on disk. Writing the same rows again
changes nothing, so that whoever was killed between two sinks may simply do both once more.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from metabonk import files
from metabonk.data.episode import EXTRA, OBSERVATION, EpisodeWriter, Header
from metabonk.data.npz import Part, write_part
from metabonk.data.sampling import CAPTURE
from metabonk.errors import ConfigError, CorruptError
from metabonk.protocols import Array

EPISODES = "episodes"  # the folder of our format, as in runs
NPZ_INDEX = "recording.jsonl"
FORMATS = ("episodes", "npz")
FRAMES = (f"{OBSERVATION}pixels", f"{EXTRA}frame")  # where a row has its frame, the first there is

Arrays = Mapping[str, Array]


class Sink(Protocol):
    """Takes rows in order."""

    position: int

    def write(self, rows: Arrays) -> None:
        """The next rows, arrays [T, ...]; on the disk when this returns. Raises OSError."""


def make_sink(name: str, directory: Path, header: Header, *, compress: bool) -> Sink:
    """The sink of a format of FORMATS. Raises CorruptError if something else is recorded there."""
    if name == "episodes":
        return EpisodeSink(directory / EPISODES, header)
    if name == "npz":
        return NpzSink(directory, header, compress=compress)
    raise ConfigError(f"format: {name!r} is none of {', '.join(FORMATS)}")


class EpisodeSink:
    """Our episode format, one chunk per call."""

    def __init__(self, directory: Path, header: Header) -> None:
        self._writer = EpisodeWriter(directory, header)
        self.position = self._writer.position

    def write(self, rows: Arrays) -> None:
        steps = len(rows["reward"])
        seen = {
            k.removeprefix(OBSERVATION): v for k, v in rows.items() if k.startswith(OBSERVATION)
        }
        extra = {k.removeprefix(EXTRA): v for k, v in rows.items() if k.startswith(EXTRA)}
        unknown = np.zeros((1, 0), np.float32)  # nobody asks players for their probabilities
        self._writer.make_room(steps)
        for t in range(steps):
            one = slice(t, t + 1)
            if rows["is_first"][t]:
                self._writer.begin(0)
            self._writer.append_step(
                {key: value[one] for key, value in seen.items()},
                rows["action"][one],
                unknown,
                rows["reward"][one],
                rows["terminated"][one],
                rows["truncated"][one],
                rows["is_last"][one],
                {key: value[one] for key, value in extra.items()},
            )
        self.position = self._writer.flush()


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the index of `.npz` files. rows: in the file; first, stop: rows of the recording
    that it stands for. file: empty for an episode's last observation alone, which has no action.
    began_ns, ended_ns: capture times of its first and last row. ended: `terminated`, `truncated` or
    empty while the episode goes on."""

    file: str
    first: int
    stop: int
    rows: int
    episode_id: str
    episode: int
    chunk_index: int
    began_ns: int
    ended_ns: int
    ended: str
    source: str
    actor: str
    rate: float
    sha256: str


class NpzSink:
    """On-policy `.npz` files, one per episode and call, and their index `recording.jsonl`."""

    def __init__(self, directory: Path, header: Header, *, compress: bool = True) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._header = header
        self._compress = compress
        files.drop_torn_line(directory / NPZ_INDEX)
        entries = read_entries(directory)
        for entry in entries[-1:]:
            if (entry.source, entry.rate) != (header.source, header.rate):
                raise CorruptError(
                    f"{directory} records {entry.source} at {entry.rate:g} rows per second, not "
                    f"{header.source} at {header.rate:g}: record into another directory"
                )
        self.position = entries[-1].stop if entries else 0
        self._episode = entries[-1].episode if entries else -1
        self._chunk = entries[-1].chunk_index if entries else -1

    def write(self, rows: Arrays) -> None:
        frames = next((name for name in FRAMES if name in rows), None)
        if frames is None:
            raise ConfigError(
                f"format: {self._header.source} shows no frames, which .npz files are made of; "
                "record episodes only"
            )
        starts = np.flatnonzero(rows["is_first"]).tolist()
        bounds = sorted({0, *starts, len(rows["reward"])})
        for start, stop in itertools.pairwise(bounds):
            part = {key: value[start:stop] for key, value in rows.items()}
            self._append(part, frames)

    def _append(self, rows: Arrays, frames: str) -> None:
        """Rows of one episode as one file."""
        first, steps = self.position, len(rows["reward"])
        began = bool(rows["is_first"][0]) or self._episode < 0
        episode, chunk = (self._episode + 1, 0) if began else (self._episode, self._chunk + 1)
        name = f"{self._header.source.replace('/', '-')}-{self._header.seed}-{episode:06d}"
        acted = steps - int(rows["is_last"][-1])
        file, digest = "", ""
        if acted:
            file = f"{name}-{first:010d}.npz"
            meta = {"episode_id": name, "chunk_index": chunk, "hz": self._header.rate}
            part = _part({k: v[:acted] for k, v in rows.items()}, frames)
            write_part(self.directory / file, part, self._header, meta, compress=self._compress)
            digest = hashlib.sha256((self.directory / file).read_bytes()).hexdigest()
        ended = [w for w in ("terminated", "truncated") if rows[w].any()]
        entry = Entry(
            file=file,
            first=first,
            stop=first + steps,
            rows=acted,
            episode_id=name,
            episode=episode,
            chunk_index=chunk,
            began_ns=int(rows[CAPTURE][0]),
            ended_ns=int(rows[CAPTURE][-1]),
            ended=ended[0] if ended else "",
            source=self._header.source,
            actor=self._header.actor,
            rate=self._header.rate,
            sha256=digest,
        )
        files.append(self.directory / NPZ_INDEX, msgspec.json.encode(entry))
        self.position, self._episode, self._chunk = first + steps, episode, chunk


def read_entries(directory: Path) -> list[Entry]:
    """The index of the `.npz` files, empty where there is none; a torn last line is ignored.

    Raises CorruptError for other damage.
    """
    path = directory / NPZ_INDEX
    if not path.exists():
        return []
    found: list[Entry] = []
    for number, line in enumerate(files.whole_lines(path.read_bytes()).splitlines(), 1):
        try:
            found.append(msgspec.json.decode(line, type=Entry))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise CorruptError(f"{path}, line {number}: {error}; delete it and the rest") from error
    return found


def verify_files(directory: Path) -> int:
    """Compares the `.npz` files of the index with their hashes; returns how many there are.

    Raises CorruptError naming the first that is missing or damaged.
    """
    entries = [entry for entry in read_entries(directory) if entry.file]
    for entry in entries:
        path = directory / entry.file
        if not path.is_file():
            raise CorruptError(f"{path} is gone: remove its line from {NPZ_INDEX}")
        if hashlib.sha256(path.read_bytes()).hexdigest() != entry.sha256:
            raise CorruptError(f"{path} is damaged (its SHA-256 differs): remove its index line")
    return len(entries)


def _part(rows: Arrays, frames: str) -> Part:
    extra: dict[str, Any] = {
        key.removeprefix(EXTRA): value
        for key, value in rows.items()
        if key.startswith(EXTRA) and key != frames
    }
    return Part(
        frames=rows[frames],
        rows=rows["action"],
        reward=rows["reward"],
        terminated=rows["terminated"],
        truncated=rows["truncated"],
        is_first=rows["is_first"],
        extra=extra,
    )
