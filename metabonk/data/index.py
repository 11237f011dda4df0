"""The index of a directory of episodes: what was recorded, in which chunks, which episode is where.

Knows two small files, `header.json` and `index.jsonl`; does not read or write the rows themselves.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec

import metabonk
from metabonk import files
from metabonk.errors import CorruptError
from metabonk.spaces import ActionLayout

HEADER = "header.json"
INDEX = "index.jsonl"
FORMAT = 1


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Where rows come from.

    source: the game's name. actor: who made the actions (`policy:<hash>`, `human`, `scripted`,
    `random`). build: version of the package, and of the game where that differs. rate: decisions
    per second of game time, the usual number where it varies (the observation `dt` then tells), 0
    in games that have no time. branches: the action's layout.
    """

    source: str
    seed: int
    actor: str
    num_envs: int
    rate: float = 0.0
    build: str = metabonk.__version__
    branches: list[dict[str, Any]] = []
    columns: int = 0
    created: str = ""
    details: dict[str, Any] = {}
    format: int = FORMAT

    @classmethod
    def of(
        cls, layout: ActionLayout, *, source: str, seed: int, actor: str, num_envs: int, **more: Any
    ) -> Header:
        """A header made now for actions of `layout`."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return cls(
            source=source,
            seed=seed,
            actor=actor,
            num_envs=num_envs,
            branches=layout.to_json(),
            columns=layout.columns,
            created=now,
            **more,
        )


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """A part of one episode inside a chunk: rows `start` to `stop` of environment `env`.

    ended: `terminated`, `truncated`, or empty while the episode goes on in the next chunk.
    complete: the row with the last observation is here.
    """

    env: int
    episode: int
    start: int
    stop: int
    ended: str
    complete: bool
    reward: float


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the index. first: step of each environment at which the chunk begins."""

    file: str
    first: int
    steps: int
    sha256: str
    segments: list[Segment]


def read_header(directory: Path) -> Header:
    """Raises FileNotFoundError, or CorruptError if the header cannot be read."""
    path = directory / HEADER
    if not path.exists():
        raise FileNotFoundError(f"{directory} holds no episodes: it has no {HEADER}")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptError(f"{path} is damaged: {error}") from error


def read_index(directory: Path) -> list[Chunk]:
    """The chunks in order; a torn last line is ignored. Raises CorruptError for other damage."""
    path = directory / INDEX
    if not path.exists():
        return []
    data = path.read_bytes()
    chunks: list[Chunk] = []
    for number, line in enumerate(files.whole_lines(data).splitlines(), 1):
        try:
            chunks.append(_checked(msgspec.json.decode(line, type=Chunk)))
        except (msgspec.MsgspecError, ValueError) as error:
            raise CorruptError(f"{path}, line {number}: {error}; delete it and the rest") from error
    return chunks


def _checked(chunk: Chunk) -> Chunk:
    """The chunk, if it is one: a file of this directory, and segments inside it."""
    if Path(chunk.file).name != chunk.file or not chunk.file or chunk.steps < 0 or chunk.first < 0:
        raise ValueError(f"no chunk: {chunk.steps} rows from {chunk.first} in {chunk.file!r}")
    for s in chunk.segments:
        if not (0 <= s.start <= s.stop <= chunk.steps and s.env >= 0):
            raise ValueError(
                f"no part of a chunk: rows {s.start} to {s.stop} of environment {s.env}"
            )
    return chunk


def write_header(directory: Path, header: Header) -> None:
    """Writes the header once. Raises CorruptError if the directory records something else."""
    path = directory / HEADER
    if path.exists():
        old = read_header(directory)
        for field in ("source", "num_envs", "columns", "rate", "format"):
            if getattr(old, field) != getattr(header, field):
                raise CorruptError(
                    f"{directory} records {field} {getattr(old, field)!r}, not "
                    f"{getattr(header, field)!r}: record into another directory"
                )
        return
    files.replace(path, msgspec.json.format(msgspec.json.encode(header), indent=2))


def append_chunk(directory: Path, chunk: Chunk) -> None:
    """Adds one line, on the disk when this returns."""
    files.append(directory / INDEX, msgspec.json.encode(chunk))


def replace_index(directory: Path, chunks: list[Chunk]) -> None:
    """Makes these chunks the whole index; the old one stays until the new one is whole."""
    lines = b"".join(msgspec.json.encode(c) + b"\n" for c in chunks)
    files.replace(directory / INDEX, lines)
