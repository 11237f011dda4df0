"""Batches: windows of recorded episodes, every decision once per epoch, whoever shares the work.

Knows the library and numpy; does not know Torch. A window is `length` consecutive decisions of one
piece; what is shorter is filled up, and `mask` says where. The order is a function of seed and
epoch alone, and processes take parts of it, so that none reads what another does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from metabonk.data.episode import OBSERVATION
from metabonk.data.library import FIELDS, Library
from metabonk.errors import ConfigError
from metabonk.protocols import Array

MIX = 16  # places (files, folders) whose windows are shuffled with each other
_SHUFFLE_STREAM = 0x57494E44  # apart from other uses of the same seed

Batch = dict[str, Any]


class Window(NamedTuple):
    """Decisions `start` to `stop` of piece number `piece`."""

    piece: int
    start: int
    stop: int


class Windows:
    """All windows of a library; item i is window i as arrays [length, ...].

    An item holds `action` float32 [T, columns], `reward` float32, `terminated`, `truncated`,
    `is_first`, `mask` bool [T], and `observation` by key. length: decisions, 0 for whole pieces,
    which then differ. keys: observations, and what else was noted, that are read. short: also
    windows that are filled up.
    """

    def __init__(
        self,
        library: Library | Sequence[Path | str] | Path | str,
        length: int = 64,
        *,
        keys: Sequence[str] | None = None,
        short: bool = True,
    ) -> None:
        if length < 0:
            raise ConfigError(f"length: {length}, give decisions per window, or 0 for whole pieces")
        self.library = library if isinstance(library, Library) else Library(library)
        self.length = length
        self.keys = None if keys is None else tuple(keys)
        self.windows = list(self._cut(short))

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> Batch:
        piece, start, stop = self.windows[index]
        rows = self.library.pieces[piece].read(start, stop, self.keys)
        rows["mask"] = np.ones(stop - start, np.bool_)
        if self.length:
            rows = {key: _filled(value, self.length) for key, value in rows.items()}
        batch: Batch = {name: rows[name] for name in (*FIELDS, "mask")}
        batch["observation"] = {
            key.removeprefix(OBSERVATION): value
            for key, value in rows.items()
            if key.startswith(OBSERVATION)
        }
        return batch

    def order(self, seed: int | None, epoch: int) -> npt.NDArray[np.int64]:
        """Every window's index once; without a seed as they were recorded.

        Windows of MIX places at a time are shuffled, so that few files are open at once.
        """
        if seed is None:
            return np.arange(len(self), dtype=np.int64)
        key = [seed % 2**64, _SHUFFLE_STREAM]
        random = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, epoch]))
        places: dict[Path, list[int]] = {}
        for index, window in enumerate(self.windows):
            places.setdefault(self.library.pieces[window.piece].where, []).append(index)
        lists = list(places.values())
        shuffled = [lists[i] for i in random.permutation(len(lists))]
        mixed = [
            random.permutation(np.concatenate(shuffled[i : i + MIX]))
            for i in range(0, len(shuffled), MIX)
        ]
        return np.concatenate(mixed) if mixed else np.zeros(0, np.int64)

    def _cut(self, short: bool) -> Iterator[Window]:
        for number, piece in enumerate(self.library.pieces):
            length = self.length or piece.steps
            for start in range(0, piece.steps, length):
                stop = min(start + length, piece.steps)
                if short or stop - start == length:
                    yield Window(number, start, stop)


def share(order: npt.NDArray[np.int64], part: int, parts: int) -> npt.NDArray[np.int64]:
    """What process `part` of `parts` takes of an order: runs of it, so that files are opened by
    few. All shares together are the order, and none has two more than another."""
    if not 0 <= part < parts:
        raise ConfigError(f"part: {part} of {parts}, give 0 to {parts - 1}")
    return order[part * len(order) // parts : (part + 1) * len(order) // parts]


@dataclass
class Batches:
    """Iterates over batches of windows as arrays [B, T, ...], without Torch.

    seed: of the order, None for as recorded. part, parts: this process's share. whole: leave out
    the last batch if it is smaller. Each iteration is the next epoch.
    """

    windows: Windows
    size: int
    seed: int | None = 0
    part: int = 0
    parts: int = 1
    whole: bool = False
    epoch: int = 0

    def __iter__(self) -> Iterator[Batch]:
        order = share(self.windows.order(self.seed, self.epoch), self.part, self.parts)
        self.epoch += 1
        for chosen in cut(order, self.size, self.whole):
            yield stack([self.windows[int(i)] for i in chosen])


def cut(order: npt.NDArray[np.int64], size: int, whole: bool) -> Iterator[npt.NDArray[np.int64]]:
    """An order in batches of `size`; whole: without a smaller one at the end."""
    if size < 1:
        raise ConfigError(f"size: {size} windows per batch, give at least 1")
    for start in range(0, len(order), size):
        if not whole or start + size <= len(order):
            yield order[start : start + size]


def stack(items: Sequence[Batch]) -> Batch:
    """Windows as one batch. Raises ConfigError for windows that have not the same arrays."""
    first = items[0]
    batch: Batch = {}
    for key, value in first.items():
        if isinstance(value, dict):
            batch[key] = stack([item[key] for item in items])
            continue
        shapes = {item[key].shape if key in item else None for item in items}
        if len(shapes) > 1 or any(item.keys() != first.keys() for item in items):
            raise ConfigError(
                f"windows of different recordings have not the same {key!r} "
                f"({', '.join(map(str, sorted(shapes, key=str)))}): "
                "read them apart, or choose `keys` that they share"
            )
        batch[key] = np.stack([item[key] for item in items])
    return batch


def _filled(array: Array, length: int) -> Array:
    """The array with zeros behind it, up to `length`."""
    if len(array) == length:
        return array
    out = np.zeros((length, *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out
