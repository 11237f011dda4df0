"""Replay: rollouts on disk, from which sequences are drawn at random.

Knows rollouts and arrays; does not know networks or who learns. Every rollout becomes a folder of
`.npy` files that is never changed again and is read through the page cache: memory holds what is in
use, the disk at most `capacity` steps and what the kept checkpoints still name. What is read so
counts as an open file. Time runs on from one rollout to the next, so that a sequence may begin in
one and end in another.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from metabonk import files
from metabonk.errors import CheckpointError, ConfigError
from metabonk.learn.rollout import Rollout
from metabonk.protocols import Array, BoolArray, FloatArray

PREFIX = "rollout-"
FLUSHERS = 8
PART = ".part"  # of a rollout that is being written
FLAT = ("action", "reward", "terminated", "is_first")


@dataclass(frozen=True)
class Sequences:
    """L steps of B sequences as a world model reads them.

    observation by key [L, B, ...]; is_first bool [L, B]; and of the step that led to each
    observation: action float32 [L, B, columns], reward float32 [L, B] and terminated bool [L, B],
    all zero where there was none (`is_first`).
    """

    observation: dict[str, Array]
    action: FloatArray
    reward: FloatArray
    terminated: BoolArray
    is_first: BoolArray


@dataclass
class _Chunk:
    name: str
    steps: int
    digest: str
    arrays: dict[str, Array] = field(repr=False)
    lasting: bool = False  # whether it is on the disk, whatever becomes of the machine


class _Place(NamedTuple):
    """Elements `there` of what is drawn lie in a rollout, at `here`: steps and environments."""

    chunk: _Chunk
    there: tuple[Array, ...]
    here: tuple[Array, Array]


class Replay:
    """What N environments went through, the newest `capacity` steps of them together.

    directory: made if it is not there; what lies in it from an earlier run is taken by `load` only,
    and what a killed one left half-written is deleted.
    """

    def __init__(self, directory: Path | str, capacity: int, num_envs: int) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        _sweep(self.directory)
        self._files = files.allow_many()
        self.capacity = capacity
        self.num_envs = num_envs
        self.count = 0  # rollouts ever added
        self.gap = False  # whether steps were left out before the next rollout
        self._chunks: list[_Chunk] = []
        # What the kept checkpoints name, by their steps.
        self._named: dict[int, list[dict[str, object]]] = {}

    def __len__(self) -> int:
        """Steps of all environments that can be drawn from."""
        return self._steps * self.num_envs

    @property
    def _steps(self) -> int:
        return sum(chunk.steps for chunk in self._chunks)

    def add(self, rollout: Rollout) -> None:
        """Keeps the steps that the last `collect` played. Raises OSError on a full disk or when no
        further file can be opened, and keeps nothing then."""
        start, stop = rollout.first, len(rollout.reward)
        arrays = {key: getattr(rollout, key)[start:stop] for key in FLAT}
        arrays |= {f"observation.{k}": v[start:stop] for k, v in rollout.observation.items()}
        if self.gap:  # nothing that is known leads to what follows
            arrays["is_first"] = arrays["is_first"].copy()
            arrays["is_first"][0] = True
        self.append(arrays)
        self.gap = False

    def append(self, arrays: Mapping[str, Array]) -> None:
        """Keeps steps that follow those before: FLAT and `observation.<key>`, [T, N, ...] each.
        Raises as `add` does."""
        name = f"{PREFIX}{self.count:08d}"
        steps = len(arrays["reward"])
        try:
            digest = _write(self.directory / name, arrays)
            mapped = _map(self.directory / name)
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            raise OSError(
                error.errno,
                f"{self.directory}: this process may open {self._files} files, and each of "
                f"{len(self._chunks)} rollouts kept takes {len(arrays)}: allow more (`ulimit -n`), "
                "or keep fewer steps (world.replay)",
            ) from error
        self._chunks.append(_Chunk(name, steps, digest, mapped))
        self.count += 1
        while self._steps - self._chunks[0].steps >= self.capacity / self.num_envs:
            self._chunks.pop(0)

    def newest(self, env: int, steps: int) -> dict[str, Array]:
        """The last `steps` steps of an environment, [T, ...] by name, in memory."""
        chosen: list[_Chunk] = []
        for chunk in reversed(self._chunks):
            chosen.insert(0, chunk)
            if sum(c.steps for c in chosen) >= steps:
                break
        names = chosen[0].arrays if chosen else {}
        return {k: np.concatenate([c.arrays[k][:, env] for c in chosen])[-steps:] for k in names}

    def firsts(self, env: int = 0) -> BoolArray:
        """Which of an environment's steps begin an episode, bool [steps]."""
        return np.concatenate([chunk.arrays["is_first"][:, env] for chunk in self._chunks])

    @property
    def ends(self) -> int:
        """Steps that end an episode."""
        return sum(int(chunk.arrays["terminated"].sum()) for chunk in self._chunks)

    @property
    def leading(self) -> int:
        """Steps that another one of the same episode follows, without having ended it."""
        if not self._chunks:
            return 0
        over = np.concatenate([chunk.arrays["terminated"] for chunk in self._chunks])
        first = np.concatenate([chunk.arrays["is_first"] for chunk in self._chunks])
        return int((~over[:-1] & ~first[1:]).sum())

    @property
    def digest(self) -> str:
        """SHA-256, hexadecimal, of all that can be drawn from."""
        return hashlib.sha256("".join(c.digest for c in self._chunks).encode()).hexdigest()

    def ready(self, length: int) -> bool:
        """Whether a sequence of `length` steps can be drawn."""
        return self._steps >= least(length)

    def draw(self, batch: int, length: int, generator: np.random.Generator) -> Sequences:
        """`batch` sequences of `length` steps, each from a random environment and moment, all
        equally likely. Raises ConfigError if there are not as many steps yet."""
        if not self.ready(length):
            raise ConfigError(
                f"world.sequence: {length} steps are asked of {self._steps} that were played; "
                "wait for more or shorten it"
            )
        starts = generator.integers(1, self._steps - length + 1, batch)
        envs = generator.integers(0, self.num_envs, batch)
        return self.at(starts, envs, length)

    def at(
        self, starts: npt.NDArray[np.int64], envs: npt.NDArray[np.int64], length: int
    ) -> Sequences:
        """Sequences from given steps (1 or later: the one before led there) and environments."""
        times = starts + np.arange(length)[:, None]
        columns = np.broadcast_to(envs, times.shape)
        seen, led = self._places(times, columns), self._places(times - 1, columns)
        observation = {
            key.split(".", 1)[1]: self._gather(key, seen, times.shape)
            for key in self._chunks[0].arrays
            if "." in key
        }
        is_first = self._gather("is_first", seen, times.shape)
        before = {k: self._gather(k, led, times.shape) for k in FLAT if k != "is_first"}
        for array in before.values():
            array[is_first] = 0
        return Sequences(observation, is_first=is_first, **before)

    def _places(self, times: Array, envs: Array) -> list[_Place]:
        """Where steps [L, B] lie, rollout by rollout, of those that hold any."""
        stops = np.cumsum([chunk.steps for chunk in self._chunks])
        which = np.searchsorted(stops, times, side="right")
        found = []
        for number in np.unique(which).tolist():
            chunk, here = self._chunks[number], np.nonzero(which == number)
            rows = times[here] - (stops[number] - chunk.steps)
            found.append(_Place(chunk, here, (rows, envs[here])))
        return found

    def _gather(self, key: str, places: Sequence[_Place], shape: tuple[int, ...]) -> Array:
        """Elements [L, B, ...] of an array that lies in several rollouts."""
        like = self._chunks[0].arrays[key]
        out = np.empty((*shape, *like.shape[2:]), like.dtype)
        for place in places:
            out[place.there] = place.chunk.arrays[key][place.here]
        return out

    def listing(self) -> list[dict[str, object]]:
        """What a checkpoint says of it: name, steps and hash of every rollout."""
        return [{"name": c.name, "steps": c.steps, "sha256": c.digest} for c in self._chunks]

    def load(self, listing: Sequence[dict[str, object]], count: int) -> None:
        """Goes on from a checkpoint's listing; what was written later is deleted.

        Raises CheckpointError that names a rollout which is missing or was changed.
        """
        chunks = []
        for entry in listing:
            name, steps = str(entry["name"]), int(str(entry["steps"]))
            folder = self.directory / name
            if not folder.is_dir() or _digest(folder) != entry["sha256"]:
                raise CheckpointError(
                    f"{folder}: the replay's rollout is missing or damaged; "
                    "go on from an earlier checkpoint, or train anew"
                )
            chunks.append(_Chunk(name, steps, str(entry["sha256"]), _map(folder), lasting=True))
        self._chunks, self.count = chunks, count
        _sweep(self.directory)
        for folder in self.directory.glob(f"{PREFIX}*"):
            if int(folder.name.removeprefix(PREFIX)) >= count:
                shutil.rmtree(folder)

    def clear(self) -> None:
        """Forgets everything, on the disk too."""
        self._chunks, self._named, self.count, self.gap = [], {}, 0, False
        for folder in self.directory.glob(f"{PREFIX}*"):
            shutil.rmtree(folder)

    def flush(self) -> None:
        """Returns once all that `listing` names is on the disk: a checkpoint that names it outlasts
        the machine's end. Raises OSError."""
        fresh = [chunk for chunk in self._chunks if not chunk.lasting]
        if not fresh:
            return
        with ThreadPoolExecutor(FLUSHERS) as several:  # a disk is done with all as soon as with one
            list(several.map(_flush, [self.directory / chunk.name for chunk in fresh]))
        files.sync(self.directory)
        files.sync(self.directory.parent)
        for chunk in fresh:
            chunk.lasting = True

    def saved(self, step: int, kept: Collection[int]) -> None:
        """A checkpoint of `step` was written that names what can be drawn from now, and there are
        those of the steps `kept`: deletes what none of them names."""
        self._named[step] = self.listing()
        self._named = {at: named for at, named in self._named.items() if at in kept}
        if len(self._named) == len(set(kept)):  # else one of before a resumption may name more
            self.prune(list(self._named.values()))

    def prune(self, kept: Sequence[Sequence[dict[str, object]]]) -> None:
        """Deletes what neither this replay nor the listings of kept checkpoints name."""
        names = {c.name for c in self._chunks} | {str(e["name"]) for one in kept for e in one}
        for folder in self.directory.glob(f"{PREFIX}*"):
            if folder.name not in names:
                shutil.rmtree(folder)


