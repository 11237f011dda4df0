"""Replays of the arena: an episode as level, seed and actions in a few kB, and a hash of its end.

Knows the native format (csrc/games/arena/replay.h) and how episodes of a batch become replays.
Running one again is the core's; nothing in a file is code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from metabonk import _core, files
from metabonk.errors import CorruptError
from metabonk.games import level as levels
from metabonk.games.level import Level
from metabonk.protocols import BoolArray, FloatArray
from metabonk.records import ACTION_LAYOUT, GAME_STATE

SUFFIX = ".replay"


@dataclass(frozen=True)
class Replay:
    """One episode. actions: float32 [T, 12], one row per decision, as the rules read them.

    final_hash: of the world after the last decision (`_core.arena.Batch.hashes`).
    """

    level: Level
    run_seed: int
    actions: FloatArray
    final_hash: int

    def to_bytes(self) -> bytes:
        """The native format. Raises SpecError for a level that cannot be played."""
        actions = np.ascontiguousarray(self.actions, np.float32)
        packed: bytes = _core.arena.pack_replay(
            self.level.pack(), self.run_seed, self.final_hash, actions
        )
        return packed

    @classmethod
    def from_bytes(cls, data: bytes) -> Replay:
        """Inverse of `to_bytes`. Raises CorruptError for bytes of no replay of this build."""
        try:
            spec, run_seed, final_hash, actions = _core.arena.read_replay(data)
        except ValueError as error:
            raise CorruptError(f"replay: {error}") from error
        return cls(levels.unpack(spec), run_seed, actions, final_hash)

    def save(self, path: Path | str) -> int:
        """Writes the file whole or not at all; returns its bytes."""
        data = self.to_bytes()
        files.replace(path, data)
        return len(data)

    def verify(self) -> None:
        """Runs the episode again. Raises CorruptError where it ends in another world."""
        try:
            _core.arena.verify_replay(self.to_bytes())
        except ValueError as error:
            raise CorruptError(f"replay: {error}") from error


def load(path: Path | str) -> Replay:
    """The replay in a file. Raises CorruptError that names the file and what is wrong."""
    try:
        return Replay.from_bytes(Path(path).read_bytes())
    except CorruptError as error:
        raise CorruptError(f"{path}: {error}") from error


class ArenaBatch(Protocol):
    """What a recorder asks of a batch; `_core.arena.Batch` has it."""

    num_envs: int

    def hashes(self) -> npt.NDArray[np.uint64]: ...

    def game_state(self, index: int) -> bytes: ...


class Recorder:
    """Collects the actions of a batch's episodes: `reset` after the batch's, `step` after each
    of its steps, with what the step was given and what it said.

    level: the batch's, or one per environment.
    """

    def __init__(self, batch: ArenaBatch, level: Level | Sequence[Level]) -> None:
        self._batch = batch
        self._levels = [level] * batch.num_envs if isinstance(level, Level) else list(level)
        self._rows: list[list[FloatArray]] = [[] for _ in range(batch.num_envs)]
        self._seeds = [0] * batch.num_envs

    def reset(self) -> None:
        """Forgets what was collected; all environments are at the start of an episode."""
        for index in range(self._batch.num_envs):
            self._begin(index)

    def step(
        self, actions: FloatArray, terminated: BoolArray, truncated: BoolArray, is_reset: BoolArray
    ) -> list[tuple[int, Replay]]:
        """Adds one decision [N, 12] per environment; returns (index, replay) of ended episodes."""
        for index, row in enumerate(actions):
            if is_reset[index]:
                self._begin(index)
            else:
                self._rows[index].append(row.copy())
        ended = np.flatnonzero(terminated | truncated)
        if len(ended) == 0:
            return []
        hashes = self._batch.hashes()
        return [(int(index), self._replay(int(index), int(hashes[index]))) for index in ended]

    def cut(self, index: int) -> Replay:
        """The running episode of one environment up to now."""
        return self._replay(index, int(self._batch.hashes()[index]))

    def _begin(self, index: int) -> None:
        self._rows[index] = []
        state = np.frombuffer(self._batch.game_state(index), GAME_STATE)[0]
        self._seeds[index] = int(state["run_seed"])

    def _replay(self, index: int, final_hash: int) -> Replay:
        empty = np.zeros((0, ACTION_LAYOUT.columns), np.float32)
        actions = np.stack(self._rows[index]) if self._rows[index] else empty
        return Replay(self._levels[index], self._seeds[index], actions, final_hash)
