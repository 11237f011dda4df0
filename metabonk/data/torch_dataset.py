"""Recorded episodes for Torch: datasets and a loader over several processes. Needs Torch.

Knows windows and torch.utils.data; does not know networks. Every window is read once per epoch by
one worker of one rank: a `SequenceDataset` is dealt out by its sampler, a `SequenceStream` deals
itself out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, get_worker_info

from metabonk.data.batches import Batch, Batches, Windows, cut, share, stack
from metabonk.errors import BackendError

Tensors = dict[str, Any]


class SequenceDataset(Dataset[Tensors]):
    """Windows by index: tensors [T, ...] as `Windows` describes them."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> Tensors:
        return tensors(self.windows[index])

    def __getitems__(self, indices: Sequence[int]) -> Tensors:
        """A whole batch [B, T, ...]: stacked once, by the worker that read it."""
        return tensors(stack([self.windows[int(i)] for i in indices]))


class EpochBatches(Sampler[list[int]]):
    """Batches of window indices, of one rank of several; each iteration is the next epoch.

    set_epoch: chooses the next epoch, as ranks that were resumed have to.
    """

    def __init__(
        self,
        windows: Windows,
        size: int,
        *,
        seed: int | None = 0,
        rank: int = 0,
        ranks: int = 1,
        whole: bool = False,
    ) -> None:
        self._windows, self._size, self._seed, self._whole = windows, size, seed, whole
        self._rank, self._ranks = rank, ranks
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        order = share(self._windows.order(self._seed, self.epoch), self._rank, self._ranks)
        self.epoch += 1
        for chosen in cut(order, self._size, self._whole):
            yield chosen.tolist()

    def __len__(self) -> int:
        count = len(share(np.arange(len(self._windows)), self._rank, self._ranks))
        return count // self._size if self._whole else -(-count // self._size)


class SequenceStream(IterableDataset[Tensors]):
    """Batches of windows one after the other, for `DataLoader(stream, batch_size=None)`.

    Workers and ranks take shares of one order. set_epoch: which order; workers that are started
    anew for every epoch cannot count them.
    """

    def __init__(
        self,
        windows: Windows,
        size: int,
        *,
        seed: int | None = 0,
        rank: int = 0,
        ranks: int = 1,
        whole: bool = False,
    ) -> None:
        self._batches = Batches(windows, size, seed, rank, ranks, whole)

    def set_epoch(self, epoch: int) -> None:
        self._batches.epoch = epoch

    def __iter__(self) -> Iterator[Tensors]:
        b, worker = self._batches, get_worker_info()
        part, parts = (0, 1) if worker is None else (worker.id, worker.num_workers)
        mine = Batches(
            b.windows, b.size, b.seed, b.part * parts + part, b.parts * parts, b.whole, b.epoch
        )
        b.epoch += 1
        return map(tensors, mine)


def loader(
    windows: Windows,
    size: int,
    *,
    workers: int = 0,
    seed: int | None = 0,
    rank: int = 0,
    ranks: int = 1,
    whole: bool = False,
    pin: bool | None = None,
) -> DataLoader[Tensors]:
    """A DataLoader of batches [size, T, ...]; iterate it once per epoch.

    workers: processes that read, 0 for this one. pin: hand out page-locked memory, which copies to
    a GPU without waiting; None: where there is one. Raises BackendError for `pin` without one.
    """
    there = torch.cuda.is_available()
    if pin and not there:
        raise BackendError("pin: page-locked memory needs CUDA, which torch does not find here")
    return DataLoader(
        SequenceDataset(windows),
        batch_sampler=EpochBatches(windows, size, seed=seed, rank=rank, ranks=ranks, whole=whole),
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=there if pin is None else pin,
        persistent_workers=workers > 0,
    )


def tensors(batch: Batch) -> Tensors:
    """Arrays as tensors over the same memory."""
    return {k: tensors(v) if isinstance(v, dict) else _tensor(v) for k, v in batch.items()}


def _tensor(array: Any) -> Tensor:
    owned = array if array.flags.writeable and array.flags.c_contiguous else np.array(array)
    return torch.from_numpy(owned)


def _as_it_is(batch: Any) -> Any:
    return batch  # `__getitems__` stacked it