def least(length: int) -> int:
    """Steps of a game from which a sequence of `length` can be drawn: one more, which led to its
    first."""
    return length + 1


def most(capacity: int, num_envs: int, horizon: int) -> int:
    """Steps of each game that a replay of this capacity ever keeps, of rollouts of `horizon`: as
    many whole rollouts as hold its share, and one at the least."""
    return horizon * max(1, math.ceil(capacity / num_envs / horizon))


def _write(folder: Path, arrays: Mapping[str, Array]) -> str:
    """Arrays as files of a folder that is whole or not there; returns its hash."""
    partial = folder.with_name(folder.name + PART)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        for key, array in arrays.items():
            np.save(partial / f"{key}.npy", np.ascontiguousarray(array), allow_pickle=False)
        digest = _digest(partial)
        os.rename(partial, folder)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return digest


def _sweep(directory: Path) -> None:
    """Deletes what a killed process was writing."""
    for partial in directory.glob(f"{PREFIX}*{PART}"):
        shutil.rmtree(partial)


def _flush(folder: Path) -> None:
    """Puts a folder's files on the disk."""
    for path in folder.glob("*.npy"):
        files.sync(path)
    files.sync(folder)


def _map(folder: Path) -> dict[str, Array]:
    return {
        # As a plain array: every piece of a memmap that is taken is one again, which takes time.
        file.stem: np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
        for file in sorted(folder.glob("*.npy"))
    }


def _digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for file in sorted(folder.glob("*.npy")):
        whole.update(file.name.encode())
        whole.update(file.read_bytes())
    return whole.hexdigest()
