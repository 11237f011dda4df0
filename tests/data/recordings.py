"""Recordings for tests of readers: every row carries its own number, so that none can hide."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from metabonk.data.episode import Header
from metabonk.data.recorder import Recorder
from metabonk.data.sampling import CAPTURE, DECISIONS
from metabonk.records import ACTION_LAYOUT

HEADER = Header.of(ACTION_LAYOUT, source="test", seed=5, actor="random", num_envs=1, rate=50.0)


def record(directory: Path, lengths: list[int], *, start: int = 0, **settings: object) -> int:
    """Episodes of these lengths; action column 0 and the frame's first bytes count decisions."""
    number = start
    with Recorder(directory, HEADER, chunk_bytes=2000, **settings) as recorder:  # type: ignore[arg-type]
        for length in lengths:
            for t in range(length + 1):
                last = t == length
                recorder.append(
                    {
                        "observation/pixels": frame(number),
                        "observation/speed": np.array([number], np.float32),
                        "action": np.full(12, number, np.float32),
                        "reward": np.array(0.0 if last else 1.0, np.float32),
                        "terminated": np.array(t == length - 1),
                        "truncated": np.array(False),
                        "is_first": np.array(t == 0),
                        "is_last": np.array(last),
                        CAPTURE: np.array(number * 20, np.int64),
                        DECISIONS: np.array(int(not last), np.int32),
                    }
                )
                number += not last
    return number


def frame(number: int) -> np.ndarray:
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels.reshape(-1)[:2] = divmod(number, 256)
    return pixels


def write_v1(path: Path, numbers: range, episode: str, chunk: int) -> Path:
    """A chunk as version 1 writes it: its last row is done whatever happened. Column 0, move x,
    counts decisions."""
    actions = np.zeros((len(numbers), 10), np.float32)
    actions[:, 0] = numbers
    np.savez(
        path,
        observations=np.stack([frame(n) for n in numbers]),
        actions=actions,
        dones=np.arange(len(numbers)) == len(numbers) - 1,
        meta=np.array(json.dumps({"episode_id": episode, "chunk_index": chunk})),
    )
    return path


@contextlib.contextmanager
def keeping_journals() -> Iterator[dict[str, bytes]]:
    """The journals that recorders clear away meanwhile, as a kill would have left them, by name."""
    kept: dict[str, bytes] = {}
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.name.startswith("journal-"):
            kept[path.name] = path.read_bytes()
        real(path, missing_ok)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        yield kept
