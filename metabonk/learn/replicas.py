"""Replicas: one network on several threads, each with gradients of its own.

Knows torch and threads; does not know losses. torch's own threads share the work of one operation
and wait for each other after each of hundreds, which costs most where another process wants a
processor too. Here threads share the samples and meet once per gradient step. Results depend on
the number of threads (sums round differently), not on which of them is quicker.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

from metabonk.learn.optimizer import FlatAdam
from metabonk.models.policy import ActorCritic

Job = TypeVar("Job")


class Replicas:
    """Does jobs on several threads, in each of which torch has to be on one (`one_thread`)."""

    def __init__(self, model: ActorCritic, optimizer: FlatAdam) -> None:
        self._models = [model]
        self._gradients = [optimizer.gradient]
        self._optimizer = optimizer
        self._pool: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def total(
        self, work: Callable[[ActorCritic, Job], Tensor], jobs: Sequence[Job], threads: int
    ) -> Tensor:
        """The sum of `work(model, job)`; gradients it leaves are added to the optimizer's.

        work: runs in any of at most `threads`, with a model that has the same weights in all.
        """
        threads = min(threads, len(jobs))
        if threads < 2:
            return torch.stack([work(self._models[0], job) for job in jobs]).sum(0)
        self._grow(threads)
        assert self._pool is not None

        def share(k: int) -> Tensor:
            return torch.stack([work(self._models[k], job) for job in jobs[k::threads]]).sum(0)

        others = [self._pool.submit(share, k) for k in range(1, threads)]
        sums = [share(0), *(other.result() for other in others)]
        for gradient in self._gradients[1:threads]:
            self._gradients[0] += gradient
            gradient.zero_()
        return torch.stack(sums).sum(0)

    def _grow(self, threads: int) -> None:
        if self._process != os.getpid():  # threads do not survive a fork
            self._process, self._pool = os.getpid(), None
        if self._pool is None or len(self._models) < threads:
            self._pool = ThreadPoolExecutor(threads - 1, "metabonk-replica")
        while len(self._models) < threads:
            twin = copy.deepcopy(self._models[0])
            for ours, theirs in zip(self._models[0].modules(), twin.modules(), strict=True):
                theirs._buffers = ours._buffers
            self._gradients.append(self._optimizer.share(twin))
            self._models.append(twin)


@contextmanager
def one_thread() -> Iterator[int]:
    """torch on one thread meanwhile; gives the number it was set to. Its own threads, once used,
    keep a processor busy waiting for more, which the game's threads or ours could have used: an
    optimizer's step over ten thousand numbers took two milliseconds and the other thread's core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
